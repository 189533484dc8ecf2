"""The blocks of plain text: paragraphs out of hard-wrapped lines, verse, headings and changes of scene."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from voice_core.audiobook.model import Block, BlockKind
from voice_core.audiobook.reading.chapters import MARKER
from voice_core.audiobook.reading.heading_lines import (
    SUBTITLE,
    find_numerals,
    heading_level,
    is_bare_number,
    is_subtitle,
    numbers_chapter,
)
from voice_core.audiobook.reading.hyphenation import Words, joint_of
from voice_core.audiobook.reading.pieces import BREAK, SPEAKER, Piece, Run, blocks_of, is_ornament

_SHORTEST_WRAP = 35  # lines that are shorter are not wrapped, but end where somebody wanted it
_RAGGED = 0.87  # of the width: lines of prose are at least as long, with the word that follows
_VERSE_WIDTH = 0.75  # of the width: lines of verse in prose are shorter
_LONGEST_WRAP = 120  # lines that are longer are paragraphs, not wrapped lines
_SENTENCE_END = re.compile(r"[.!?:…؟۔]['\"”’»)\]]*$")
_DASH_AT_END = re.compile(r"--$|[^\s—]—$")  # no space follows the end of such a line
_HYPHENATED = re.compile(r"\w-$")
_INLINE = re.compile(
    r"(?P<page_number>\[(?:Pg|p\.|Page)\s*[\divxlc]{1,6}\]|\{\d{1,4}\})|(?P<markup>(?<!\w)_(?=[^\s_])|(?<=[^\s_])_(?!\w))"
    r"|(?P<bold>(?<![\w=])=[^\s=](?:[^=\n]{0,80}[^\s=])?=(?![\w=]))"
)
_PAGE_NUMBER = re.compile(r"[-–—]?\s?(?:\d{1,4}|[ivxlc]{1,7})\s?[-–—]?")
_CONTENTS_LINES = 3  # headings of one level without text between them: a list of chapters
_SCENE_BLANKS = 2  # more blank lines than usual, for a change of scene


@dataclass(slots=True)
class _Paragraph:
    """Lines with their numbers; `blanks` is the number of blank lines before."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    blanks: int = 0
    kind: str = ""  # as in `_line_kinds`


@dataclass(slots=True)
class _Wrapping:
    """How lines are wrapped: `width` is that of a full line, 0 where lines are not wrapped."""

    width: int
    words: Words

    def is_full(self, line: str, following: str) -> bool:
        """Whether a line ends because the first word of the following one would not have fitted into it."""
        line = line.rstrip()
        if _HYPHENATED.search(line):
            return True
        return (
            self.width >= _SHORTEST_WRAP and len(line) + 1 + len(following.split(maxsplit=1)[0]) > _RAGGED * self.width
        )


def read_text_blocks(text: str, language: str = "") -> list[Piece]:
    """The pieces of a text, headings with their levels. `language` is the book's."""
    text = re.sub(r"\r\n?", "\n", text)
    text = re.sub("[\x0b\u2028\u2029\x85]", " ", text)
    lines = text.split("\n")
    pages = _page_numbers(lines)
    lines = [line.replace("\x0c", "") for line in lines]
    wrapping = _Wrapping(_width(lines), Words(lambda: text))
    paragraphs = list(_paragraphs(lines, wrapping, pages))
    usual = _usual_blanks(paragraphs)
    pieces: list[Piece] = []
    # Numerals on their own are chapters, or the parts of such.
    numeral_level = 3 if any(numbers_chapter(line.strip()) for line in lines) else 2
    scene, heading = False, ""
    for paragraph in paragraphs:
        first = paragraph.lines[0][1].strip()
        scene = scene or (bool(pieces) and paragraph.blanks >= usual + _SCENE_BLANKS and not pieces[-1].heading)
        is_title = bool(heading) and is_bare_number(heading) and len(paragraph.lines) == 1 and is_subtitle(first)
        heading = first if paragraph.kind == "heading" else ""
        if heading or (is_title and not paragraph.kind):
            level = (heading_level(first) or numeral_level) if heading else SUBTITLE
            pieces += _block([paragraph.lines], "heading", wrapping, language, heading=level)
            scene = False
        elif paragraph.kind == "marker":
            pieces += _block([paragraph.lines], "other", wrapping, language)
            scene = False
        elif paragraph.kind == "contents":
            pieces += _block([paragraph.lines], "list_item", wrapping, language, skipped="contents")
        elif paragraph.kind == "page_number":
            pieces += _block([paragraph.lines], "other", wrapping, language, skipped="page_number")
        else:
            for lines_of, kind in _split(paragraph.lines, wrapping):
                made = _block(lines_of, kind, wrapping, language, scene)
                pieces += made
                scene = any(piece.block.skipped == "ornament" for piece in made)
    return pieces


def _width(lines: Sequence[str]) -> int:
    """The width at which lines are wrapped: that of nine tenths of the lines that another one follows."""
    followed = sorted(len(line.rstrip()) for line, after in pairwise(lines) if line.strip() and after.strip())
    width = followed[9 * (len(followed) - 1) // 10] if followed else 0
    return width if width <= _LONGEST_WRAP else 0


def _page_numbers(lines: Sequence[str]) -> frozenset[int]:
    """The indexes of lines that number a page: a number at the top or the bottom, beside a form feed."""
    found: set[int] = set()
    for i in (i for i, line in enumerate(lines) if "\x0c" in line):
        above = next((k for k in range(i - 1, max(-1, i - 4), -1) if lines[k].strip()), i)
        below = next((k for k in range(i, min(len(lines), i + 3)) if lines[k].strip()), i)
        found |= {k for k in (above, below) if _PAGE_NUMBER.fullmatch(lines[k].strip())}
    return frozenset(found)


def _paragraphs(lines: Sequence[str], wrapping: _Wrapping, pages: Collection[int]) -> Iterator[_Paragraph]:
    kinds = _line_kinds(lines, wrapping)
    for i in pages:
        kinds[i] = "page_number"
    current, blanks = _Paragraph(), 0
    for number, (line, kind) in enumerate(zip(lines, kinds, strict=True), 1):
        if current.lines and (not line.strip() or kind or not wrapping.width):
            yield current
            current = _Paragraph()
        if not line.strip():
            blanks += 1
            continue
        if kind == "marker":
            yield from _around_markers(number, line, blanks)
        elif kind:
            yield _Paragraph([(number, line)], blanks, kind)
        else:
            if not current.lines:
                current.blanks = blanks
            current.lines.append((number, line))
        blanks = 0
    if current.lines:
        yield current


def _line_kinds(lines: Sequence[str], wrapping: _Wrapping) -> list[str]:
    """Of each line: marker, ornament, heading, contents (of a list of chapters), or "" for text."""
    kinds: list[str] = []
    streak: list[int] = []  # headings without text between them
    before = ""
    numerals = frozenset(find_numerals(lines))
    for i, line in enumerate([*lines, "end"]):
        text = line.strip()
        is_heading = bool(text) and heading_level(text) > 0
        if is_heading and wrapping.width and before:  # inside of a paragraph, unless a sentence or a heading ends above
            is_heading = bool(_SENTENCE_END.search(before)) or i - 1 in streak[-1:]
        is_heading = is_heading or i in numerals
        if text and not is_heading:
            for at in _listed(lines, streak, i):
                kinds[at] = "contents"
            streak = []
        elif text:
            streak.append(i)
        kind = "marker" if MARKER.search(line) else "ornament" if is_ornament(text) else ""
        kinds.append(kind or ("heading" if is_heading else ""))
        before = text
    return kinds[:-1]


def _listed(lines: Sequence[str], streak: Sequence[int], end: int) -> Sequence[int]:
    """Of headings without text between them, those that are a list of chapters; text or the end follows at `end`."""
    if len(streak) < _CONTENTS_LINES:
        return ()
    levels = [heading_level(lines[i].strip()) for i in streak]
    if max(levels.count(1), levels.count(2)) < _CONTENTS_LINES:
        return ()
    texts: set[str] = set()
    beginnings: set[str] = set()
    for k, i in enumerate(streak):
        text = lines[i].strip().casefold().rstrip(".:")
        own = {text[:end] for end in range(1, len(text)) if not text[end].isalnum()} | {text}
        if text in beginnings or not texts.isdisjoint(own):
            return streak[:k]  # where a heading is named again, or goes on, the book itself begins
        texts.add(text)
        beginnings |= own
    is_apart = not lines[streak[-1] - 1].strip() or end == streak[-1] + 1
    return streak[:-1] if is_apart and end < len(lines) else streak


def _around_markers(number: int, line: str, blanks: int) -> Iterator[_Paragraph]:
    end = 0
    for match in MARKER.finditer(line):
        if line[end : match.start()].strip():
            yield _Paragraph([(number, line[end : match.start()])], blanks)
        yield _Paragraph([(number, match[0])], blanks, "marker")
        end = match.end()
    if line[end:].strip():
        yield _Paragraph([(number, line[end:])], 0)


def _usual_blanks(paragraphs: Sequence[_Paragraph]) -> int:
    counts = sorted(paragraph.blanks for paragraph in paragraphs[1:])
    return counts[len(counts) // 2] if counts else 0


def _split(
    lines: Sequence[tuple[int, str]], wrapping: _Wrapping
) -> Iterator[tuple[list[Sequence[tuple[int, str]]], BlockKind]]:
    """The blocks of adjacent lines, each as lines that are joined: one for prose, one for each line of verse."""
    margin = min(len(line) - len(line.lstrip()) for _, line in lines)
    indents = [len(line) - len(line.lstrip()) - margin for _, line in lines]
    few_indents = 2 * sum(indent > 0 for indent in indents) < len(lines)  # else all but first lines are indented
    breaks: list[int] = []  # lines that end for another reason than the width
    starts: list[int] = []  # lines after which a paragraph begins
    for i, ((_, line), (_, after)) in enumerate(pairwise(lines)):
        is_end = bool(_SENTENCE_END.search(line.rstrip()))
        is_marked = bool(SPEAKER.match(after)) or (indents[i + 1] > 0 and (few_indents or is_end))
        if is_marked or not wrapping.is_full(line, after):
            breaks.append(i)
            if is_marked or (is_end and not after.lstrip()[0].islower()):
                starts.append(i)
    ends = sum(bool(_SENTENCE_END.search(lines[i][1].rstrip())) for i in breaks)
    is_broken = 2 * len(breaks) >= len(lines) - 1 > 0 and ends < 0.9 * len(breaks)
    if is_broken and _looks_like_verse([line.strip() for _, line in lines], wrapping.width):
        yield [[line] for line in lines], "verse"
        return
    for start, end in pairwise([0, *(i + 1 for i in starts), len(lines)]):
        yield [lines[start:end]], "paragraph"


def _looks_like_verse(lines: Sequence[str], width: int) -> bool:
    """Whether lines are clearly shorter than those of prose, or nearly all of them begin with a capital."""
    capitals = sum(not line.lstrip("\"'“‘(_—-")[:1].islower() for line in lines)
    return max(map(len, lines)) < _VERSE_WIDTH * width or (
        any(line.upper() != line.lower() for line in lines) and capitals >= 0.8 * len(lines)
    )


def _block(
    groups: Sequence[Sequence[tuple[int, str]]],
    kind: BlockKind,
    wrapping: _Wrapping,
    language: str,
    scene: bool = False,
    heading: int = 0,
    skipped: str = "",
) -> list[Piece]:
    """The block of lines: those of a group are joined, groups are lines of verse."""
    runs: list[Run] = []
    for group in groups:
        if runs:
            runs.append(Run(BREAK))
        for i, (_, line) in enumerate(group):
            runs += _join(line, group[i + 1][1] if i + 1 < len(group) else "", wrapping)
    place = f"line {groups[0][0][0]}"
    if skipped:
        runs = [run._replace(reason=skipped) for run in runs]
    elif kind != "other":
        runs = [part for run in runs for part in _inline(run)]
    blocks: list[Block] = blocks_of(runs, kind, place, language, scene)
    return [Piece(block, heading=heading) for block in blocks]


def _join(line: str, following: str, wrapping: _Wrapping) -> list[Run]:
    """A line as it is joined to the following one, "" for the last."""
    text = line.strip()
    if not following:
        return [Run(text)]
    is_dash = text[-1] in "-—" and _DASH_AT_END.search(text, max(0, len(text) - 2))
    joint = "" if is_dash else joint_of(text, following.strip(), wrapping.words)
    if joint == "-":
        return [Run(text[:-1]), Run(text[-1], "hyphenation")]
    return [Run(text + joint)]


def _inline(run: Run) -> Iterator[Run]:
    """Signs around emphasised words ("_so_", "=so=") and page numbers are not spoken."""
    if run.reason or not any(sign in run.text for sign in "_[{="):
        yield run
        return
    end = 0
    for match in _INLINE.finditer(run.text):
        if match.start() > end:
            yield run._replace(text=run.text[end : match.start()])
        if match["bold"]:
            yield run._replace(text="=", reason="markup")
            yield from _inline(run._replace(text=match[0][1:-1]))
            yield run._replace(text="=", reason="markup")
        else:
            yield run._replace(text=match[0], reason=match.lastgroup or "markup")
        end = match.end()
    if end < len(run.text):
        yield run._replace(text=run.text[end:])
