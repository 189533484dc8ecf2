"""The cover of a book: JPEG or PNG, as it is in the book."""

import io
import logging
from dataclasses import dataclass, field

import av

from voice_core.audio.source import limit_ffmpeg_memory
from voice_core.audiobook.chunk_manifest import BookManifest
from voice_core.audiobook.commands import build_command
from voice_core.fingerprint import sha256
from voice_core.storage.store import Store

_log = logging.getLogger(__name__)
_TYPES = {b"\xff\xd8\xff": ("image/jpeg", "jpg"), b"\x89PNG\r\n\x1a\n": ("image/png", "png")}
_OPEN_OPTIONS = {"format_whitelist": "jpeg_pipe,png_pipe", "protocol_whitelist": "file"}


@dataclass(frozen=True, slots=True)
class CoverImage:
    """A picture that every format takes."""

    data: bytes = field(repr=False)
    media_type: str
    extension: str
    sha256: str


def read_cover(store: Store, book: BookManifest) -> tuple[CoverImage | None, str]:
    """The cover, and a warning where there is one that cannot be used.

    Raises ValueError for a file that is missing or is not what was committed.
    """
    if not book.cover:
        return None, ""
    data = store.find(book.cover)
    if data is None or sha256(data) != book.cover_sha256:
        problem = "is missing" if data is None else "is not the file that was committed"
        again = f"run `{build_command(book.partition, verify=True)}` to read the book again"
        raise ValueError(f"the cover {store.url}/{book.cover} {problem}: {again}")
    cover = parse_cover(data)
    if cover is None:
        warning = f"the cover {book.cover} is neither a JPEG nor a PNG image that can be read; it is left out"
        _log.warning("%s: %s", book.partition, warning)
        return None, warning
    return cover, ""


def parse_cover(data: bytes) -> CoverImage | None:
    """The picture in `data`; None for other types, and for damaged pictures."""
    found = next((about for magic, about in _TYPES.items() if data.startswith(magic)), None)
    if found is None:
        return None
    try:
        with limit_ffmpeg_memory(), av.open(io.BytesIO(data), "r", options=_OPEN_OPTIONS) as container:
            decoded = next(container.decode(video=0), None)
    except (av.FFmpegError, ValueError, IndexError, MemoryError):  # MemoryError: millions of pixels in a small file
        return None
    return CoverImage(data, *found, sha256(data)) if decoded is not None else None
