"""Whether two URLs are the same, or one is inside of the other."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

Overlap = Literal["", "is the same as", "is inside of", "contains"]


def describe_overlap(first_url: str, second_url: str) -> Overlap:
    """How the first URL relates to the second; symbolic links of local folders are resolved.

    >>> describe_overlap("s3://bucket/raw", "s3://bucket/work"), describe_overlap("s3://bucket", "s3://bucket/work")
    ('', 'contains')
    >>> describe_overlap("gs://bucket/work/raw", "gs://bucket/work/"), describe_overlap("file:///x/raw", "file:///x/./raw")
    ('is inside of', 'is the same as')
    """
    first, second = _path_parts(first_url), _path_parts(second_url)
    common = min(len(first), len(second))
    if first[:common] != second[:common]:
        return ""
    if len(first) == len(second):
        return "is the same as"
    return "is inside of" if len(first) > len(second) else "contains"


def _path_parts(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    path = Path(url2pathname(parts.path)).resolve().as_posix() if parts.scheme == "file" else parts.path
    return (parts.scheme, parts.netloc, *(name for name in path.split("/") if name))
