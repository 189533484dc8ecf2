"""The text of a book of a `pipeline.json`: its chunk files, each spoken as one chunk, with a book's normalising."""

import json
from collections.abc import Sequence
from pathlib import Path

from voice_core.audiobook.chunk_manifest import STAGE, BookManifest, ChunkRow
from voice_core.audiobook.model import count_characters
from voice_core.audiobook.pipeline_file import PIPELINE
from voice_core.audiobook.text.lexicon import Lexicon
from voice_core.audiobook.text.refusals import find_unspeakable
from voice_core.audiobook.text.speakable import find_language_problem
from voice_core.audiobook.text.spoken import speak_text
from voice_core.audiobook.voices import name_voices
from voice_core.fingerprint import fingerprint
from voice_core.layout import BookKey, manifest_key, slug
from voice_core.settings import AudiobookSettings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
from voice_core.tts.base import SpeechEngine

CHUNK_FILE = "chunk_file"
"""Why a chunk is refused: its file cannot be read, has no words, or has a part that the engine would leave out."""


def pipeline_book(json_path: Path, file_id: str) -> BookKey:
    """The key of a book of a pipeline in the work root. Books of other files with the same id have other keys."""
    where = fingerprint(str(Path(json_path).resolve()), file_id)[:8]
    return BookKey(slug(f"pipeline-{file_id}-{where}"))


def read_chunks(
    paths: Sequence[Path],
    book: BookKey,
    file_id: str,
    settings: AudiobookSettings,
    speaker: SpeechEngine,
    lexicon: Lexicon,
) -> list[ChunkRow]:
    """A row for each chunk file; one that cannot be spoken is refused, with a message that names it.

    Entries of the lexicon may name the book by `file_id` or by its key.
    """
    language = settings.language or "en"
    names = frozenset({file_id, str(book)})
    matcher = lexicon.select(language, names, settings.voice, phonemes=speaker.capabilities.inline_phonemes)
    voice = name_voices(speaker, settings)[settings.voice]
    rows = []
    for number, path in enumerate(paths):
        text, problem = _read_file(path)
        if not problem:
            refusals = [item.message for item in find_unspeakable(text, language, matcher, speaker)]
            problem = find_language_problem(speaker, language) or "; ".join(refusals)
            problem = f"the chunk file {path.name}: {problem}" if problem else ""
        if problem:
            rows.append(
                ChunkRow("", 1, number, "paragraph", text, refused=CHUNK_FILE, message=problem, place=path.name)
            )
            continue
        spoken = speak_text(text, language, matcher, speaker.capabilities)
        rows.append(
            ChunkRow(
                chunk_id(number + 1),
                1,
                number,
                "paragraph",
                text,
                spoken.text,
                json.dumps([[0, len(text)]]),
                spoken.map_json,
                voice=voice,
                language=language,
                message=spoken.message,
                place=path.name,
            )
        )
    return rows


def chunk_id(number: int) -> str:
    """The id in the manifests of the chunk `number`, from 1.

    >>> chunk_id(12), chunk_number("001-0012")
    ('001-0012', 12)
    """
    return f"001-{number:04d}"


def chunk_number(chunk_id: str) -> int:
    return int(chunk_id.rpartition("-")[2])


def _read_file(path: Path) -> tuple[str, str]:
    """The text with single spaces, and what is wrong with the file."""
    try:
        text = " ".join(path.read_text(encoding="utf-8-sig").split())
    except OSError as error:
        return "", f"the chunk file {path.name} cannot be read ({error.strerror})"
    except UnicodeDecodeError as error:
        return "", f"the chunk file {path.name} is not UTF-8 (byte {error.start})"
    return text, "" if any(map(str.isalnum, text)) else f"the chunk file {path.name} has no words"


def write_text(work: Store, book: BookKey, rows: Sequence[ChunkRow], json_name: str, file_id: str) -> None:
    """Commit the chunks as the book's text."""
    manifest = BookManifest(
        partition=str(book),
        complete=True,
        inputs=fingerprint([(row.chunk_id, row.words_digest, row.message) for row in rows]),
        source=json_name,
        source_characters=sum(count_characters(row.text) for row in rows),
        metadata={"title": file_id, PIPELINE: json_name},
        chapters=((file_id, 1),),
        rows=tuple(rows),
    )
    with hold_lock(work, f"{STAGE} {book}") as store:
        store.put(manifest_key(STAGE, book), manifest.to_bytes())
