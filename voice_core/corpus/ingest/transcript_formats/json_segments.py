"""JSON transcripts: the native format, and the formats of OpenAI Whisper, faster-whisper, whisperX and whisper.cpp.

- native: `{"segments": [{start, end, text, speaker_id, gender, dialect, tone}]}`, or the bare list. Times in seconds;
  the text is not changed.
- whisper (OpenAI, faster-whisper, whisperX): the same key. Detected by a segment with one of Whisper's measures
  (`avg_logprob`, `tokens`, `words` …), or by a document with `text` and `language`, or `word_segments`; in each case
  only if no segment has a field of the native format. White space around the text is stripped.
- whisper.cpp: `{"transcription": [{"offsets": {"from": 0, "to": 1500}, "text": " …"}]}`, milliseconds; stripped too.
"""

import json
import math
from dataclasses import replace
from typing import Any

from voice_core.corpus.ingest.transcript_fields import (
    BadLineError,
    describe_value,
    parse_line,
    parse_time,
    to_storable,
)
from voice_core.corpus.ingest.transcript_types import (
    MAX_LINES,
    BadLine,
    Line,
    Transcript,
    TranscriptError,
    check_count,
)
from voice_core.corpus.labels import LABEL_NAMES

MAX_JSON_VALUES = 3_000_000
"""Commas and opening brackets in a JSON transcript. They bound the objects that decoding makes (about 150 bytes each
at worst). Ten hours of Whisper's output with words and tokens has about 700,000."""

_WHISPER_MEASURES = ("avg_logprob", "no_speech_prob", "compression_ratio", "seek", "tokens", "words")


def parse_json(text: str, name: str) -> Transcript:
    """Parse a JSON transcript. Raises `TranscriptError`."""
    values = text.count(",") + text.count("{") + text.count("[")
    check_count(name, "values", values, MAX_JSON_VALUES)
    document = _load_json(text, name)
    key, segments = _find_segments(document, name)
    check_count(name, "segments", len(segments), MAX_LINES)
    source = "whisper.cpp" if key == "transcription" else _native_or_whisper(document, segments)
    read = _read_whisper_cpp if source == "whisper.cpp" else _read_segment
    lines: list[Line | BadLine] = []
    for index, segment in enumerate(segments):
        try:
            line = read(index, segment, f"{key}[{index}]")
        except BadLineError as bad:
            lines.append(BadLine(index, bad.reason, str(bad), _recover_text(segment)))
            continue
        lines.append(line if source == "native" else replace(line, text=line.text.strip()))
    return Transcript(tuple(lines), source, _language(document))


def _load_json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = f", line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
    except RecursionError:
        problem = ": the JSON is nested too deeply for a transcript"
    except ValueError:  # an integer of thousands of digits makes only its own line unreadable
        problem = ""
    if not problem:
        try:
            return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= 400 else math.inf)
        except (ValueError, RecursionError):
            problem = ": not JSON: a number cannot be read"
    # Raised outside of `except`: a JSONDecodeError as context would keep the whole text in memory.
    raise TranscriptError("transcript_not_json", f"{name}{problem}")


def _find_segments(document: Any, name: str) -> tuple[str, list[Any]]:
    """The key of the list of segments ("" if the document is the list), and the list."""
    if isinstance(document, list):
        return "", document
    if not isinstance(document, dict):
        what = f"{describe_value(document)} instead of an object with `segments`"
    else:
        for key in ("segments", "transcription"):
            if isinstance(document.get(key), list):
                return key, document[key]
        key = next((key for key in ("segments", "transcription") if key in document), "")
        what = (
            f"`{key}` is {describe_value(document[key])}, not a list"
            if key
            else "neither `segments` nor `transcription`"
        )
    raise TranscriptError("transcript_no_segments", f"{name}: {what}")


def _native_or_whisper(document: Any, segments: list[Any]) -> str:
    keys = set().union(*(segment for segment in segments if isinstance(segment, dict)))
    if not keys.isdisjoint(LABEL_NAMES):
        return "native"
    whole = document if isinstance(document, dict) else {}
    by_document = "word_segments" in whole or ("language" in whole and "text" in whole)
    return "whisper" if by_document or not keys.isdisjoint(_WHISPER_MEASURES) else "native"


def _read_segment(index: int, segment: Any, path: str) -> Line:
    fields = _as_object(segment, path)
    start_sec = parse_time(fields.get("start"), f"{path}.start")
    end_sec = parse_time(fields.get("end"), f"{path}.end")
    return parse_line(index, fields, path, start_sec, end_sec)


def _read_whisper_cpp(index: int, segment: Any, path: str) -> Line:
    fields = _as_object(segment, path)
    offsets = fields.get("offsets")
    if not isinstance(offsets, dict):
        raise BadLineError("missing_time", f"{path}.offsets with `from` and `to` in milliseconds is missing")
    start_ms = parse_time(offsets.get("from"), f"{path}.offsets.from")
    end_ms = parse_time(offsets.get("to"), f"{path}.offsets.to")
    return parse_line(index, fields, path, start_ms / 1000, end_ms / 1000)


def _as_object(segment: Any, path: str) -> dict[str, Any]:
    if not isinstance(segment, dict):
        raise BadLineError("not_an_object", f"{path} is not an object: {describe_value(segment)}")
    return segment


def _recover_text(segment: Any) -> str:
    text = segment.get("text") if isinstance(segment, dict) else segment
    return to_storable(text) if isinstance(text, str) else ""


def _language(document: Any) -> str:
    """`language`, or whisper.cpp's `result.language`."""
    if not isinstance(document, dict):
        return ""
    result = document.get("result")
    value = document.get("language") or (result.get("language") if isinstance(result, dict) else "")
    return to_storable(value) if isinstance(value, str) else ""
