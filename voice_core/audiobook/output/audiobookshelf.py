"""The metadata file of Audiobookshelf, https://www.audiobookshelf.org/docs: metadata.json beside the book's audio."""

import json
import re
from collections.abc import Sequence

from voice_core.audiobook.output.m4b import BookTags

_YEAR = re.compile(r"\d{4}")


def metadata_json(tags: BookTags, chapters: Sequence[tuple[str, int, int]], rate_hz: int, isbn: str = "") -> bytes:
    """The content of metadata.json. `chapters` has title, begin and end in samples."""
    year = _YEAR.search(tags.date)
    value = {
        "tags": [],
        "chapters": [
            {"id": number, "start": round(start / rate_hz, 6), "end": round(end / rate_hz, 6), "title": title}
            for number, (title, start, end) in enumerate(chapters)
        ],
        "title": tags.title,
        "subtitle": None,
        "authors": list(tags.authors),
        "narrators": [tags.narrator] if tags.narrator else [],
        "series": [],
        "genres": [],
        "publishedYear": year[0] if year else None,
        "publishedDate": tags.date or None,
        "publisher": tags.publisher or None,
        "description": tags.description or None,
        "isbn": isbn or None,
        "asin": None,
        "language": tags.language or None,
        "explicit": False,
        "abridged": False,
    }
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
