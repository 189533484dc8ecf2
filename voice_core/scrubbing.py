"""Keeping secrets out of what people read."""

import re

_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]+")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}\b|(?i:bearer)\s+[^\s'\",]+")
_CREDENTIALS = re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]+@")


def scrub(text: str, *secrets: str | None) -> str:
    """A text without these secrets, tokens, credentials in addresses, and addresses' queries, which hold signatures.

    >>> scrub("PUT https://cdn.example/a?X-Amz-Signature=1234 failed for hf_abcdefghijklmnopqrst")
    'PUT https://cdn.example/a?*** failed for ***'
    >>> scrub("got 'Authorization: Bearer abc'", "abc")
    "got 'Authorization: ***'"
    >>> scrub("postgres://me:hush@host/db")
    'postgres://***@host/db'
    """
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return _CREDENTIALS.sub(r"\1***@", _TOKEN.sub("***", _QUERY.sub(r"\1?***", text)))
