"""The manifest of a book's speech, which is the commit record of the stage `chunk_audio`: a row for each chunk."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from voice_core.fingerprint import sha256
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.recognition.word_times import Word
from voice_core.stages.files import FilesByKey
from voice_core.stages.manifest import ManifestFormat, load_stored_manifest
from voice_core.storage.store import Store

STAGE = "chunk_audio"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class ChunkAudioRow:
    """The speech of a chunk, or why there is none.

    `fingerprint` covers everything that the speech and its validation depend on; it is empty where a retry failed for a
    passing reason, which is the `message` then: the next run makes it. `key` is the file: 16-bit FLAC, mono,
    at the engine's sampling rate. `words` is JSON [[word, start, end], …] in seconds from the beginning of the chunk;
    they are the book's words. `metrics` is JSON of what validation measured, `exceptions` JSON [[test, message], …] of
    the tests that the best take failed.
    """

    chunk_id: str
    fingerprint: str
    spoken: bool = False
    reason: str = ""  # why there is no audio
    message: str = ""
    voice: str = ""
    first_take: int = 0  # the first take that counts; a redone chunk begins after those it had
    take: int = 0  # the take that is kept, from `first_take` on
    takes: int = 0  # how many were spoken, from `first_take` on
    seed: int = 0
    sample_count: int = 0
    key: str = ""
    sha256: str = ""
    size_bytes: int = 0
    words: str = "[]"
    approximate: bool = False  # the words' times are spread by length, not found in the audio
    metrics: str = "{}"
    exceptions: str = "[]"
    words_digest: str = ""  # of the chunk that was spoken
    freed: bool = False  # `voice clean chunk_audio` deleted the file: it is spoken again where it is needed

    def word_times(self) -> tuple[Word, ...]:
        return tuple(Word(*item) for item in json.loads(self.words))

    def files(self) -> FilesByKey:
        return {self.key: (self.size_bytes, self.sha256)} if self.key else {}


@dataclass(frozen=True, slots=True)
class ChunkAudioManifest:
    """`parameters` are the engine and what else the speech depends on, and the voices whose level is not known.

    `gains_db` is the gain of each voice that brings it to the level of the settings, 0 where its level is not known.
    """

    partition: str
    complete: bool
    inputs: str
    sample_rate_hz: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)
    gains_db: dict[str, float] = field(default_factory=dict)
    rows: Sequence[ChunkAudioRow] = field(default=(), repr=False)

    @property
    def data_version(self) -> str:
        """Equal whether or not files are freed."""
        freed = any(row.freed for row in self.rows)
        there = replace(self, rows=tuple(replace(row, freed=False) for row in self.rows)) if freed else self
        return sha256(there.to_bytes())[:32]

    def exceptions(self) -> Iterator[ChunkAudioRow]:
        """The rows without audio, and those whose best take failed a test."""
        return (row for row in self.rows if not row.spoken or row.exceptions != "[]")

    def to_bytes(self) -> bytes:
        names = [name for name in self.__slots__ if name != "rows"]
        return FORMAT.to_bytes({name: getattr(self, name) for name in names}, self.rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> "ChunkAudioManifest":
        """Raises ValueError or KeyError for what is not a manifest."""
        metadata, rows = FORMAT.from_bytes(data)
        return cls(**metadata, rows=rows)


FORMAT = ManifestFormat(ChunkAudioRow, "chunk_audio_manifest", SCHEMA_VERSION)


def read_audio_manifest(store: Store, book: BookKey) -> ChunkAudioManifest | None:
    """The manifest of a book, complete or not; None where there is none or it is damaged. Raises `NewerStateError`."""
    return load_stored_manifest(
        store, manifest_key(STAGE, book), lambda store, _, data: parse_audio_manifest(store, book, data)
    )


def parse_audio_manifest(store: Store, book: BookKey, data: bytes) -> ChunkAudioManifest:
    """The manifest `data` of a book. Raises `DamagedStateError` and `NewerStateError`."""
    return FORMAT.parse(store, manifest_key(STAGE, book), data, str(book), ChunkAudioManifest.from_bytes)


def mos_score(row: ChunkAudioRow) -> float | None:
    """The predicted mean opinion score of a chunk's speech, 1 to 5; None where none was predicted."""
    score = json.loads(row.metrics).get("mos_score")
    return None if score is None else float(score)


def speech_key(book: BookKey, fingerprint: str) -> str:
    """The file of a take; equal speech has an equal name."""
    return f"{stage_prefix(STAGE, book)}{fingerprint}.flac"
