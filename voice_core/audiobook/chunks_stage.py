"""The stage `book_chunks`: a book's text as chunks, committed with its cover."""

import dataclasses
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

from voice_core.audiobook.chunk_manifest import STAGE, BookManifest, ChunkRow, cover_key, read_book_manifest
from voice_core.audiobook.model import Book
from voice_core.audiobook.text import Lexicon, load_lexicon, make_rows
from voice_core.audiobook.text.speakable import Speaker
from voice_core.audiobook.voices import name_voices
from voice_core.fingerprint import fingerprint, sha256
from voice_core.language import pluralize, primary_subtag
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.settings import ConfigurationError
from voice_core.settings.audiobook import AudiobookSettings
from voice_core.stages.commit import CheckpointWriter, commit_manifest
from voice_core.stages.packed_rows import keep_rows
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
from voice_core.synthesis.voice_recordings import describe_voice_problem
from voice_core.tts.base import SpeechEngine

CHUNKS_VERSION = 3
"""Changes whenever equal books and settings give other chunks."""
_LIBRARIES = ("sentencex", "spokenform", "arabic-tts-frontend")
_SETTINGS = ("language", "max_characters", "join_characters", "chapter_titles", "voice", "voices")


def build_book_chunks(
    work: Store,
    book_key: BookKey,
    source: str,
    data: bytes,
    book: Book,
    settings: AudiobookSettings,
    speaker: SpeechEngine,
) -> BookManifest:
    """Bring a book's chunks up to date. One process at a time works on a book.

    `source` is the key of the book's file, `data` its content, `book` what was read from it. An up-to-date manifest is
    returned as it is. Raises `BookError` and `ConfigurationError`, with nothing written.
    """
    lexicon = load_lexicon(settings.lexicon)
    inputs = chunk_inputs(data, book, settings, speaker, lexicon)
    with hold_lock(work, f"{STAGE} {book_key}") as work:
        old = read_book_manifest(work, book_key)
        if old is not None and old.complete and (old.inputs, old.source) == (inputs, source) and has_cover(work, old):
            return old
        check_book_voices(speaker, settings)
        names = name_voices(speaker, settings)
        rows = make_rows(book, settings, speaker, lexicon, name=str(book_key))
        rows = keep_rows(dataclasses.replace(row, voice=names.get(row.voice, row.voice)) for row in rows)
        cover = cover_key(book_key, book.cover.media_type) if book.cover else ""
        manifest = BookManifest(
            partition=str(book_key),
            complete=True,
            inputs=inputs,
            source=source,
            source_sha256=sha256(data),
            source_characters=book.source_characters,
            metadata=_metadata(book),
            chapters=tuple((chapter.title, chapter.level) for chapter in book.chapters),
            cover=cover,
            cover_sha256=sha256(book.cover.data) if book.cover else "",
            warnings=(*book.warnings, *_find_warnings(rows, lexicon, speaker)),
            rows=rows,
        )
        _commit(work, book_key, manifest, book)
        return manifest


def _commit(work: Store, book_key: BookKey, manifest: BookManifest, book: Book) -> None:
    key = manifest_key(STAGE, book_key)
    checkpoint = CheckpointWriter(work, key, lambda: dataclasses.replace(manifest, complete=False))
    checkpoint.write()
    with checkpoint:
        if book.cover is not None:
            work.put(manifest.cover, book.cover.data)
    commit_manifest(work, key, manifest, stage_prefix(STAGE, book_key), {manifest.cover} if manifest.cover else set())


def has_cover(work: Store, manifest: BookManifest) -> bool:
    """Whether the cover, where there is one, is what was committed."""
    if not manifest.cover:
        return True
    return work.head(manifest.cover) is not None and work.hash(manifest.cover) == manifest.cover_sha256


def check_book_voices(speaker: SpeechEngine, settings: AudiobookSettings) -> None:
    """Raises ConfigurationError where the engine lacks a voice of the settings."""
    names = {"audiobook.voice": settings.voice}
    names |= {f"audiobook.voices[{name!r}]": voice for name, voice in sorted(settings.voices.items())}
    for setting, voice in names.items():
        if why := describe_voice_problem(speaker, voice):
            raise ConfigurationError(f"{setting} is {voice!r}: {why}")


def chunk_inputs(data: bytes, book: Book, settings: AudiobookSettings, speaker: SpeechEngine, lexicon: Lexicon) -> str:
    """A hash of everything that the chunks depend on: the file, what was read from it, settings, lexicon, engine."""
    capabilities = speaker.capabilities
    about = dataclasses.replace(book, chapters=(), unplaced=(), cover=None)
    names = name_voices(speaker, settings)
    chosen = settings.model_dump(mode="json", include=set(_SETTINGS))
    chosen["voice"] = names[settings.voice]
    chosen["voices"] = {speaker_name: names[voice] for speaker_name, voice in settings.voices.items()}
    return fingerprint(
        CHUNKS_VERSION,
        {name: version(name) for name in _LIBRARIES},
        sha256(data),
        [sha256(repr(part).encode("utf-8", "surrogatepass")) for part in (about, *book.chapters, book.unplaced)],
        sha256(book.cover.data) if book.cover else "",
        chosen,
        lexicon.digest,
        [
            speaker.name,
            speaker.revision,
            capabilities.languages,
            capabilities.max_characters,
            capabilities.inline_phonemes,
        ],
    )


def _metadata(book: Book) -> dict[str, Any]:
    names = ("title", "authors", "language", "identifier", "publisher", "date", "description")
    return {name: list(value) if isinstance(value := getattr(book, name), tuple) else value for name in names}


def _find_warnings(rows: Sequence[ChunkRow], lexicon: Lexicon, speaker: Speaker) -> Iterator[str]:
    """What applies to many chunks, and what became of the lexicon."""
    by_language: dict[str, list[ChunkRow]] = {}
    for row in rows:
        if row.is_spoken and row.message:
            by_language.setdefault(primary_subtag(row.language), []).append(row)
    for language, noted in sorted(by_language.items()):
        first = noted[0]
        yield f"{language!r}: {pluralize(len(noted), 'chunk')} with a note, first {first.chunk_id}: {first.message}"
    if lexicon.phoneme_count and not speaker.capabilities.inline_phonemes:
        entries = "1 entry" if lexicon.phoneme_count == 1 else f"{lexicon.phoneme_count:,} entries"
        file = PurePath(lexicon.name).name
        yield f"{speaker.name} takes no phonemes: {entries} of {file} not used; use respell instead"
