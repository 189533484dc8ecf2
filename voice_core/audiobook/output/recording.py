"""A recording with its transcript for each chapter, laid out as a raw folder that `voice build` reads.

The transcript is in the native JSON format: a segment for each sentence, whose `speaker_id` is the voice. The further
keys `book`, `chunk_id` and `sentence` say which sentence of the book it is.
"""

import json

from voice_core.audiobook.mastering.chapter_source import ChapterSource
from voice_core.audiobook.mastering.marks import SentenceMark


def transcript_json(book: str, chapter: ChapterSource, marks: list[SentenceMark], rate_hz: int, language: str) -> bytes:
    """The transcript of a chapter; times are in seconds."""
    voices = {item.row.chunk_id: item.audio.voice for item in chapter.spoken}
    segments = [
        {
            "start": round(mark.start / rate_hz, 6),
            "end": round(mark.end / rate_hz, 6),
            "text": mark.text,
            "speaker_id": voices[mark.chunk_id],
            "book": book,
            "chunk_id": mark.chunk_id,
            "sentence": mark.index,
        }
        for mark in marks
    ]
    about = {"book": book, "chapter": chapter.number, "title": chapter.title, "language": language}
    return json.dumps({**about, "segments": segments}, ensure_ascii=False, indent=1).encode() + b"\n"
