"""The blocks of plain text: paragraphs out of hard-wrapped lines, verse, headings and changes of scene."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from voice_core.audiobook.model import Block, BlockKind
from voice_core.audiobook.reading.chapters import MARKER
from voice_core.audiobook.reading.heading_lines import SUBTITLE, heading_level, is_bare_number, is_subtitle
from voice_core.audiobook.reading.pieces import BREAK, SPEAKER, Piece, Run, blocks_of, is_ornament

_SHORTEST_WRAP = 35  # lines that are shorter are not wrapped, but end where somebody wanted it
_LONGEST_WRAP = 120  # lines that are longer are paragraphs, not wrapped lines
_SENTENCE_END = re.compile(r"[.!?:…؟۔]['\"”’»)\]]*$")
_JOINED = re.compile(r"\w-$|--$|[^\s—]—$")  # no space follows the end of such a line
_HYPHENATED = re.compile(r"\w-$")
_WORD = re.compile(r"\w+(?:-\w+)*")
_INLINE = re.compile(
    r"(?P<page_number>\[(?:Pg|p\.|Page)\s*[\divxlc]{1,6}\]|\{\d{1,4}\})|(?P<markup>(?<!\w)_(?=[^\s_])|(?<=[^\s_])_(?!\w))"
)
_ILLUSTRATION = re.compile(r"\[\s*Illustration\s*\]", re.I)
_CONTENTS_LINES = 2  # lines of one paragraph that are headings: a list of chapters
_SCENE_BLANKS = 2  # more blank lines than usual, for a change of scene


@dataclass(slots=True)
class _Paragraph:
    """Lines with their numbers; `blanks` is the number of blank lines before."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    blanks: int = 0
    kind: str = ""  # "marker", "ornament", "heading", or "" for text


@dataclass(slots=True)
class _Wrapping:
    """How lines are wrapped: `width` is that of a full line, 0 where lines are not wrapped."""

    width: int
    text: str
    _words: frozenset[str] | None = None

    def has_word(self, word: str) -> bool:
        if self._words is None:
            self._words = frozenset(found.lower() for found in _WORD.findall(self.text))
        return word.lower() in self._words

    def is_full(self, line: str, following: str) -> bool:
        """Whether the first word of the following line would not have fitted into a line."""
        return (
            self.width >= _SHORTEST_WRAP and len(line.rstrip()) + 1 + len(following.split(maxsplit=1)[0]) > self.width
        )


def read_text_blocks(text: str, language: str = "") -> list[Piece]:
    """The pieces of a text, headings with their levels. `language` is the book's."""
    text = re.sub(r"\r\n?", "\n", text)
    text = re.sub("[\x0b\u2028\u2029\x85]", " ", text).replace("\x0c", "")
    lines = text.split("\n")
    wrapping = _Wrapping(_width(lines), text)
    paragraphs = list(_paragraphs(lines, wrapping))
    usual = _usual_blanks(paragraphs)
    pieces: list[Piece] = []
    scene, heading = False, ""
    for paragraph in paragraphs:
        first = paragraph.lines[0][1].strip()
        scene = scene or (bool(pieces) and paragraph.blanks >= usual + _SCENE_BLANKS and not pieces[-1].heading)
        if paragraph.kind == "heading":
            heading, scene = first, False
            pieces += _block([paragraph.lines], "heading", wrapping, language, heading=heading_level(first))
            continue
        is_title = bool(heading) and is_bare_number(heading) and len(paragraph.lines) == 1 and is_subtitle(first)
        heading = ""
        if is_title and paragraph.kind == "":
            pieces += _block([paragraph.lines], "heading", wrapping, language, heading=SUBTITLE)
        elif paragraph.kind == "marker":
            pieces += _block([paragraph.lines], "other", wrapping, language)
            scene = False
        elif sum(bool(heading_level(line.strip())) for _, line in paragraph.lines) >= _CONTENTS_LINES:
            for line in paragraph.lines:
                pieces += _block([[line]], "list_item", wrapping, language, skipped="contents")
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


def _paragraphs(lines: Sequence[str], wrapping: _Wrapping) -> Iterator[_Paragraph]:
    current, blanks = _Paragraph(), 0

    for number, line in enumerate(lines, 1):
        text = line.strip()
        kind = ""
        if MARKER.search(line):
            kind = "marker"
        elif is_ornament(text):
            kind = "ornament"
        elif (not current.lines or not wrapping.width) and heading_level(text):
            following = lines[number].strip() if number < len(lines) else ""
            kind = "" if wrapping.width and heading_level(following) else "heading"
        if current.lines and (not text or kind or not wrapping.width):
            yield current
            current = _Paragraph()
        if not text:
            blanks += 1
        elif kind == "marker":
            yield from _around_markers(number, line, blanks)
            blanks = 0
        elif kind:
            yield _Paragraph([(number, line)], blanks, kind)
            blanks = 0
        else:
            if not current.lines:
                current.blanks = blanks
            current.lines.append((number, line))
            blanks = 0
    if current.lines:
        yield current


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
    breaks: list[int] = []  # lines that end for another reason than the width
    ends = 0  # of those, with the end of a sentence
    indents = [len(line) - len(line.lstrip()) - margin for _, line in lines]
    first_lines = 2 * sum(indent > 0 for indent in indents) < len(lines)  # else all but first lines are indented
    indented: set[int] = set()
    for i, ((_, line), (_, after)) in enumerate(pairwise(lines)):
        is_end = bool(_SENTENCE_END.search(line.rstrip()))
        if SPEAKER.match(after) or (indents[i + 1] > 0 and (first_lines or is_end)):
            indented.add(i)
        if i in indented or not wrapping.is_full(line, after):
            breaks.append(i)
            ends += is_end
    if 2 * len(breaks) >= len(lines) - 1 > 0 and ends < 0.9 * len(breaks):
        yield [[line] for line in lines], "verse"
        return
    start = 0
    for i in breaks:
        if i in indented or _SENTENCE_END.search(lines[i][1].rstrip()):
            yield [lines[start : i + 1]], "paragraph"
            start = i + 1
    yield [lines[start:]], "paragraph"


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
    whole = "".join(run.text for run in runs).strip()
    if _ILLUSTRATION.fullmatch(whole):
        skipped = "picture"
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
    if text.endswith("\u00ad"):
        return [Run(text)]
    if not _JOINED.search(text):
        return [Run(f"{text} ")]
    before, after = re.search(r"(\w+)-$", text), re.match(r"\w+", following.strip())
    if before and after and before[1][-1].isalpha() and after[0][0].islower():
        whole, hyphenated = before[1] + after[0], f"{before[1]}-{after[0]}"
        if wrapping.has_word(whole) and not wrapping.has_word(hyphenated):
            return [Run(text[:-1]), Run("-", "hyphenation")]
    return [Run(text)]


def _inline(run: Run) -> Iterator[Run]:
    """Underscores around emphasised words and page numbers are not spoken."""
    if run.reason or not ("_" in run.text or "[" in run.text or "{" in run.text):
        yield run
        return
    end = 0
    for match in _INLINE.finditer(run.text):
        if match.start() > end:
            yield run._replace(text=run.text[end : match.start()])
        yield run._replace(text=match[0], reason=match.lastgroup or "markup")
        end = match.end()
    if end < len(run.text):
        yield run._replace(text=run.text[end:])
