"""Subtitles as transcripts: SubRip (.srt) and WebVTT (.vtt).

No library is used because the Python ones silently drop a malformed cue, stop at it, or rewrite its text. Here every
cue becomes a row of a manifest, so an unreadable cue is returned with a `problem` and all of its text.

Both formats are read tolerantly: CRLF, CR, LF (and CR CR LF, the result of a doubled conversion); comma or dot before
decimals (".5" is half a second); optional hours; optional spaces around the arrow; any line of text before the times
as identifier; a missing blank line between cues; settings after the times. In SRT, text after a blank line belongs to
the preceding cue. In WebVTT a blank line ends the cue, as the specification says, and text outside of a cue is a cue
with a problem. NOTE, STYLE and REGION blocks of WebVTT are skipped. Only the tags below are markup: "<noise>" and
"3 < 5" are text.

Formats: https://www.w3.org/TR/webvtt1/ and, for SRT, which has no specification, what players accept.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from voice_core.corpus.ingest.transcript_fields import describe_value, find_unstorable, to_storable
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

_ARROW = "-->"

# The input is untrusted and its lines may have any length, so each expression must run in linear time: no unbounded
# repeat is next to another that matches the same characters, and each stops where the next match may start.
_TIMESTAMP = re.compile(r"(-?)(?:(\d{1,5}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?", re.ASCII)
_STARTS_LIKE_TIME = re.compile(r"\s*-?\d{1,5}:\d", re.ASCII)
_TWO_TIMES = re.compile(r"\s*\d{1,5}:\d\d[\d:.,]*[^\d:.,]+\d{1,5}:\d\d", re.ASCII)
_COMMENT = re.compile(r"NOTE(?:[ \t]|$)|(?:STYLE|REGION)[ \t]*$")
_NAMES = "b|i|u|s|c|v|lang|ruby|rt|font|span"
_TAG = re.compile(
    rf"</?(?:{_NAMES})(?:[.\s/][^<>]*)?>"  # <i>, </i>, <c.yellow.bg_blue>, <v Layla>, <font color="red">
    r"|<[\d:.,]+>"  # <00:00:01.000>
    r"|\{\\[^{}]*\}",  # {\an8}
    re.IGNORECASE | re.ASCII,
)
_LINE_BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos|nbsp|lrm|rlm)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));", re.ASCII)
_ENTITIES = {
    "amp": "&",
    "lt": "<",
    "gt": ">",
    "quot": '"',
    "apos": "'",
    "nbsp": "\u00a0",
    "lrm": "\u200e",
    "rlm": "\u200f",
}


@dataclass(frozen=True, slots=True)
class _Cue:
    """One cue of a subtitle file.

    Times are finite seconds from the start of the recording. If there is a `problem` (a message with the line number
    in the file, from 1), the times are 0 and without meaning, and the text is the cue's.
    """

    start_sec: float
    end_sec: float
    text: str
    speaker: str = ""
    problem: str = ""


@dataclass(slots=True)
class _Draft:
    """A cue being collected. `timing` is None for text outside of any cue."""

    line_number: int
    timing: str | None
    identifier: str = ""
    payload: list[str] = field(default_factory=list)


def parse_srt(text: str, name: str) -> Transcript:
    """Parse a SubRip file. Raises `TranscriptError`."""
    check_count(name, "lines", _count_lines(text), MAX_SUBTITLE_LINES)
    cues = _parse_srt_cues(text)
    if _ARROW not in text and all(cue.problem for cue in cues):
        example = "00:00:01,000 --> 00:00:02,000"
        raise TranscriptError("transcript_no_cues", f"{name}: no line of times such as {example}")
    return Transcript(_to_lines(cues, name), "srt")


def parse_vtt(text: str, name: str) -> Transcript:
    """Parse a WebVTT file. Raises `TranscriptError`."""
    if not _is_webvtt(text):
        raise TranscriptError("transcript_no_header", f"{name}, line 1: the header WEBVTT is expected here")
    check_count(name, "lines", _count_lines(text), MAX_SUBTITLE_LINES)
    cues, language = _parse_vtt_cues(text)
    return Transcript(_to_lines(cues, name), "vtt", to_storable(language))


def _to_lines(cues: list[_Cue], name: str) -> tuple[Line | BadLine, ...]:
    check_count(name, "cues", len(cues), MAX_LINES)
    return tuple(_to_line(index, cue) for index, cue in enumerate(cues))


def _to_line(index: int, cue: _Cue) -> Line | BadLine:
    if cue.problem:
        return BadLine(index, "bad_cue", cue.problem, to_storable(cue.text))
    if problem := find_unstorable(cue.text + cue.speaker):
        message = f"the cue at {cue.start_sec:.3f} s: {problem}: {describe_value(cue.text)}"
        return BadLine(index, "bad_text", message, to_storable(cue.text))
    return Line(index, cue.start_sec, cue.end_sec, cue.text, speaker_id=cue.speaker)


def _parse_srt_cues(text: str) -> list[_Cue]:
    """The cues of a SubRip file, in file order.

    >>> _parse_srt_cues("1\\n00:00:01,500 --> 00:00:02,000\\n<i>Hello</i>\\nworld\\n")
    [_Cue(start_sec=1.5, end_sec=2.0, text='Hello world', speaker='', problem='')]
    """
    drafts: list[_Draft] = []
    lone_number: tuple[int, str] | None = None

    def outside(number: int, lines: list[str]) -> None:
        if drafts and not _is_number(lines[-1]):
            drafts[-1].payload += lines
        else:
            drafts.append(_Draft(number, None, "", lines))

    for number, lines in _blocks(text, blank=str.isspace):
        cues, before = _split_block(number, lines)
        if lone_number is not None:
            # In a file with a blank line after every line, the cue's number is a block by itself.
            if cues and not before and not cues[0].identifier:
                cues[0].identifier = lone_number[1]
            else:
                outside(lone_number[0], [lone_number[1]])
            lone_number = None
        if not cues and len(before) == 1 and _is_number(before[0]):
            lone_number = (number, before[0])
        elif before:
            outside(number, before)
        drafts += cues
    if lone_number is not None:
        outside(lone_number[0], [lone_number[1]])
    return [_to_cue(draft, entities=False) for draft in drafts]


def _is_webvtt(text: str) -> bool:
    """Whether text starts with WebVTT's header.

    >>> _is_webvtt("WEBVTT - made by hand\\n"), _is_webvtt("WEBVTTX"), _is_webvtt("1\\n00:01 --> 00:02")
    (True, False, False)
    """
    return text.startswith("WEBVTT") and text[6:7] in ("", " ", "\t", "\n", "\r")


def _parse_vtt_cues(text: str) -> tuple[list[_Cue], str]:
    """The cues of a WebVTT file, in file order, and the language in its header, or "".

    >>> _parse_vtt_cues("WEBVTT\\nLanguage: ar\\n\\n00:01.000 --> 00:02.000 align:start\\n<v Layla>&lt;نعم&gt;\\n")
    ([_Cue(start_sec=1.0, end_sec=2.0, text='<نعم>', speaker='Layla', problem='')], 'ar')
    """
    drafts: list[_Draft] = []
    language = ""
    for number, lines in _blocks(text, blank=lambda line: False):
        if _is_comment(lines):
            continue
        cues, before = _split_block(number, lines)
        if number == 1:  # the header's block
            for line in before:
                key, _, value = line.partition(":")
                if key.strip().lower() == "language":
                    language = value.strip()
        elif before and not _COMMENT.match(before[0]):
            drafts.append(_Draft(number, None, "", before))
        drafts += cues
    return [_to_cue(draft, entities=True) for draft in drafts], language


def _count_lines(text: str) -> int:
    """An upper bound for the lines of text, without splitting it."""
    return text.count("\n") + text.count("\r") + 1


def _is_comment(lines: list[str]) -> bool:
    """Whether a WebVTT block contains no speech. A block with times is a cue, as in the specification."""
    if not _COMMENT.match(lines[0]):
        return False
    return not any(_ARROW in line and _STARTS_LIKE_TIME.match(line) for line in lines)


def _is_number(line: str) -> bool:
    return line.strip().isdecimal()


def _blocks(text: str, *, blank: Callable[[str], bool]) -> Iterator[tuple[int, list[str]]]:
    """Runs of non-empty lines, each with the number of its first line, from 1.

    A line of spaces is blank in SRT but not in WebVTT: YouTube writes such lines inside cues.
    """
    block: list[str] = []
    number = 0
    normal = text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(normal.split("\n"), start=1):
        if line and not blank(line):
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []
    if block:
        yield number - len(block) + 1, block


def _split_block(number: int, lines: list[str]) -> tuple[list[_Draft], list[str]]:
    """A block's cues (several if blank lines are missing), and the lines before them that are not an identifier."""
    at: list[int] = []
    for i, line in enumerate(lines):
        left, arrow, right = line.partition(_ARROW)
        if arrow:
            looks_right = _STARTS_LIKE_TIME.match(left) or _STARTS_LIKE_TIME.match(right)
            if looks_right or (not at and i <= 1):
                at.append(i)
        elif not at and i <= 1 and _TWO_TIMES.match(line[:200]):
            at.append(i)
    if not at:
        return [], lines
    cues: list[_Draft] = []
    before: list[str] = []
    for nth, i in enumerate(at):
        preceding = lines[at[nth - 1] + 1 : i] if nth else lines[:i]
        identifier = ""
        if cues:
            if preceding and _is_number(preceding[-1]) and _is_number(cues[-1].identifier):
                identifier = preceding.pop()
            cues[-1].payload = preceding
        else:
            if len(preceding) == 1 or (preceding and _is_number(preceding[-1])):
                identifier = preceding.pop()
            before = preceding
        cues.append(_Draft(number + i, lines[i], identifier))
    cues[-1].payload = lines[at[-1] + 1 :]
    return cues, before


def _to_cue(draft: _Draft, *, entities: bool) -> _Cue:
    texts: list[str] = []
    voices: dict[str, None] = {}
    for line in draft.payload:
        for voice in _VOICE.findall(line):
            voices[_decode_entities(voice.strip()) if entities else voice.strip()] = None
        clean = _TAG.sub("", _LINE_BREAK_TAG.sub(" ", line)).strip()
        if clean:
            texts.append(_decode_entities(clean) if entities else clean)
    text = " ".join(texts)
    # Two voices in one cue are a separate speaker: either name alone would be wrong for half of the speech.
    speaker = "; ".join(filter(None, voices))
    if draft.timing is None:
        problem = f"line {draft.line_number}: text outside of any cue"
        return _Cue(0.0, 0.0, text, speaker, problem)
    try:
        start_sec, end_sec = _parse_timing(draft.timing)
    except ValueError as error:
        return _Cue(0.0, 0.0, text, speaker, f"line {draft.line_number}: {error}")
    return _Cue(start_sec, end_sec, text, speaker)


def _parse_timing(line: str) -> tuple[float, float]:
    """Start and end in seconds.

    >>> _parse_timing("00:01,5-->01:00:00.250 align:start position:0%")
    (1.5, 3600.25)
    """
    left, arrow, right = line.partition(_ARROW)
    if not arrow:
        raise ValueError("no '-->' between the two times")
    end = right.split(maxsplit=1)
    return _parse_timestamp(left.strip(), "start"), _parse_timestamp(end[0] if end else "", "end")


def _parse_timestamp(stamp: str, which: str) -> float:
    match = _TIMESTAMP.fullmatch(stamp)
    if match is None:
        raise ValueError(f"the {which} time is not HH:MM:SS.mmm")
    sign, hours, minutes, seconds, fraction = match.groups()
    if int(minutes) > 59 or int(seconds) > 59:
        raise ValueError(f"the {which} time has minutes or seconds beyond 59")
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return float(f"{sign}{whole}.{fraction or 0}")


def _decode_entities(text: str) -> str:
    """One pass: `&amp;lt;` is `&lt;`. A reference to a character that UTF-8 cannot store is not changed."""
    return _ENTITY.sub(_entity, text) if "&" in text else text


def _entity(match: re.Match[str]) -> str:
    name, decimal, hexadecimal = match.groups()
    if name:
        return _ENTITIES[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    storable = 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
    return chr(code) if storable else match[0]
