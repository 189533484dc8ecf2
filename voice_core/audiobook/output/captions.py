"""Captions: SubRip and WebVTT, a cue for each sentence or for each word, in the words of the book."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from voice_core.audiobook.mastering.marks import SentenceMark

Unit = Literal["sentences", "words"]
CaptionFormat = Literal["srt", "vtt"]


@dataclass(frozen=True, slots=True)
class Cue:
    """Text from sample `start` to `end`."""

    text: str
    start: int
    end: int


def make_cues(marks: Iterable[SentenceMark], unit: Unit, offset: int = 0) -> Iterator[Cue]:
    """The cues of some sentences, `offset` samples later."""
    for mark in marks:
        for item in [mark] if unit == "sentences" else mark.words:
            yield Cue(item.text, item.start + offset, item.end + offset)


def write_captions(cues: Iterable[Cue], rate_hz: int, format: CaptionFormat, language: str = "") -> Iterator[str]:
    """The lines of a file of captions. No cue overlaps the next one, and each lasts at least a millisecond.

    >>> list(write_captions([Cue("a < b", 24_000, 48_000)], 24_000, "vtt"))
    ['WEBVTT\\n', '\\n1\\n00:00:01.000 --> 00:00:02.000\\na &lt; b\\n']
    >>> list(write_captions([Cue("Hi", 0, 12), Cue("all", 12, 24_000)], 24_000, "srt"))
    ['1\\n00:00:00,000 --> 00:00:00,001\\nHi\\n\\n', '2\\n00:00:00,001 --> 00:00:01,000\\nall\\n\\n']
    """
    if format == "vtt":
        yield "WEBVTT\n" + (f"Language: {language}\n" if language else "")
    before = 0
    for number, cue in enumerate(cues, 1):
        start = max(before, cue.start * 1000 // rate_hz)
        before = end = max(start + 1, cue.end * 1000 // rate_hz)
        text = _escape(cue.text, format)
        if format == "srt":
            yield f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n\n"
        else:
            yield f"\n{number}\n{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n"


def _clock(milliseconds: int, point: str) -> str:
    """
    >>> _clock(36_000_001, ",")
    '10:00:00,001'
    """
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def _escape(text: str, format: CaptionFormat) -> str:
    """The text in one line, with nothing that a player takes for markup, or for times.

    SubRip has no way to escape: a zero-width space keeps players from seeing a tag.

    >>> _escape("<i>a</i> --> b & c", "vtt"), _escape("x <i> y", "srt") == "x <\\u200bi> y"
    ('&lt;i&gt;a&lt;/i&gt; --&gt; b &amp; c', True)
    """
    line = " ".join(text.split())
    if format == "vtt":
        return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return line.replace("<", "<\u200b").replace("{\\", "{\u200b\\").replace("-->", "--\u200b>")
