"""What is to be spoken of a book's chunks: takes, their seeds and files, and what is kept of earlier speech. Pure."""

import dataclasses
from array import array
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voice_core.audiobook.audio_manifest import ChunkAudioManifest, ChunkAudioRow, speech_key
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import BookKey
from voice_core.stages.packed_rows import MappedSequence
from voice_core.synthesis.speech_cache import SpeechSource
from voice_core.synthesis.voice_levels import Calibration, sentences_for
from voice_core.tts.base import Utterance

SPEECH_VERSION = 1
TRANSIENT_REASONS = ("speech_failed", "speech_crashed")
"""Reasons of chunks that the next run speaks again."""


@dataclass(frozen=True, slots=True)
class SpeechTask:
    """The speech of a chunk, and of all other chunks that are equal to it.

    `identity` covers what the takes depend on, `fingerprint` the validation as well. Neither depends on the chunk's
    place in the book.
    """

    chunk: ChunkRow
    identity: str
    fingerprint: str
    seed: int  # of the settings
    first_take: int = 0

    def utterance(self, take: int) -> Utterance:
        chunk = self.chunk
        return Utterance(chunk.spoken_text, chunk.voice, chunk.language, seed=self.take_seed(take))

    def take_seed(self, take: int) -> int:
        return int(fingerprint("take", self.seed, self.chunk.spoken_text, self.chunk.voice, take)[:7], 16)

    def take_key(self, book: BookKey, take: int) -> str:
        return take_key(book, self.identity, self.first_take, take)


def take_key(book: BookKey, identity: str, first_take: int, take: int) -> str:
    """The file of a take. The takes of a redone chunk have files of their own, whatever their numbers."""
    return speech_key(book, fingerprint(identity, first_take, take))


@dataclass(frozen=True, slots=True)
class SpeechPlan:
    """What a book's speech needs. `tasks` has the task of each chunk; equal chunks have the same one.

    `kept` has the rows that stay, by the number of their chunk; `reusable` those whose audio is validated again.
    `files` are the rows of all intact files, by key.
    """

    book: BookKey
    chunks: Sequence[ChunkRow]
    tasks: Sequence[SpeechTask]
    kept: Mapping[int, ChunkAudioRow]
    reusable: Mapping[int, ChunkAudioRow]
    files: Mapping[str, ChunkAudioRow]
    calibrations: tuple[Calibration, ...]
    inputs: str
    parameters: dict[str, Any] = field(default_factory=dict)
    old: ChunkAudioManifest | None = None

    @property
    def is_current(self) -> bool:
        """Whether the old manifest is the result."""
        old = self.old
        return old is not None and old.complete and old.inputs == self.inputs and len(self.kept) == len(self.chunks)

    @property
    def reused(self) -> int:
        """The number of chunks with the speech of an earlier run."""
        return len(self.reusable) + sum(row.spoken for row in self.kept.values())

    def to_do(self) -> tuple[Sequence[int], dict[int, list[int]]]:
        """The numbers of the chunks to speak, in the order of the book, and of those that are equal to one of them."""
        to_do: dict[str, int] = {}
        equal: dict[int, list[int]] = {}
        for number, task in enumerate(self.tasks):
            if number not in self.kept:
                first = to_do.setdefault(task.fingerprint, number)
                if first != number:
                    equal.setdefault(first, []).append(number)
        return array("q", to_do.values()), equal


def speech_identity(chunk: ChunkRow, source: SpeechSource, seed: int) -> str:
    """A hash of everything that a chunk's takes and the words in them depend on."""
    recording = source.recordings.get(chunk.voice, "")
    words = chunk.text, chunk.spoken_text, chunk.text_map
    return fingerprint(
        SPEECH_VERSION, source.engine, source.revision, recording, chunk.voice, chunk.language, words, seed
    )


def plan_speech(
    book: BookKey,
    chunks: Sequence[ChunkRow],
    source: SpeechSource,
    old: ChunkAudioManifest | None,
    intact: Collection[str],
    validation: Callable[[str], str],
    *,
    seed: int,
    parameters: Mapping[str, Any],
    redo: Collection[str] = (),
) -> SpeechPlan:
    """The plan of a book's speech.

    `intact` has the keys of the files that are as `old` lists them. `validation` identifies how the chunk of an
    identity is validated. `parameters` are what else the result depends on. Of the chunks in `redo`, the takes after
    those that they had are spoken.
    """
    identities = [speech_identity(chunk, source, seed) for chunk in chunks]
    before = _match(book, identities, old, validation)
    files = {row.key: row for row in (old.rows if old else ()) if row.key in intact}
    by_print = {
        row.fingerprint: row
        for row in (old.rows if old else ())
        if row.key in intact or (not row.key and row.reason and row.reason not in TRANSIENT_REASONS)
    }
    prints: list[str] = []
    firsts = array("q")
    kept: dict[int, ChunkAudioRow] = {}
    reusable: dict[int, ChunkAudioRow] = {}
    for index, (chunk, identity) in enumerate(zip(chunks, identities, strict=True)):
        row = before[index]
        first = row.first_take if row else 0
        if row is not None and chunk.chunk_id in redo:
            first = row.first_take + row.takes
        own = task_fingerprint(identity, first, validation(identity))
        prints.append(own)
        firsts.append(first)
        same = by_print.get(own)
        if same is not None:
            kept[index] = dataclasses.replace(same, chunk_id=chunk.chunk_id)
        elif row is not None and row.key in intact:
            reusable[index] = dataclasses.replace(row, chunk_id=chunk.chunk_id)
    calibrations = _calibrations(chunks, source)
    inputs = fingerprint(
        sha256("\n".join(prints).encode()),
        [chunk.chunk_id for chunk in chunks],
        [item.identity for item in calibrations],
        dict(parameters),
    )
    digests = np.array([identities, prints], "S")  # in less than half of the memory

    def task(number: int) -> SpeechTask:
        identity, own = (item.decode() for item in digests[:, number])
        return SpeechTask(chunks[number], identity, own, seed, firsts[number])

    tasks = MappedSequence(task, range(len(prints)))
    return SpeechPlan(book, chunks, tasks, kept, reusable, files, calibrations, inputs, dict(parameters), old)


def task_fingerprint(identity: str, first_take: int, validation: str) -> str:
    return fingerprint("chunk", identity, first_take, validation)


def _match(
    book: BookKey, identities: Sequence[str], old: ChunkAudioManifest | None, validation: Callable[[str], str]
) -> list[ChunkAudioRow | None]:
    """The old row of each chunk, by what is spoken: of equal chunks the first has the first row, and so on."""
    rows = list(old.rows) if old else []
    spoken = {(row.first_take, row.take) for row in rows if row.key}
    firsts = {row.first_take for row in rows if not row.key}
    owner: dict[str, str] = {}
    for identity in identities:
        owner |= {take_key(book, identity, first, take): identity for first, take in spoken}
        owner |= {task_fingerprint(identity, first, validation(identity)): identity for first in firsts}
    waiting: dict[str, deque[ChunkAudioRow]] = {}
    for row in rows:
        identity = owner.get(row.key or row.fingerprint, "")
        waiting.setdefault(identity, deque()).append(row)
    empty: deque[ChunkAudioRow] = deque()
    found = [waiting.get(identity, empty) for identity in identities]
    return [queue.popleft() if queue else None for queue in found]


def _calibrations(chunks: Sequence[ChunkRow], source: SpeechSource) -> tuple[Calibration, ...]:
    """How the level of each voice is measured, in the language in which it speaks first."""
    languages: dict[str, str] = {}
    for chunk in chunks:
        languages.setdefault(chunk.voice, chunk.language)
    return tuple(
        Calibration(
            source.engine,
            source.revision,
            voice,
            source.recordings.get(voice, ""),
            language,
            sentences_for(language),
        )
        for voice, language in sorted(languages.items())
    )
