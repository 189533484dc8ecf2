"""Keep secrets out of messages, logs, metadata and output.

`redact` removes text that looks like a secret, values of environment variables with names of secrets, and the values
that were passed to `register_secrets`.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

_MASK = "***"
_SIGNATURE = r"(?i:x-amz-|x-goog-|sig|signature|token|access_?key|secret|password|credential)"
_HTTP_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]+")
_SIGNED_QUERY = re.compile(rf"(\w+://[^\s'\"?]+)\?(?=[^\s'\"]*{_SIGNATURE}[^\s'\"=&]*=)[^\s'\"]+")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}\b|(?i:bearer)\s+[^\s'\",]+")
# The user information of a URL ends at the last @ before the path. If the text after the first colon is not a port,
# it is a password, which may contain a slash.
_CREDENTIALS = re.compile(r"(\w+://)(?:[^/\s\"]*|[^/\s\":@]+:(?!\d+(?:[/\s]|$))[^\s\"@]*)@")
_QUOTED_BY_PARSER = re.compile(r"(invalid (?:type|value): string |unknown (?:variant|field) )([\"`]).*?\2")

_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSW|PRIVATE_?KEY|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|CREDENTIAL", re.IGNORECASE
)
_PATH_NAME = re.compile(r"_(FILE|PATH|DIR|DIRECTORY|URL|URI|HOME)$|^GOOGLE_APPLICATION_CREDENTIALS$", re.IGNORECASE)
# Shorter values are not masked: `TOKENIZERS_PARALLELISM=false` is not a secret, and a key `voice` would mask half of a
# message.
_MIN_SECRET_LENGTH = 8

_registered: set[str] = set()


def redact(text: str, *secrets: str | None) -> str:
    """Mask the given secrets, tokens, credentials in URLs, and queries of URLs, which may contain signatures.

    >>> redact("PUT https://cdn.example/a?X-Amz-Signature=1234 failed for hf_abcdefghijklmnopqrst")
    'PUT https://cdn.example/a?*** failed for ***'
    >>> redact("got 'Authorization: Bearer abc'", "abc")
    "got 'Authorization: ***'"
    >>> redact("postgres://me:hush@host/db, https://token@host, s3://key:se/cret@bucket/x")
    'postgres://***@host/db, https://***@host, s3://***@bucket/x'
    >>> redact("get http://127.0.0.1:9000/bucket/me@home.mp3, s3://bucket/why?.mp3")
    'get http://127.0.0.1:9000/bucket/me@home.mp3, s3://bucket/why?.mp3'
    >>> redact('invalid type: string "hush", expected a table')
    'invalid type: string "***", expected a table'
    """
    known = {secret for secret in secrets if secret} | _registered | _environment_secrets()
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    text = _QUOTED_BY_PARSER.sub(rf"\1\2{_MASK}\2", text)
    text = _SIGNED_QUERY.sub(rf"\1?{_MASK}", _HTTP_QUERY.sub(rf"\1?{_MASK}", text))
    return _CREDENTIALS.sub(rf"\1{_MASK}@", _TOKEN.sub(_MASK, text))


def register_secrets(*secrets: str) -> None:
    """Mask these values in every text that this process redacts from now on."""
    _registered.update(secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH)


def redact_error(error: BaseException) -> None:
    """Mask secrets in the message of an error, and of the errors that it was raised from, in place."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        item = todo.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        item.args = tuple(redact(value) if isinstance(value, str) else value for value in item.args)
        todo += [item.__cause__, item.__context__, *(item.exceptions if isinstance(item, BaseExceptionGroup) else ())]


@contextmanager
def redact_raised_errors() -> Iterator[None]:
    """Mask secrets in errors that the block raises: for errors that are recorded, for example by Dagster."""
    try:
        yield
    except Exception as error:
        redact_error(error)
        raise


def _environment_secrets() -> set[str]:
    """The values of variables with names of secrets, and the user information in URLs such as HTTPS_PROXY."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if len(value) >= _MIN_SECRET_LENGTH and (
            _SECRET_NAME.search(name) or "@" in value or value.lstrip()[:1] == "{"
        ):
            found |= _find_secrets(name, value)
    return found


@lru_cache(maxsize=256)
def _find_secrets(name: str, value: str) -> frozenset[str]:
    found: set[str] = set()
    if "://" in value and "@" in value:
        user_information = value.partition("://")[2].rpartition("@")[0]
        found |= {user_information, *re.split(r"[:/@]", user_information.partition(":")[2])}
    if _SECRET_NAME.search(name) and not _PATH_NAME.search(name):
        found.add(value)
    if value.lstrip()[:1] == "{" and _SECRET_NAME.search(name + value):
        found |= {value, *_secret_texts(value)}
    return frozenset(item for item in found if len(item) >= _MIN_SECRET_LENGTH)


def _secret_texts(document: str) -> Iterator[str]:
    """The strings under names of secrets in a JSON document, and the lines of such strings."""
    try:
        value = json.loads(document)
    except ValueError:
        return
    for name, text in _iter_texts(value):
        if _SECRET_NAME.search(name):
            yield text
            yield from text.splitlines()


def _iter_texts(value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from [(name, item)] if isinstance(item, str) else _iter_texts(item)
