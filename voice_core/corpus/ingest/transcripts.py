"""A transcript's bytes → lines with times, or a reason for each line that cannot be read.

Formats, by the extension of the transcript's name:

- `.json`, native: `{"segments": [{start, end, text, speaker_id, gender, dialect, tone}]}`, or the bare list; the
  labels are those of `stages/labels.py`.
  Times in seconds; the text is passed on byte for byte.
- `.json`, Whisper (OpenAI, faster-whisper, whisperX): the same key. Taken for Whisper's when a segment carries
  one of its measures (`avg_logprob`, `tokens`, `words` …) or the document has `text` beside `language`, or
  `word_segments`, and no segment has a field that only the native format knows. White space around the text is
  stripped.
- `.json`, whisper.cpp: `{"transcription": [{"offsets": {"from": 0, "to": 1500}, "text": " …"}]}`, milliseconds;
  stripped likewise.
- `.srt`, `.vtt`: see `subtitles.py`.

Choices where a format says nothing: a key that occurs twice counts with its last value; a label may have another name
(`speaker` for `speaker_id`); times may be numbers in strings; labels may be numbers (3.0 is speaker "3"), null and NaN
(pandas' missing value) are "". Negative and reversed times are lines: rules with settings judge them, not the
parser.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from voice_core.corpus.ingest import subtitles
from voice_core.stages.labels import LABEL_NAMES, LABELS, Label, Labels

TRANSCRIPT_EXTENSIONS: tuple[str, ...] = (".json", ".vtt", ".srt")
"""What a transcript may be called, in order of preference."""

MAX_LINES = 500_000
"""Lines of one transcript: one a second for 138 hours."""
MAX_JSON_VALUES = 3_000_000
"""Commas and opening brackets in a JSON transcript, which bound the objects that decoding makes (some 150 bytes
each at worst). Ten hours of Whisper's output with words and tokens has about 700,000."""
MAX_SUBTITLE_LINES = 1_000_000
"""Text lines of a subtitle file. Ten hours with a cue for every word has about 400,000."""

_LABEL_LIST = f"{', '.join(LABEL_NAMES[:-1])} or {LABEL_NAMES[-1]}"
BAD_LINE_REASONS = {
    "not_an_object": "a segment that is no JSON object",
    "missing_time": "a segment without start or end, or with null there",
    "bad_time": "start or end is no number, or NaN, or infinite",
    "bad_text": "the text is missing, no string, or holds a lone surrogate or NUL",
    "bad_metadata": f"{_LABEL_LIST} is no string or finite number, or not storable",
    "bad_cue": "a subtitle cue whose times cannot be read, or text outside of any cue",
}

_MOST_TIME_CHARACTERS = 80
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHISPER_MEASURES = ("avg_logprob", "no_speech_prob", "compression_ratio", "seek", "tokens", "words")


@dataclass(frozen=True, slots=True)
class Line(Labels):
    """One line of a transcript, with its labels.

    `index` is its position in the transcript from 0, bad lines counted. Times are finite seconds from the start of
    the recording; they may be negative or reversed. Every string can be stored as UTF-8 and has no NUL (numpy
    drops trailing ones). `text` is the source's own, but for white space around Whisper's and a cue's markup.
    """

    index: int
    start_sec: float
    end_sec: float
    text: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be read.

    `reason` is a key of `BAD_LINE_REASONS`; `message` says to a person what is wrong and where (a line number from
    1, or a path such as `segments[3].start`); `text` is what could be recovered, with U+FFFD for what cannot be
    stored.
    """

    index: int
    reason: str
    message: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """`format` is native, whisper, whisper.cpp, srt or vtt; `language` what the file names, or ""."""

    lines: tuple[Line | BadLine, ...]
    format: str
    language: str = ""


class TranscriptError(ValueError):
    """The whole transcript is unreadable.

    `reason`: transcript_unknown_format (its extension), transcript_empty, transcript_not_text (neither UTF-8 nor
    UTF-16 with a byte order mark), transcript_not_json, transcript_no_segments, transcript_no_header (WebVTT),
    transcript_no_cues (SRT), transcript_too_large. The message begins with the transcript's name.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["TranscriptError"], tuple[str, str]]:
        return type(self), (self.reason, str(self))  # raised in worker processes too


def parse_transcript(data: bytes, name: str) -> Transcript:
    """The transcript in `data`; `name` (a file name or key) chooses the format and stands in messages.

    Pure. Memory is a few times the size of `data`, time linear in it. Raises TranscriptError and nothing else.

    >>> parse_transcript(b'[{"start": 0, "end": "1.5", "text": "Hi", "speaker": 7}]', "a.json").lines
    (Line(speaker_id='7', gender='', dialect='', tone='', index=0, start_sec=0.0, end_sec=1.5, text='Hi'),)
    >>> parse_transcript(b'{"segments": [{"start": NaN, "end": 2, "text": "Hi"}]}', "a.json").lines
    (BadLine(index=0, reason='bad_time', message='segments[0].start is not a finite number: nan', text='Hi'),)
    """
    name = _storable(name)
    parse = _PARSERS.get(_extension(name))
    if parse is None:
        known = ", ".join(TRANSCRIPT_EXTENSIONS)
        raise TranscriptError("transcript_unknown_format", f"{name}: its extension is none of {known}")
    text = _decode(data, name)
    if not text or text.isspace():
        raise TranscriptError("transcript_empty", f"{name}: the file is empty ({len(data)} bytes)")
    return parse(text, name)


def _extension(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot >= 0 else ""


def _decode(data: bytes, name: str) -> str:
    """UTF-8 with or without byte order mark, or UTF-16 with one."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where, why = f"line {line}, byte {error.start}", error.reason
    # Raised out here: inside, the decoder's error would be its context and keep all of `data` alive.
    wanted = encoding.removesuffix("-sig").upper()
    message = f"{name}, {where}: not {wanted} text ({why}); save the file as UTF-8"
    raise TranscriptError("transcript_not_text", message)


def _check_size(name: str, what: str, count: int, limit: int) -> None:
    if count > limit:
        raise TranscriptError("transcript_too_large", f"{name}: {count:,} {what}; at most {limit:,} are read")


# --- JSON ----------------------------------------------------------------------------------------------------


def _parse_json(text: str, name: str) -> Transcript:
    values = text.count(",") + text.count("{") + text.count("[")
    _check_size(name, "values", values, MAX_JSON_VALUES)
    document = _load_json(text, name)
    key, segments = _segments(document, name)
    _check_size(name, "segments", len(segments), MAX_LINES)
    source = "whisper.cpp" if key == "transcription" else _native_or_whisper(document, segments)
    read = _read_whisper_cpp if source == "whisper.cpp" else _read_segment
    lines: list[Line | BadLine] = []
    for index, segment in enumerate(segments):
        try:
            line = read(index, segment, f"{key}[{index}]")
        except _BadLineError as bad:
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
        problem = ": JSON nested too deeply to be a transcript"
    except ValueError:  # an integer of thousands of digits: it spoils its own line, not the others
        problem = ""
    if not problem:
        try:
            return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= 400 else math.inf)
        except (ValueError, RecursionError):
            problem = ": not JSON: a number cannot be read"
    # Raised out here, as in _decode: a JSONDecodeError holds the whole text.
    raise TranscriptError("transcript_not_json", f"{name}{problem}")


def _segments(document: Any, name: str) -> tuple[str, list[Any]]:
    """The list of segments, and the key that it stands under ("" where it is the document)."""
    if isinstance(document, list):
        return "", document
    if not isinstance(document, dict):
        what = f"{_describe_value(document)} instead of an object with `segments`"
    else:
        for key in ("segments", "transcription"):
            if isinstance(document.get(key), list):
                return key, document[key]
        key = next((key for key in ("segments", "transcription") if key in document), "")
        what = (
            f"`{key}` is {_describe_value(document[key])}, not a list"
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


class _BadLineError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _read_segment(index: int, segment: Any, path: str) -> Line:
    fields = _object(segment, path)
    start_sec = _time(fields.get("start"), f"{path}.start")
    end_sec = _time(fields.get("end"), f"{path}.end")
    return _line(index, fields, path, start_sec, end_sec)


def _read_whisper_cpp(index: int, segment: Any, path: str) -> Line:
    fields = _object(segment, path)
    offsets = fields.get("offsets")
    if not isinstance(offsets, dict):
        raise _BadLineError("missing_time", f"{path}.offsets with `from` and `to` in milliseconds is missing")
    start_ms = _time(offsets.get("from"), f"{path}.offsets.from")
    end_ms = _time(offsets.get("to"), f"{path}.offsets.to")
    return _line(index, fields, path, start_ms / 1000, end_ms / 1000)


def _object(segment: Any, path: str) -> dict[str, Any]:
    if not isinstance(segment, dict):
        raise _BadLineError("not_an_object", f"{path} is not an object: {_describe_value(segment)}")
    return segment


def _line(index: int, fields: dict[str, Any], path: str, start_sec: float, end_sec: float) -> Line:
    text = fields.get("text")
    if not isinstance(text, str):
        raise _BadLineError("bad_text", f"{path}.text is not a string: {_describe_value(text)}")
    if unstorable := _UNSTORABLE.search(text):
        raise _BadLineError("bad_text", f"{path}.text: {_not_storable(unstorable)}: {_describe_value(text)}")
    labels = {label.name: _label(fields, label, path) for label in LABELS}
    return Line(index, start_sec, end_sec, text, **labels)


def _label(fields: dict[str, Any], label: Label, path: str) -> str:
    """The label under its name, or where that is missing or empty, under the first alias that is not."""
    names = (label.name, *label.aliases)
    name = next((name for name in names if fields.get(name) not in (None, "")), names[-1])
    return _metadata(fields.get(name), f"{path}.{name}")


def _time(value: Any, path: str) -> float:
    if value is None:
        raise _BadLineError("missing_time", f"{path} is missing")
    number = math.nan
    if isinstance(value, str):
        digits = value.strip() if len(value) <= _MOST_TIME_CHARACTERS else ""
        if _NUMBER.fullmatch(digits):
            number = float(digits)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise _BadLineError("bad_time", f"{path} is not a finite number: {_describe_value(value)}")
    return number


def _metadata(value: Any, path: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        if unstorable := _UNSTORABLE.search(value):
            raise _BadLineError("bad_metadata", f"{path}: {_not_storable(unstorable)}: {_describe_value(value)}")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _BadLineError("bad_metadata", f"{path} is neither a string nor a finite number: {_describe_value(value)}")


def _language(document: Any) -> str:
    """`language`, or whisper.cpp's `result.language`."""
    if not isinstance(document, dict):
        return ""
    result = document.get("result")
    value = document.get("language") or (result.get("language") if isinstance(result, dict) else "")
    return _storable(value) if isinstance(value, str) else ""


# --- subtitles -----------------------------------------------------------------------------------------------


def _parse_srt(text: str, name: str) -> Transcript:
    _check_size(name, "lines", subtitles.count_lines(text), MAX_SUBTITLE_LINES)
    cues = subtitles.parse_srt(text)
    if subtitles.ARROW not in text and all(cue.problem for cue in cues):
        example = "00:00:01,000 --> 00:00:02,000"
        raise TranscriptError("transcript_no_cues", f"{name}: no line of times such as {example}")
    return Transcript(_cue_lines(cues, name), "srt")


def _parse_vtt(text: str, name: str) -> Transcript:
    if not subtitles.is_webvtt(text):
        raise TranscriptError("transcript_no_header", f"{name}, line 1: WEBVTT is expected here")
    _check_size(name, "lines", subtitles.count_lines(text), MAX_SUBTITLE_LINES)
    cues, language = subtitles.parse_vtt(text)
    return Transcript(_cue_lines(cues, name), "vtt", _storable(language))


def _cue_lines(cues: list[subtitles.Cue], name: str) -> tuple[Line | BadLine, ...]:
    _check_size(name, "cues", len(cues), MAX_LINES)
    return tuple(_cue_line(index, cue) for index, cue in enumerate(cues))


def _cue_line(index: int, cue: subtitles.Cue) -> Line | BadLine:
    if cue.problem:
        return BadLine(index, "bad_cue", cue.problem, _storable(cue.text))
    if unstorable := _UNSTORABLE.search(cue.text + cue.speaker):
        message = f"the cue at {cue.start_sec:.3f} s: {_not_storable(unstorable)}: {_describe_value(cue.text)}"
        return BadLine(index, "bad_text", message, _storable(cue.text))
    return Line(index, cue.start_sec, cue.end_sec, cue.text, speaker_id=cue.speaker)


_PARSERS: dict[str, Callable[[str, str], Transcript]] = {
    ".json": _parse_json,
    ".vtt": _parse_vtt,
    ".srt": _parse_srt,
}


# --- for messages --------------------------------------------------------------------------------------------


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _not_storable(match: re.Match[str]) -> str:
    what = "a NUL" if match[0] == "\x00" else f"a lone surrogate (U+{ord(match[0]):04X})"
    return f"character {match.start()} is {what}, which cannot be stored"


def _recover_text(segment: Any) -> str:
    text = segment.get("text") if isinstance(segment, dict) else segment
    return _storable(text) if isinstance(text, str) else ""


def _describe_value(value: Any) -> str:
    """What a value is. Text is not quoted: messages go to logs and to Dagster, where `voice forget` does not reach.

    Lists and objects stay closed: they may be as deep as the file is long.

    >>> [_describe_value(value) for value in ("a" * 100, [1, 2], {}, None, 10**500)]
    ['a string of 100 characters', 'a list of 2', 'an object', 'nothing', 'an integer of about 501 digits']
    """
    if isinstance(value, str):
        return f"a string of {len(value)} character{'' if len(value) == 1 else 's'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None:
        return "nothing"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    return repr(value)
