"""Transcripts of each form, and what is read out of them."""

import pytest

from voice_core.corpus.ingest.transcript_types import Line, Transcript, TranscriptError
from voice_core.corpus.ingest.transcripts import parse_transcript

GOOD = {"start": 0.5, "end": 1.5, "text": "kept"}


def get_only_line(transcript: Transcript) -> Line:
    (line,) = transcript.lines
    assert isinstance(line, Line), line
    return line


def parse_srt(text: str) -> Transcript:
    return parse_transcript(text.encode(), "a.srt")


def parse_vtt(text: str) -> Transcript:
    return parse_transcript(("WEBVTT\n\n" + text).encode(), "a.vtt")


def line_spans(transcript: Transcript) -> list[tuple[float, float, str]]:
    return [(line.start_sec, line.end_sec, line.text) for line in transcript.lines if isinstance(line, Line)]


def parse_error(data: bytes, name: str) -> TranscriptError:
    with pytest.raises(TranscriptError) as caught:
        parse_transcript(data, name)
    return caught.value
