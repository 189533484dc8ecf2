"""Frees the speech of books: the files of chunks, once the audiobook is mastered from them."""

from dataclasses import dataclass, replace

from voice_core.audiobook.audio_manifest import STAGE, read_audio_manifest
from voice_core.audiobook.audiobook_manifest import STAGE as MASTERED
from voice_core.audiobook.audiobook_manifest import read_audiobook_manifest
from voice_core.audiobook.chunk_manifest import read_book_manifest
from voice_core.audiobook.pipeline_file import find_pipeline
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.stages.files import FileState, check_files, describe_problems, list_sizes
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class SpeechToFree:
    """The files of a book's speech that can be freed, or the reason why they are kept."""

    book: BookKey
    keys: tuple[str, ...] = ()
    size_bytes: int = 0
    kept: str = ""


def plan_freeing(work: Store, book: BookKey, *, verify: bool = False) -> SpeechToFree:
    """What can be freed of a book. With `verify`, the files of the audiobook are read and compared."""
    speech, audiobook = read_audio_manifest(work, book), read_audiobook_manifest(work, book)
    if speech is None or not speech.complete:
        return SpeechToFree(book, kept="its speech is not finished")
    if audiobook is None and (text := read_book_manifest(work, book)) is not None and find_pipeline(text) is not None:
        return SpeechToFree(book, kept="`voice audiobook speak` reads it, and there is no audiobook of a pipeline.json")
    if audiobook is None or not audiobook.complete or audiobook.speech_version != speech.data_version:
        return SpeechToFree(book, kept="its audiobook is not made of this speech yet")
    files = audiobook.files()
    states = check_files(work, files, list_sizes(work, stage_prefix(MASTERED, book)), verify=verify)
    wrong = [state for state in states.values() if state is not FileState.INTACT]
    if wrong:
        why = describe_problems(wrong) or "a file is not what was committed"
        return SpeechToFree(book, kept=f"of its audiobook, {why}")
    there = list_sizes(work, stage_prefix(STAGE, book))  # also those that a killed run was about to delete
    keys = sorted({row.key for row in speech.rows} & there.keys())
    return SpeechToFree(book, tuple(keys), sum(there[key] for key in keys))


def free_speech(work: Store, book: BookKey) -> SpeechToFree:
    """Delete the files of a book's speech, once the files of its audiobook were read and compared.

    The manifest names them as freed before the first is deleted; a later build speaks again what it needs. A run that
    speaks the book, or masters it and so reads these files, is waited for.
    """
    with hold_lock(work, f"{MASTERED} {book}") as mastering, hold_lock(work, f"{STAGE} {book}") as work:
        plan = plan_freeing(work, book, verify=True)
        mastering.verify_lock()
        speech = read_audio_manifest(work, book)
        if plan.keys and speech is not None:
            rows = tuple(replace(row, freed=bool(row.key)) for row in speech.rows)
            if rows != tuple(speech.rows):
                work.put(manifest_key(STAGE, book), replace(speech, rows=rows).to_bytes())
            work.delete(plan.keys)
        return plan
