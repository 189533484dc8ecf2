"""Chapters out of the pieces of a book: by its contents, else by markers, else by headings, else by document."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from voice_core.audiobook.letters import letters_of
from voice_core.audiobook.model import Block, Chapter
from voice_core.audiobook.reading.heading_lines import SUBTITLE, heading_level, is_bare_number
from voice_core.audiobook.reading.heading_pieces import mark_heading_lines
from voice_core.audiobook.reading.matter_extent import spoken_size
from voice_core.audiobook.reading.pieces import Piece
from voice_core.audiobook.reading.sections import MatterSkipper, Section, title_of
from voice_core.settings.audiobook import AudiobookSettings

MARKER = re.compile(r"<<\s*CHAPTER_MARKER:([^<>]{0,300})>>")
_MARKER_REASON = "chapter_marker"
_NO_TEXT_AT_ALL = frozenset({"page_number", "ornament", _MARKER_REASON})
_TITLE_BLOCKS = 3  # that a chapter's title may be spread over
_HEADINGS_THAT_OVERRULE = 3  # contents with a single entry are less than these


class Entry(NamedTuple):
    """An entry of a table of contents. `place` is "document" or "document#id"; `level` is 1 at the top."""

    title: str
    place: str
    level: int = 1


class _Start(NamedTuple):
    position: int
    title: str
    level: int = 1
    matter: str = ""  # what the contents say that the chapter is


def make_chapters(
    pieces: Sequence[Piece],
    entries: Sequence[Entry],
    settings: AudiobookSettings,
    warnings: list[str],
    title: str = "",
    authors: Sequence[str] = (),
    document_titles: Mapping[str, str] | None = None,
    aside: Sequence[Piece] = (),
) -> tuple[tuple[Chapter, ...], tuple[Block, ...]]:
    """The chapters, and the blocks outside of all of them. What could not be used is added to `warnings`.

    `aside` are the pieces of documents outside of the reading order, whose notes may move into chapters.
    """
    for piece in pieces:
        if MARKER.fullmatch(piece.block.text):
            piece.skip(_MARKER_REASON)
    starts = _starts(pieces, entries, warnings, document_titles or {})
    sections = _cut(pieces, starts, title)
    size = spoken_size(pieces)
    sections = MatterSkipper(settings, title, authors, size, warnings).apply(sections)
    notes = _move_notes(sections, aside) if settings.notes == "move" else {}
    chapters: list[Chapter] = []
    unplaced: list[Block] = []
    for number, section in enumerate(sections):
        blocks = [piece.block for piece in [*section.pieces, *notes.get(number, ())] if piece.block.text]
        reasons = {block.skipped for block in blocks}
        is_chapter = bool(section.is_spoken or notes.get(number))
        if not is_chapter and (section.matter or section.implicit or not reasons <= _NO_TEXT_AT_ALL):
            unplaced += blocks
            continue
        if not is_chapter:
            warnings.append(f'the chapter "{section.title}" has no text')
        chapters.append(Chapter(section.title, _finish(blocks, section.title), section.level))
    unplaced += [piece.block for piece in aside if piece.block.text]
    return tuple(chapters), tuple(unplaced)


def _starts(
    pieces: Sequence[Piece], entries: Sequence[Entry], warnings: list[str], document_titles: Mapping[str, str]
) -> list[_Start]:
    by_contents = _contents_starts(pieces, entries, warnings)
    if len(by_contents) > 1:
        return by_contents
    others = _marker_starts(pieces) or _heading_starts(pieces)
    if by_contents and len(others) < _HEADINGS_THAT_OVERRULE:
        return by_contents
    if by_contents:
        warnings.append(f"the table of contents has one entry; the {len(others)} headings were used as chapters")
    if others:
        return others
    documents = [(i, name) for i, piece in enumerate(pieces) for name in piece.anchors if name == piece.document]
    if len(documents) < 2:
        return []
    with_text = {piece.document for piece in pieces if piece.block.is_spoken and piece.block.text}
    found = [(i, name) for i, name in documents if name in with_text]
    return [_Start(i, document_titles.get(name) or str(n)) for n, (i, name) in enumerate(found, 1)]


def _contents_starts(pieces: Sequence[Piece], entries: Sequence[Entry], warnings: list[str]) -> list[_Start]:
    positions: dict[str, int] = {}
    for i, piece in enumerate(pieces):
        for anchor in piece.anchors:
            positions.setdefault(anchor, i)
    found: list[_Start] = []
    for entry in entries:
        position = positions.get(entry.place)
        if position is None and "#" in entry.place:
            position = positions.get(entry.place.partition("#")[0])
            if position is not None:
                warnings.append(
                    f'contents: "{entry.title}": there is no {entry.place}; the document begins the chapter'
                )
        if position is None:
            warnings.append(
                f'contents: "{entry.title}": {entry.place} is not in the reading order; the entry is ignored'
            )
        else:
            found.append(_Start(position, entry.title, entry.level))
    return _merge(sorted(found, key=lambda start: start.position))


def _merge(starts: Sequence[_Start]) -> list[_Start]:
    """Chapters that begin at the same block become one, with all of their titles."""
    out: list[_Start] = []
    for start in starts:
        if out and out[-1].position == start.position:
            last = out[-1]
            titles = [title for title in (last.title, start.title) if title]
            if start.title not in last.title:
                out[-1] = last._replace(title=". ".join(title.rstrip(".") for title in titles[:-1]) + f". {titles[-1]}")
                if len(titles) == 1:
                    out[-1] = last._replace(title=titles[0])
        else:
            out.append(start)
    return out


def _marker_starts(pieces: Sequence[Piece]) -> list[_Start]:
    found = ((i, MARKER.fullmatch(piece.block.text)) for i, piece in enumerate(pieces))
    return [_Start(i, match[1].strip()) for i, match in found if match]


def _heading_starts(pieces: Sequence[Piece]) -> list[_Start]:
    """The two highest levels of headings, and those down to the first one that has several.

    The title below a heading such as "CHAPTER I" belongs to it.
    """
    if sum(piece.heading > 0 for piece in pieces) < 2:  # one alone is that of the book, or of its back matter
        mark_heading_lines(pieces)
    found = Counter(piece.heading for piece in pieces if piece.heading not in (0, SUBTITLE) and piece.block.is_spoken)
    repeated = min((level for level, count in found.items() if count > 1), default=0)  # not of title and author alone
    levels = sorted(level for level in found if level <= max(2, repeated, min(found)))
    starts: list[_Start] = []
    last = ""  # the heading before, if no text is between
    for i, piece in enumerate(pieces):
        block = piece.block
        if not block.is_spoken or not block.text:
            continue
        is_number = bool(heading_level(block.text)) or is_bare_number(block.text)
        if last and piece.heading and is_bare_number(last) and not is_number:
            starts[-1] = starts[-1]._replace(title=f"{last.rstrip('.:')}. {block.text}")
            last = ""
        elif piece.heading in levels:
            starts.append(_Start(i, block.text, levels.index(piece.heading) + 1))
            last = block.text
        else:
            last = ""
    return starts


def _cut(pieces: Sequence[Piece], starts: Sequence[_Start], title: str) -> list[Section]:
    sections = [Section("", 1, implicit=True)]
    upcoming = {start.position: start for start in starts}
    for i, piece in enumerate(pieces):
        if start := upcoming.get(i):
            sections.append(Section(start.title, start.level))
        sections[-1].pieces.append(piece)
    for section in sections:
        section.title = section.title or title_of(section.pieces, title)
    return sections if sections[0].pieces else sections[1:]


def _move_notes(sections: Sequence[Section], aside: Sequence[Piece]) -> dict[int, list[Piece]]:
    """The notes of each section, in the order of their marks; they are taken from where they were."""
    by_note: dict[str, list[Piece]] = {}
    for piece in [piece for section in sections for piece in section.pieces] + list(aside):
        if piece.note and piece.block.is_spoken and piece.block.text:
            by_note.setdefault(piece.note, []).append(piece)
    moved: dict[int, list[Piece]] = {}
    for number, section in enumerate(sections):
        marks = [mark for piece in section.pieces if piece.block.is_spoken and not piece.note for mark in piece.marks]
        for mark in dict.fromkeys(marks):
            for piece in by_note.pop(mark, ()):
                moved.setdefault(number, []).append(replace(piece))
                piece.block = Block("")
    return moved


def _finish(blocks: Sequence[Block], title: str) -> tuple[Block, ...]:
    """No change of scene at the beginning of a chapter, and its title is a heading even where it is not marked up."""
    out = list(blocks)
    spoken = [i for i, block in enumerate(out) if block.is_spoken]
    if spoken:
        out[spoken[0]] = replace(out[spoken[0]], scene_break_before=False)
    wanted, found = letters_of(title), ""
    for count, i in enumerate(spoken[:_TITLE_BLOCKS], 1):  # number and title may be paragraphs of their own
        found += letters_of(out[i].text)
        if out[i].kind not in ("paragraph", "heading") or not found or not wanted.startswith(found):
            break
        if found == wanted:
            for k in spoken[:count]:
                out[k] = replace(out[k], kind="heading")
    return tuple(out)
