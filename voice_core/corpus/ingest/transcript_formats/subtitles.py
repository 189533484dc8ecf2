"""Subtitles as transcripts: SRT and WebVTT. `subtitle_cues.py` parses their text into cues."""

from voice_core.corpus.ingest.transcript_fields import describe_value, find_unstorable, to_storable
from voice_core.corpus.ingest.transcript_formats import subtitle_cues
from voice_core.corpus.ingest.transcript_types import (
    MAX_LINES,
    BadLine,
    Line,
    Transcript,
    TranscriptError,
    check_count,
)

MAX_SUBTITLE_LINES = 1_000_000
"""Text lines of a subtitle file. Ten hours with a cue for every word has about 400,000."""


def parse_srt(text: str, name: str) -> Transcript:
    """Parse a SubRip file. Raises `TranscriptError`."""
    check_count(name, "lines", subtitle_cues.count_lines(text), MAX_SUBTITLE_LINES)
    cues = subtitle_cues.parse_srt(text)
    if subtitle_cues.ARROW not in text and all(cue.problem for cue in cues):
        example = "00:00:01,000 --> 00:00:02,000"
        raise TranscriptError("transcript_no_cues", f"{name}: no line of times such as {example}")
    return Transcript(_to_lines(cues, name), "srt")


def parse_vtt(text: str, name: str) -> Transcript:
    """Parse a WebVTT file. Raises `TranscriptError`."""
    if not subtitle_cues.is_webvtt(text):
        raise TranscriptError("transcript_no_header", f"{name}, line 1: the header WEBVTT is expected here")
    check_count(name, "lines", subtitle_cues.count_lines(text), MAX_SUBTITLE_LINES)
    cues, language = subtitle_cues.parse_vtt(text)
    return Transcript(_to_lines(cues, name), "vtt", to_storable(language))


def _to_lines(cues: list[subtitle_cues.Cue], name: str) -> tuple[Line | BadLine, ...]:
    check_count(name, "cues", len(cues), MAX_LINES)
    return tuple(_to_line(index, cue) for index, cue in enumerate(cues))


def _to_line(index: int, cue: subtitle_cues.Cue) -> Line | BadLine:
    if cue.problem:
        return BadLine(index, "bad_cue", cue.problem, to_storable(cue.text))
    if problem := find_unstorable(cue.text + cue.speaker):
        message = f"the cue at {cue.start_sec:.3f} s: {problem}: {describe_value(cue.text)}"
        return BadLine(index, "bad_text", message, to_storable(cue.text))
    return Line(index, cue.start_sec, cue.end_sec, cue.text, speaker_id=cue.speaker)
