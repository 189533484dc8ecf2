"""The manifest of the voice dataset: what one stage of one batch made, and what became of everything else.

It is the commit record: data counts when a complete manifest lists it. While a stage works, its manifest is incomplete
and lists what is already done, so that a killed run is resumed and the batch does not count as finished.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from voice_core.corpus.labels import Labels, ordered_fields
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey, manifest_key
from voice_core.stages.files import FilesByKey
from voice_core.stages.manifest import LazyRows, ManifestFormat, load_stored_manifest
from voice_core.stages.verdicts import Keep, Verdict
from voice_core.storage.store import Store

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry(Labels):
    """One row: a transcript line with its labels, the untranscribed rest of a recording, or a whole rejected one.

    `sample_count` is the part of the recording that this row accounts for. Over all rows of a recording it adds up to
    the recording's length.
    """

    kind: Literal["line", "rest", "recording"]
    audio_id: str
    index: int = -1
    start_sec: float | None = None
    end_sec: float | None = None
    cut_start: int | None = None  # samples from the start of the recording
    cut_stop: int | None = None
    sample_count: int = 0
    kept: bool = False
    stage: str = ""
    reason: str = ""
    value: float | None = None
    threshold: float | None = None
    message: str = ""
    text: str = ""
    # The file, where there is one.
    key: str = ""
    sha256: str = ""
    size_bytes: int = 0
    fingerprint: str = ""
    # Measures of the cut audio.
    duration_sec: float | None = None
    peak_dbfs: float | None = None
    rms_dbfs: float | None = None
    clipped_share: float | None = None
    silence_share: float | None = None
    snr_db: float | None = None
    bandwidth_hz: float | None = None
    chars_per_sec: float | None = None
    # Codes.
    code_count: int = 0
    distinct_codes: int = 0
    roundtrip_mel_db: float | None = None
    roundtrip_level_db: float | None = None
    agreement: float | None = None  # share of codes that the codec's plain path gives as well
    # The dataset.
    split: str = ""
    neutts_drop: str = ""

    def with_verdict(self, verdict: Verdict) -> "Entry":
        """This row with a verdict in place of the one it had."""
        if isinstance(verdict, Keep):
            return dataclasses.replace(self, kept=True, stage="", reason="", value=None, threshold=None, message="")
        return dataclasses.replace(
            self,
            kept=False,
            stage=verdict.stage,
            reason=verdict.reason,
            value=verdict.value,
            threshold=verdict.threshold,
            message=verdict.message,
        )

    @property
    def order(self) -> tuple[str, int, int]:
        """Rows are sorted by recording, lines first, in the transcript's order."""
        return self.audio_id, 0 if self.kind == "line" else 1, self.index


RecordingStatus = Literal["ok", "damaged", "unreadable", "unreachable", "no_transcript", "bad_transcript", "vanished"]


@dataclass(frozen=True, slots=True)
class RecordingOutcome:
    """What was found of one recording."""

    audio_id: str
    raw_key: str
    status: RecordingStatus
    sample_count: int
    audio_sha256: str = ""
    transcript_key: str = ""
    transcript_sha256: str = ""
    message: str = ""

    @property
    def has_problem(self) -> bool:
        return self.status != "ok"


@dataclass(frozen=True, slots=True)
class Manifest:
    stage: str
    partition: str
    complete: bool
    sample_rate_hz: int
    inputs: str  # fingerprint of everything that this stage's result depends on
    parameters: dict[str, Any]
    recordings: tuple[RecordingOutcome, ...] = ()
    entries: Sequence[Entry] = field(default=(), repr=False)
    _hash: str = field(default="", init=False, repr=False, compare=False)  # not taken over by dataclasses.replace

    def kept(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kept]

    def files(self) -> list[Entry]:
        """Rows that have a file, kept or not."""
        return [entry for entry in self.entries if entry.key]

    def files_by_key(self) -> FilesByKey:
        """The files of all rows. A manifest that was read lazily is not parsed for this.

        Raises `UnreadableRowsError`.
        """
        if isinstance(self.entries, LazyRows):
            columns = self.entries.columns("key", "size_bytes", "sha256")
            return {key: (size, digest) for key, size, digest in zip(*columns, strict=True) if key}
        return {entry.key: (entry.size_bytes, entry.sha256) for entry in self.entries if entry.key}

    @property
    def data_version(self) -> str:
        """Hash of the manifest's file: equal exactly when the manifests are equal."""
        return self._hash or sha256(self.to_bytes())[:32]

    def to_bytes(self) -> bytes:
        names = ("stage", "partition", "complete", "sample_rate_hz", "inputs", "parameters")
        recordings = [dataclasses.asdict(recording) for recording in self.recordings]
        return FORMAT.to_bytes(
            {**{name: getattr(self, name) for name in names}, "recordings": recordings}, self.entries
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, lazily: bool = False) -> "Manifest":
        """With `lazily`, rows are parsed on first access."""
        meta, rows = FORMAT.from_bytes(data)
        manifest = cls(
            stage=meta["stage"],
            partition=meta["partition"],
            complete=meta["complete"],
            sample_rate_hz=meta["sample_rate_hz"],
            inputs=meta["inputs"],
            parameters=meta["parameters"],
            recordings=tuple(RecordingOutcome(**recording) for recording in meta["recordings"]),
            entries=rows if lazily else tuple(rows),
        )
        object.__setattr__(manifest, "_hash", sha256(data)[:32])
        return manifest


_COLUMNS = [item.name for item in ordered_fields(Entry)]
FORMAT = ManifestFormat(Entry, "voice_manifest", SCHEMA_VERSION, columns=_COLUMNS)


def sorted_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.order))


def read_manifest(store: Store, stage: str, partition: PartitionKey, *, lazily: bool = False) -> Manifest | None:
    """The manifest of a stage, complete or not; None where there is none or it is unreadable."""
    manifest = load_manifest(store, manifest_key(stage, partition), lazily=lazily)
    return manifest if manifest is not None and manifest.stage == stage else None


def load_manifest(store: Store, key: str, *, lazily: bool = False) -> Manifest | None:
    """As `read_manifest`, by key. Raises `NewerStateError`."""
    return load_stored_manifest(store, key, partial(parse_manifest, lazily=lazily))


def parse_manifest(store: Store, key: str, data: bytes, *, lazily: bool = False) -> Manifest:
    """The manifest `data` at `key`. Raises `DamagedStateError` and `NewerStateError`."""
    channel_and_batch = "/".join(key.removesuffix("/_manifest.parquet").removesuffix(".parquet").split("/")[-2:])
    return FORMAT.parse(store, key, data, channel_and_batch, partial(Manifest.from_bytes, lazily=lazily))


def read_complete_manifest(store: Store, stage: str, partition: PartitionKey) -> Manifest:
    """The committed manifest of a stage. Raises `LookupError` that says which stage to run first."""
    manifest = read_manifest(store, stage, partition)
    if manifest is None or not manifest.complete:
        raise LookupError(f"{partition} has no finished stage '{stage}' under {store.url}: build that first")
    return manifest


def write_manifest(store: Store, manifest: Manifest) -> None:
    store.put(manifest_key(manifest.stage, PartitionKey.parse(manifest.partition)), manifest.to_bytes())
