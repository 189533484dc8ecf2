"""A transcript: lines with times, and lines that could not be read."""

from dataclasses import dataclass

from voice_core.corpus.labels import LABEL_NAMES, Labels

MAX_LINES = 500_000
"""Lines of one transcript: one a second for 138 hours."""

_LABELS = f"{', '.join(LABEL_NAMES[:-1])} or {LABEL_NAMES[-1]}"
BAD_LINE_REASONS = {
    "not_an_object": "a segment is not a JSON object",
    "missing_time": "a segment has no start or end, or it is null",
    "bad_time": "start or end is not a number, or is NaN or infinite",
    "bad_text": "the text is missing, is not a string, or contains a lone surrogate or NUL",
    "bad_metadata": f"{_LABELS} is neither a string nor a finite number, or cannot be stored",
    "bad_cue": "the times of a subtitle cue cannot be read, or text is outside of any cue",
}


@dataclass(frozen=True, slots=True)
class Line(Labels):
    """One line of a transcript, with its labels.

    `index` is its position in the transcript from 0, bad lines counted. Times are finite seconds from the start of
    the recording; they may be negative or reversed. Every string can be stored as UTF-8 and contains no NUL (numpy
    drops trailing ones). `text` is unchanged, except for surrounding white space in Whisper's formats and markup in
    subtitles.
    """

    index: int
    start_sec: float
    end_sec: float
    text: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be read.

    `reason` is a key of `BAD_LINE_REASONS`. `message` describes the error and its position (a line number from 1, or
    a path such as `segments[3].start`). `text` is the text that could be recovered, with U+FFFD in place of
    characters that cannot be stored.
    """

    index: int
    reason: str
    message: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """`format` is native, whisper, whisper.cpp, srt or vtt; `language` is the one that the file names, or ""."""

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
        return type(self), (self.reason, str(self))  # worker processes raise it, so it is pickled


def check_count(name: str, what: str, count: int, limit: int) -> None:
    """Raise `TranscriptError` if a transcript has more than `limit` of something."""
    if count > limit:
        raise TranscriptError("transcript_too_large", f"{name}: {count:,} {what}; the limit is {limit:,}")
