"""The manifests of a book's text and speech that a step needs: there, or an error that says what to build."""

from voice_core.audiobook.audio_manifest import ChunkAudioManifest, read_audio_manifest
from voice_core.audiobook.chunk_manifest import BookManifest, read_book_manifest
from voice_core.audiobook.commands import build_command
from voice_core.layout import BookKey
from voice_core.storage.store import Store


def require_text(work: Store, book: BookKey, *, finished: bool = True) -> BookManifest:
    """The text of a book. Raises LookupError where there is none, or with `finished`, where it is incomplete."""
    text = read_book_manifest(work, book)
    if text is None or (finished and not text.complete):
        raise _missing(work, book, "text", "book_chunks", exists=text is not None)
    return text


def require_speech(work: Store, book: BookKey, *, finished: bool = True) -> ChunkAudioManifest:
    """The speech of a book. Raises LookupError where there is none, or with `finished`, where it is incomplete."""
    speech = read_audio_manifest(work, book)
    if speech is None or (finished and not speech.complete):
        raise _missing(work, book, "speech", "chunk_audio", exists=speech is not None)
    return speech


def _missing(work: Store, book: BookKey, what: str, asset: str, *, exists: bool) -> LookupError:
    state = "is incomplete" if exists else "does not exist"
    return LookupError(
        f"the {what} of the book {book} {state} in {work.url}: run `{build_command(book)}`, or materialize {asset} of "
        "this partition"
    )
