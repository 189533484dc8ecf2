"""The files that are made from the whole book, or from the text of a chapter, by format."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from voice_core.audiobook.output.audiobookshelf import metadata_json
from voice_core.audiobook.output.book_output import AUDIOBOOK_VERSION, BookOutput, OutputFile, SpokenChapter
from voice_core.audiobook.output.captions import CaptionFormat, Unit, make_cues, write_captions
from voice_core.audiobook.output.epub import EpubBook, write_epub
from voice_core.audiobook.output.epub_text import ChapterPage
from voice_core.audiobook.output.m4b import EncodedChapter, write_m4b
from voice_core.audiobook.output.recording import transcript_json
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import slug

_OTHER_TEXT = "Other text"
"""Title of the page of an EPUB with the text outside of all chapters."""


def book_files(output: BookOutput, formats: Sequence[str]) -> Iterator[OutputFile]:
    """What is to be there for these formats, besides what is encoded from each chapter alone."""
    for name, plan in _PLANS.items():
        if name in formats:
            yield from plan(output)


def _m4b(output: BookOutput) -> Iterator[OutputFile]:
    yield _m4b_file(output, f"{output.prefix}{output.name}.m4b", "m4b")


def _m4b_file(output: BookOutput, key: str, format: str) -> OutputFile:
    chapters = [
        EncodedChapter(chapter.title, master.sample_count, partial(output.open_m4a, chapter.number))
        for chapter, master, _ in output.with_speech()
    ]
    parts = [(chapter.title, output.m4a[chapter.number][1]) for chapter, _, _ in output.with_speech()]
    inputs = fingerprint("m4b", AUDIOBOOK_VERSION, output.rate_hz, parts, output.tags.for_file(), output.cover_sha256)
    return OutputFile(
        key,
        format,
        inputs,
        lambda path: write_m4b(path, chapters, output.rate_hz, output.tags, output.cover),
        sample_count=sum(item.sample_count for item in chapters),
    )


def _captions(output: BookOutput, format: CaptionFormat) -> Iterator[OutputFile]:
    language = output.tags.language
    texts = {chapter.number: output.text_inputs(chapter) for chapter, _, _ in output.with_speech()}
    for unit in get_args(Unit):
        whole = list(output.with_speech())
        key = f"{output.prefix}{output.name}.{unit}.{format}"
        inputs = fingerprint(format, unit, AUDIOBOOK_VERSION, language, list(texts.values()))
        yield OutputFile(key, format, inputs, partial(_write_captions, output, whole, unit, format))
        for chapter, master, _ in whole:
            key = f"{output.prefix}{format}/{chapter.file_name}.{unit}.{format}"
            own = fingerprint(format, unit, AUDIOBOOK_VERSION, language, texts[chapter.number])
            write = partial(_write_captions, output, [(chapter, master, 0)], unit, format)
            yield OutputFile(key, format, own, write, chapter.number)


def _write_captions(
    output: BookOutput, parts: Sequence[SpokenChapter], unit: Unit, format: CaptionFormat, path: Path
) -> None:
    cues = (cue for chapter, _, start in parts for cue in make_cues(output.marks(chapter), unit, start))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(write_captions(cues, output.rate_hz, format, output.tags.language))


def _epub(output: BookOutput) -> Iterator[OutputFile]:
    texts = [output.text_inputs(chapter) for chapter, _, _ in output.with_speech()]
    audio = [digest for _, digest in output.m4a.values()]
    inputs = fingerprint(
        "epub",
        AUDIOBOOK_VERSION,
        output.text_version,
        texts,
        audio,
        repr(output.tags),
        output.identifier,
        output.cover_sha256,
    )
    yield OutputFile(f"{output.prefix}{output.name}.epub", "epub", inputs, partial(_write_epub, output))


def _write_epub(output: BookOutput, path: Path) -> None:
    pages = [
        ChapterPage(
            f"chapter-{chapter.number:03d}",
            chapter.title.strip() or str(chapter.number),
            chapter,
            output.marks(chapter),
            output.masters[chapter.number].sample_count if chapter.spoken else 0,
        )
        for chapter in output.chapters
    ]
    if output.rest is not None:
        pages.append(ChapterPage("other-text", _OTHER_TEXT, output.rest))
    book = EpubBook(output.tags, output.identifier, pages, output.rate_hz, output.open_m4a, output.cover)
    write_epub(path, book)


def _audiobookshelf(output: BookOutput) -> Iterator[OutputFile]:
    author = slug(" and ".join(output.tags.authors)) if output.tags.author else "Unknown author"
    folder = f"{output.prefix}audiobookshelf/{author}/{output.name}/"
    yield _m4b_file(output, f"{folder}{output.name}.m4b", "audiobookshelf")
    parts = [(chapter.title, start, start + master.sample_count) for chapter, master, start in output.with_speech()]
    about = metadata_json(output.tags, parts, output.rate_hz)
    yield _small_file(f"{folder}metadata.json", "audiobookshelf", about)
    if output.cover:
        yield _small_file(f"{folder}cover.{output.cover.extension}", "audiobookshelf", output.cover.data)


def _recording(output: BookOutput) -> Iterator[OutputFile]:
    for chapter, _, _ in output.with_speech():
        marks, language = output.marks(chapter), output.tags.language
        data = transcript_json(str(output.book), chapter, marks, output.rate_hz, language)
        yield _small_file(f"{output.recording_key(chapter.number)}.json", "recording", data, chapter.number)


def _small_file(key: str, format: str, data: bytes, chapter: int = 0) -> OutputFile:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return OutputFile(key, format, fingerprint(format, AUDIOBOOK_VERSION, sha256(data)), write, chapter)


_PLANS: dict[str, Callable[[BookOutput], Iterator[OutputFile]]] = {
    "m4b": _m4b,
    "srt": partial(_captions, format="srt"),
    "vtt": partial(_captions, format="vtt"),
    "epub": _epub,
    "audiobookshelf": _audiobookshelf,
    "recording": _recording,
}
