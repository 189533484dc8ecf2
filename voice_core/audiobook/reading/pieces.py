"""A block together with what the reader needs to know of it until chapters are made."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from voice_core.audiobook.model import Block, BlockKind, SkippedText
from voice_core.language import primary_subtag

BREAK = "\x0b"
"""Marks the end of a line inside a run of text. Documents cannot have it: control characters are removed before."""
SPEAKER = re.compile(r"\s*\[[^\]\n]{1,60}\]:(?=\s)")
"""The beginning of a line that another voice speaks: "[Anna]: Hello.\""""
ORNAMENT_LENGTH = 40
_KEEPS_LINES = ("verse", "code", "table")
# Soft hyphens, zero-width spaces, marks of direction, controls. The joiners U+200C and U+200D change how words are
# written and stay.
_INVISIBLE = dict.fromkeys(
    [
        *range(0x09), *range(0x0E, 0x1C), *range(0x7F, 0x85), *range(0x86, 0xA0), 0xAD, 0x61C, 0x180E, 0x200B,
        0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x2070), 0xFEFF,
    ]
)  # fmt: skip
_ORNAMENT = re.compile(r"(?:[ـ*#~•·∙●○◆◇■□▪★☆✦✧✱✳✻❖❧☙❦❀※⁂⁎⁑⸻=+_\-–—|/\\.:^§¤«»<>]|\s)+|(?:o0o|oOo|[-–— ])+")
_LONGEST_SPACED = 200
_SPACED = re.compile(r"[^\W_](?:\s{1,6}[^\W_]){3,}")
_WIDE_SPACE = re.compile(r"\s{2,}")
_SPACED_HEADING = re.compile(
    r"(CHAPTER|PART|BOOK|VOLUME)([IVXLC]+|\d+|[A-Z]{3,9})|"
    r"(CHAPTER|CONTENTS|PROLOGUE|EPILOGUE|PREFACE|FOREWORD|INTRODUCTION|NOTES|INDEX|APPENDIX|DEDICATION)",
    re.I,
)
_ELLIPSIS = re.compile(r"\W*(?:…|\.\.\.)\W*")
_ARABIC = re.compile(r"[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff]")
_ARABIC_SCRIPT = frozenset({"ar", "fa", "ur", "ps", "ckb", "sd", "ug", "ku", "ks", "pnb", "arz", "ary", "az", "ms"})


class Run(NamedTuple):
    """Adjacent text of one kind: spoken, or skipped for a reason."""

    text: str
    reason: str = ""
    language: str = ""
    raised: bool = False  # above the line


@dataclass(slots=True)
class Piece:
    """`document` is the name of its document. `anchors` are the places "document" and "document#id" that begin with
    this block. `heading` is its level, 1 to 6, 0 for others. `note` is the place of the note that it is part of;
    `marks` are the notes that it refers to."""

    block: Block
    document: str = ""
    anchors: tuple[str, ...] = ()
    heading: int = 0
    note: str = ""
    marks: tuple[str, ...] = ()
    spoken_kind: bool = False  # its document says that it is neither front nor back matter

    def skip(self, reason: str) -> None:
        """Mark the block as not spoken, unless it already is."""
        if not self.block.skipped:
            self.block = replace(self.block, skipped=reason)


def clean(text: str, kind: BlockKind = "paragraph") -> str:
    """Single spaces, no invisible characters; verse, code and rows of tables keep their lines.

    >>> clean(" so\\u00adft\\n  hyphen "), clean("a  b" + BREAK + " c", "verse")
    ('soft hyphen', 'a b\\nc')
    """
    text = without_invisible(text)
    if kind not in _KEEPS_LINES or BREAK not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split(BREAK))
    return "\n".join(line for line in lines if line)


def without_invisible(text: str) -> str:
    return text if text.isascii() else text.translate(_INVISIBLE)


def join_letters(text: str, kind: BlockKind = "paragraph") -> str:
    """As `clean`; and a line of letters with spaces between them, as headings are set, becomes its words.

    >>> join_letters("C H A P T E R   O N E"), join_letters("P R O L O G U E"), join_letters("A B C D E F")
    ('CHAPTER ONE', 'PROLOGUE', 'A B C D E F')
    """
    if kind not in ("paragraph", "heading") or len(text) > _LONGEST_SPACED or not _SPACED.fullmatch(text.strip()):
        return clean(text, kind)
    words = [re.sub(r"\s", "", word) for word in _WIDE_SPACE.split(text.strip())]
    if len(words) > 1 and max(map(len, words)) > 1 and all(map(str.isalpha, words)):
        return " ".join(words)
    found = _SPACED_HEADING.fullmatch("".join(words))
    return " ".join(filter(None, found.groups())) if found else clean(text, kind)


def is_ornament(text: str) -> bool:
    """Whether a paragraph only separates scenes.

    >>> is_ornament("* * *"), is_ornament("#"), is_ornament("⁂"), is_ornament("..."), is_ornament("No.")
    (True, True, True, False, False)
    """
    return len(text) <= ORNAMENT_LENGTH and bool(_ORNAMENT.fullmatch(text)) and not _ELLIPSIS.fullmatch(text)


def has_text(runs: Iterable[Run]) -> bool:
    """Whether anything is spoken."""
    return any(not run.reason and clean(run.text) for run in runs)


def blocks_of(
    runs: Sequence[Run], kind: BlockKind, place: str, language: str, scene_break: bool = False
) -> list[Block]:
    """The block of these runs, with what is skipped inside; one for each reason where all of it is skipped.

    `language` is the book's; a block mostly in another language gets that.
    """
    runs = _with_brackets(runs)
    if not has_text(runs):
        groups: list[list[Run]] = []
        for run in runs:
            if groups and groups[-1][0].reason == run.reason:
                groups[-1].append(run)
            else:
                groups.append([run])
        texts = [(clean("".join(run.text for run in group), kind), group[0].reason) for group in groups]
        return [Block(text, kind, place, skipped=reason) for text, reason in texts if text]
    text = join_letters("".join(run.text for run in runs if not run.reason), kind)
    if kind != "code" and is_ornament(text):
        block = Block(text, "other", place, skipped="ornament")
    else:
        spoken = _language_of(runs, text, language)
        block = Block(text, kind, place, language=spoken, scene_break_before=scene_break and kind != "heading")
    skipped: list[SkippedText] = []
    for run in runs:
        if run.reason and (part := clean(run.text)):
            skipped.append(SkippedText(part, run.reason))
    return [replace(block, inline=tuple(skipped))]


def _with_brackets(runs: Sequence[Run]) -> Sequence[Run]:
    """The brackets around a note's mark belong to the mark: "word [" + "1" + "]" is "word" + "[1]"."""
    if not any(run.reason == "note_mark" for run in runs):
        return runs
    out = list(runs)
    for i, run in enumerate(out[1:-1], 1):
        before, after = out[i - 1], out[i + 1]
        pair = before.text.rstrip()[-1:] + after.text.lstrip()[:1]
        if run.reason == "note_mark" and not before.reason and not after.reason and pair in ("[]", "()", "{}"):
            head, tail = before.text.rstrip()[:-1], after.text.lstrip()[1:]
            out[i - 1], out[i + 1] = before._replace(text=head), after._replace(text=tail)
            out[i] = run._replace(text=f"{pair[0]}{run.text}{pair[1]}")
    return out


def _language_of(runs: Sequence[Run], text: str, language: str) -> str:
    counts: Counter[str] = Counter()
    for run in runs:
        if not run.reason:
            counts[run.language] += len(run.text.strip())
    found = counts.most_common(1)[0][0]
    if found and primary_subtag(found) != primary_subtag(language):
        return found
    if primary_subtag(language) not in _ARABIC_SCRIPT and is_arabic(text):
        return "ar"
    return ""


def is_arabic(text: str) -> bool:
    """Whether most letters of a text are of the Arabic script."""
    if text.isascii():
        return False
    return 2 * len(_ARABIC.findall(text)) > sum(map(str.isalpha, text))
