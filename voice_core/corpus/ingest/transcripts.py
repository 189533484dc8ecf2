"""Transcripts: the bytes of a file → lines with times, and a reason for each line that cannot be read.

`TRANSCRIPT_FORMATS` is the registry of formats. To add one, write a module in `transcript_formats/` that turns text
into a `Transcript`, and add an entry to the registry.

Common to all formats: if a key occurs twice, its last value counts; `speaker` is an alias of `speaker_id`; times may be
numbers in strings; metadata may be numbers (3.0 is speaker "3"), and null and NaN (pandas' missing value) are "".
Negative and reversed times are lines: the rules of the segment stage judge them, not the parser.
"""

from collections.abc import Callable
from dataclasses import dataclass

from voice_core.corpus.ingest.transcript_fields import to_storable
from voice_core.corpus.ingest.transcript_formats.json_segments import parse_json
from voice_core.corpus.ingest.transcript_formats.subtitles import parse_srt, parse_vtt
from voice_core.corpus.ingest.transcript_types import Transcript, TranscriptError


@dataclass(frozen=True, slots=True)
class TranscriptFormat:
    """A transcript format.

    `extensions` are in lower case, with the dot. `parse(text, name)` returns the transcript or raises
    `TranscriptError` with a message that begins with `name`. `detect(text)` tells formats with the same extension
    apart: the first format in the registry that accepts the text is used.
    """

    name: str
    extensions: tuple[str, ...]
    parse: Callable[[str, str], Transcript]
    detect: Callable[[str], bool] = lambda text: True


TRANSCRIPT_FORMATS: list[TranscriptFormat] = [
    TranscriptFormat("json", (".json",), parse_json),
    TranscriptFormat("vtt", (".vtt",), parse_vtt),
    TranscriptFormat("srt", (".srt",), parse_srt),
]
"""In order of preference: if a recording has several transcripts, the first of these formats is used."""


def transcript_extensions() -> tuple[str, ...]:
    """The file extensions of all formats, in order of preference.

    >>> transcript_extensions()
    ('.json', '.vtt', '.srt')
    """
    return tuple(dict.fromkeys(extension for item in TRANSCRIPT_FORMATS for extension in item.extensions))


def parse_transcript(data: bytes, name: str) -> Transcript:
    """Parse a transcript. `name` (a file name or key) selects the format and is named in messages.

    Pure. Takes linear time and a few times the memory of `data`. Raises only `TranscriptError`.

    >>> parse_transcript(b'[{"start": 0, "end": "1.5", "text": "Hi", "speaker": 7}]', "a.json").lines
    (Line(speaker_id='7', gender='', dialect='', tone='', index=0, start_sec=0.0, end_sec=1.5, text='Hi'),)
    >>> parse_transcript(b'{"segments": [{"start": NaN, "end": 2, "text": "Hi"}]}', "a.json").lines
    (BadLine(index=0, reason='bad_time', message='segments[0].start is not a finite number: nan', text='Hi'),)
    """
    name = to_storable(name)
    extension = _extension(name)
    formats = [item for item in TRANSCRIPT_FORMATS if extension in item.extensions]
    if not formats:
        known = ", ".join(transcript_extensions())
        raise TranscriptError("transcript_unknown_format", f"{name}: its extension is none of {known}")
    text = _decode(data, name)
    if not text or text.isspace():
        raise TranscriptError("transcript_empty", f"{name}: the file is empty ({len(data)} bytes)")
    chosen = next((item for item in formats if item.detect(text)), None)
    if chosen is None:
        known = ", ".join(item.name for item in formats)
        raise TranscriptError("transcript_unknown_format", f"{name}: its content is none of these formats: {known}")
    return chosen.parse(text, name)


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
    # Raised outside of `except`: the decoder's error as context would keep all of `data` in memory.
    wanted = encoding.removesuffix("-sig").upper()
    message = f"{name}, {where}: not {wanted} text ({why}); save the file as UTF-8"
    raise TranscriptError("transcript_not_text", message)
