"""Writes transcripts in common formats: the native JSON, Whisper's JSON, SubRip and WebVTT."""

import json
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

TranscriptRow = dict[str, Any]
"""A native segment: start, end (seconds), text, speaker_id, gender, dialect, tone."""
TranscriptKind = Literal["native", "whisper", "srt", "vtt"]


def format_native_json(rows: Sequence[object]) -> str:
    """`{"segments": [...]}`. Like most JSON written in Python, it has NaN for not-a-number."""
    return json.dumps({"segments": list(rows)}, ensure_ascii=False, indent=1) + "\n"


def format_whisper_json(rows: Sequence[TranscriptRow]) -> str:
    """The output of openai-whisper's `--output_format json`: texts begin with a space, and speakers have no names."""
    segments = [
        {
            "id": number,
            "seek": int(row["start"] // 30) * 3000,
            "start": row["start"],
            "end": row["end"],
            "text": " " + row["text"],
            "tokens": [50364, 50364 + number],
            "temperature": 0.0,
            "avg_logprob": -0.21,
            "compression_ratio": 1.5,
            "no_speech_prob": 0.01,
        }
        for number, row in enumerate(rows)
    ]
    text = "".join(str(segment["text"]) for segment in segments)
    return json.dumps({"text": text, "segments": segments, "language": "en"}, ensure_ascii=False) + "\n"


def format_srt(rows: Sequence[TranscriptRow]) -> str:
    """SubRip as a Windows tool saves it: byte order mark, CRLF, texts wrapped to two or more lines."""
    cues = (
        f"{number}\n{format_timestamp(row['start'], ',')} --> {format_timestamp(row['end'], ',')}\n"
        f"{_wrapped(row['text'])}\n"
        for number, row in enumerate(rows, 1)
    )
    return "\ufeff" + "\n".join(cues).replace("\n", "\r\n")


def format_vtt(rows: Sequence[TranscriptRow]) -> str:
    """WebVTT with a note, cue identifiers, cue settings and voice tags: `<v mara>…</v>` names the speaker."""
    cues = (
        f"{number}\n{format_timestamp(row['start'], '.')} --> {format_timestamp(row['end'], '.')} align:start\n"
        f"<v {row['speaker_id']}>{_escaped(row['text'])}</v>\n"
        for number, row in enumerate(rows, 1)
    )
    return "WEBVTT\n\nNOTE made for the demo world\n\n" + "\n".join(cues)


WRITERS: Final[dict[TranscriptKind, tuple[str, Callable[[Sequence[Any]], str]]]] = {
    "native": (".json", format_native_json),
    "whisper": (".json", format_whisper_json),
    "srt": (".srt", format_srt),
    "vtt": (".vtt", format_vtt),
}
"""By kind: the file's suffix and what writes its text."""


def format_timestamp(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds.

    >>> format_timestamp(3725.5, ",")
    '01:02:05,500'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 42))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
