"""The manifest of a batch of dialogues, which is its commit record: one row per turn."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from voice_core.fingerprint import canonical_json, sha256
from voice_core.layout import PartitionKey, manifest_key, slug, stage_prefix
from voice_core.moshi.script import SAMPLE_RATE_HZ, Role
from voice_core.recognition.word_times import Word
from voice_core.stages.files import FilesByKey
from voice_core.stages.manifest import ManifestFormat, load_stored_manifest
from voice_core.storage.store import Store

STAGE = "moshi"
SCHEMA_VERSION = 1
MAIN, USER = "SPEAKER_MAIN", "SPEAKER_USER"
LABELS: dict[str, str] = {"assistant": MAIN, "user": USER}
OTHER_TURN = "other_turn_failed"
"""The reason of a turn that is rejected because another turn of its dialogue is."""
_SHELVED = "shelved"


def dialogue_partition(name: str, number: int) -> PartitionKey:
    """A partition of `dialogue_batch`.

    >>> str(dialogue_partition("dialogues", 3))
    'dialogues/batch-0003'
    """
    return PartitionKey(slug(name), number)


def wav_key(partition: PartitionKey, dialogue_id: str) -> str:
    return f"{stage_prefix(STAGE, partition)}{slug(dialogue_id)}.wav"


def sidecar_key(wav: str) -> str:
    return wav.removesuffix(".wav") + ".json"


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A turn, kept or rejected; or, where `turn` is −1, a line that is not a dialogue.

    `key`, `sha256` and the like are those of the dialogue's files, and are repeated on each of its rows. `line` is the
    number of a bad line, and 0 on turns: a dialogue may move in its file without a change.
    """

    dialogue_id: str
    turn: int = -1
    line: int = 0
    kept: bool = False
    stage: str = ""
    reason: str = ""
    message: str = ""
    role: str = ""
    text: str = ""
    voice: str = ""
    emotion: str = ""
    fingerprint: str = ""  # of the utterance: equal as long as its speech is the same
    start_sample: int = 0
    sample_count: int = 0
    level_dbfs: float | None = None
    peak_limited: bool = False  # kept quieter than its voice's gain makes it
    words: str = ""  # JSON [[word, start, end], …], seconds from the beginning of the utterance
    aligner: str = ""
    approximate: bool = False
    tokens_per_sec: float | None = None
    dense: bool = False  # more text tokens per second than Moshi produces: training loses some
    # The dialogue.
    dialogue_fingerprint: str = ""
    dialogue_samples: int = 0
    key: str = ""
    sha256: str = ""
    size_bytes: int = 0
    sidecar_sha256: str = ""
    sidecar_bytes: int = 0

    @property
    def channel_role(self) -> Role:
        return "assistant" if self.role == "assistant" else "user"

    def files(self) -> FilesByKey:
        """The dialogue's WAV file and its sidecar; none for a row that was rejected."""
        if not self.key:
            return {}
        sidecar = self.sidecar_bytes, self.sidecar_sha256
        return {self.key: (self.size_bytes, self.sha256), sidecar_key(self.key): sidecar}

    def spoken_words(self) -> tuple[Word, ...]:
        return tuple(Word(*item) for item in json.loads(self.words)) if self.words else ()


@dataclass(slots=True)
class VoiceStats:
    """The turns of a voice in one role in a batch. `peak_limited` counts turns."""

    role: str
    voice: str
    turns: int = 0
    peak_limited: int = 0
    levels_db: float = 0.0  # their sum

    @property
    def mean_level_dbfs(self) -> float:
        return round(self.levels_db / self.turns, 2)


def words_json(words: Sequence[Word]) -> str:
    return canonical_json([[word.text, word.start_sec, word.end_sec] for word in words])


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """`dialogues` and `bad_lines` count the input; `rows` say what became of it.

    `shelved` are the rows of earlier files whose dialogue was then changed to one that could not be made. Those files
    remain, without being listed for training; a later run reuses what it can.
    """

    partition: str
    complete: bool
    inputs: str
    parameters: dict[str, Any]
    dialogues: int = 0
    bad_lines: int = 0
    rows: Sequence[TurnRow] = field(default=(), repr=False)
    shelved: Sequence[TurnRow] = field(default=(), repr=False)

    @property
    def data_version(self) -> str:
        return sha256(self.to_bytes())[:32]

    def by_dialogue(self) -> Iterator[tuple[str, list[TurnRow]]]:
        """The turns of each dialogue, kept or not, in the order of the batch."""
        turns = (row for row in self.rows if row.turn >= 0)
        for dialogue_id, rows in groupby(turns, key=lambda row: row.dialogue_id):
            yield dialogue_id, list(rows)

    def kept(self) -> list[tuple[str, list[TurnRow]]]:
        return [(name, rows) for name, rows in self.by_dialogue() if rows[0].kept]

    def dialogues_with_files(self) -> list[tuple[str, list[TurnRow]]]:
        """The turns of each dialogue that has files, shelved ones included."""
        shelf = groupby(self.shelved, key=lambda row: row.dialogue_id)
        return [*self.kept(), *((name, list(rows)) for name, rows in shelf)]

    def first_rejects(self) -> Iterator[TurnRow]:
        """One row for each bad line and each rejected dialogue: the first turn that was rejected by itself."""
        yield from (row for row in self.rows if row.turn < 0)
        for _, rows in self.by_dialogue():
            if not rows[0].kept:
                yield next((row for row in rows if row.reason != OTHER_TURN), rows[0])

    @property
    def figures(self) -> dict[str, int | float]:
        """The batch in figures."""
        kept = self.kept()
        turns = [row for _, rows in kept for row in rows]
        samples = sum(rows[0].dialogue_samples for _, rows in kept)
        return {
            "dialogues": self.dialogues,
            "dialogues_kept": len(kept),
            "bad_lines": self.bad_lines,
            "turns": len(turns),
            "audio_sec": round(samples / SAMPLE_RATE_HZ, 3),
            "speech_sec": round(sum(row.sample_count for row in turns) / SAMPLE_RATE_HZ, 3),
            "approximate_turns": sum(row.approximate for row in turns),
            "dense_turns": sum(row.dense for row in turns),
        }

    def voices(self) -> list[VoiceStats]:
        """The voices of the kept turns, the one with the most turns first."""
        found: dict[tuple[str, str], VoiceStats] = {}
        for row in (row for row in self.rows if row.kept):
            voice = found.setdefault((row.role, row.voice), VoiceStats(row.role, row.voice))
            voice.turns += 1
            voice.peak_limited += row.peak_limited
            voice.levels_db += row.level_dbfs or 0.0
        return sorted(found.values(), key=lambda item: (-item.turns, item.role, item.voice))

    def rejects(self) -> dict[str, int]:
        """Rejected lines and turns by reason."""
        counts: dict[str, int] = {}
        for row in self.rows:
            if not row.kept:
                counts[row.reason] = counts.get(row.reason, 0) + 1
        return dict(sorted(counts.items()))

    def to_bytes(self) -> bytes:
        names = ("partition", "complete", "inputs", "parameters", "dialogues", "bad_lines")
        shelved = [False] * len(self.rows) + [True] * len(self.shelved)
        metadata = {name: getattr(self, name) for name in names}
        return FORMAT.to_bytes(metadata, [*self.rows, *self.shelved], **{_SHELVED: shelved})

    @classmethod
    def from_bytes(cls, data: bytes) -> "ShardManifest":
        """Raises ValueError or KeyError for what is not a manifest."""
        metadata, stored = FORMAT.from_bytes(data)
        rows: tuple[list[TurnRow], list[TurnRow]] = ([], [])
        for row, is_shelved in zip(stored, stored.marked(_SHELVED), strict=True):
            rows[is_shelved].append(row)
        return cls(**metadata, rows=tuple(rows[False]), shelved=tuple(rows[True]))


FORMAT = ManifestFormat(TurnRow, "moshi_manifest", SCHEMA_VERSION, marks=[_SHELVED])


def read_shard_manifest(store: Store, partition: PartitionKey) -> ShardManifest | None:
    """The manifest of a batch, complete or not; None where there is none or it is damaged. Raises `NewerStateError`."""
    return load_stored_manifest(
        store,
        manifest_key(STAGE, partition),
        lambda store, _, data: parse_shard_manifest(store, partition, data),
    )


def parse_shard_manifest(store: Store, partition: PartitionKey, data: bytes) -> ShardManifest:
    """The manifest `data` of a batch. Raises `DamagedStateError` and `NewerStateError`."""
    return FORMAT.parse(store, manifest_key(STAGE, partition), data, str(partition), ShardManifest.from_bytes)
