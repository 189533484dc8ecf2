"""The files that are made from the whole book, by format."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from voice_core.audiobook.output.book_output import BookFile, BookOutput
from voice_core.audiobook.output.m4b import EncodedChapter, write_m4b
from voice_core.fingerprint import fingerprint

VERSION = 1


def book_files(output: BookOutput, formats: Sequence[str]) -> Iterator[BookFile]:
    """What is to be there for these formats, besides what is encoded from each chapter alone."""
    for name, plan in _PLANS.items():
        if name in formats:
            yield from plan(output)


def m4b_file(output: BookOutput, key: str, format: str = "m4b") -> BookFile:
    """The m4b at `key`."""
    parts = [(chapter.title, master.sample_count) for chapter, master, _ in output.with_speech()]
    chapters = [
        EncodedChapter(chapter.title, master.sample_count, partial(output.open_m4a, chapter.number))
        for chapter, master, _ in output.with_speech()
    ]
    hashes = [output.m4a[chapter.number][1] for chapter, _, _ in output.with_speech()]
    cover = output.cover.sha256 if output.cover else ""
    inputs = fingerprint("m4b", VERSION, output.rate_hz, parts, hashes, output.tags.for_file(), cover)
    return BookFile(
        key,
        format,
        inputs,
        lambda path: write_m4b(path, chapters, output.rate_hz, output.tags, output.cover),
        sample_count=sum(item.sample_count for item in chapters),
    )


def _m4b(output: BookOutput) -> Iterator[BookFile]:
    yield m4b_file(output, f"{output.prefix}{output.name}.m4b")


_PLANS: dict[str, Callable[[BookOutput], Iterator[BookFile]]] = {"m4b": _m4b}
