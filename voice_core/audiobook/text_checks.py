"""Checks of the stage `book_chunks`, each declared with its severity. `voice_assets` assigns them to assets."""

import json
from collections import Counter
from collections.abc import Iterator

from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.audiobook.model import count_characters
from voice_core.audiobook.text.edits import find_map_problem
from voice_core.language import pluralize
from voice_core.stages.checks import Findings, check


@check()
def text_adds_up(manifest: BookManifest) -> Findings:
    """Every character of the book is in one row, which is spoken, skipped or refused with a reason.

    The sentences of a chunk cover its text, and the map between its text and its spoken text is right.
    """
    counts = manifest.characters()
    total = sum(counts.values())
    wrong: list[str] = []
    if total != manifest.source_characters:
        wrong.append(f"the rows have {total:,} characters, but the book has {manifest.source_characters:,}")
    seen: set[str] = set()
    for row in manifest.rows:
        wrong += [f"{_describe_place(row)}: {problem}" for problem in _find_row_problems(row)]
        if row.is_spoken and row.chunk_id in seen:
            wrong.append(f"{row.chunk_id} is there twice")
        seen.add(row.chunk_id)
    return Findings(wrong, f"{pluralize(total, 'character')} in {pluralize(len(manifest.rows), 'row')}", counts)


def _find_row_problems(row: ChunkRow) -> Iterator[str]:
    if sum(map(bool, (row.chunk_id, row.skipped, row.refused))) != 1:
        yield "it must be either spoken, skipped or refused"
    if not row.is_spoken:
        return
    if not row.spoken_text.strip():
        yield "its spoken text is empty"
    covered = 0
    for start, end in json.loads(row.sentences):
        if row.text[covered:start].strip() or start < covered:
            yield f"its sentences do not cover the text at position {covered}"
        covered = end
    if row.text[covered:].strip():
        yield f"its sentences do not cover the text at position {covered}"
    if problem := find_map_problem(row.text, row.spoken_text, json.loads(row.text_map)):
        yield f"its spoken text is not that of its text: {problem}"


@check("warning")
def nothing_refused(manifest: BookManifest) -> Findings:
    """The engine can speak all of the text that is meant to be spoken."""
    refused = [row for row in manifest.rows if row.refused]
    listed = [
        f"{_describe_place(row)}: {row.refused}, {count_characters(row.text):,} characters: {row.message}"
        for row in refused
    ]
    figures = Counter(row.refused for row in refused)
    return Findings(listed, f"{pluralize(len(manifest.chunks()), 'chunk')}", dict(sorted(figures.items())))


@check("warning")
def chapters_have_text(manifest: BookManifest) -> Findings:
    """Every chapter has something to speak."""
    spoken = {row.chapter for row in manifest.rows if row.is_spoken}
    empty = [
        f"chapter {number} ({title!r}) has nothing to speak"
        for number, (title, _) in enumerate(manifest.chapters, 1)
        if number not in spoken
    ]
    return Findings(empty, pluralize(len(manifest.chapters), "chapter"))


def _describe_place(row: ChunkRow) -> str:
    what = row.chunk_id or (f"chapter {row.chapter}" if row.chapter else "outside of the chapters")
    return f"{what}, {row.place}" if row.place else what
