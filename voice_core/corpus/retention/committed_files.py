"""What is committed of one partition, across the stages whose files can be evicted."""

from collections.abc import Mapping
from dataclasses import dataclass

from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.evicted import dataset_stage_name, read_evicted
from voice_core.corpus.manifest import Manifest, read_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store

DATASET_FILES = "datasets"
EVICTABLE_STAGES = (SEGMENTS, CODED, DATASET_FILES)


@dataclass(frozen=True, slots=True)
class CommittedFiles:
    """The manifests of one partition and the files that they commit, evicted or not."""

    segments: Manifest | None
    coded: Manifest | None
    rows: Manifest | None
    pairs: tuple[tuple[str, str], ...]  # (key, SHA-256)
    evicted: Mapping[str, str]  # SHA-256 by key, of all stages

    @classmethod
    def read(cls, work: Store, partition: PartitionKey, settings: Settings) -> "CommittedFiles":
        record = pairs.read_pairs(work, partition, settings)
        evicted: dict[str, str] = {}
        for stage in EVICTABLE_STAGES:
            evicted |= read_evicted(work, evicted_record_name(stage, settings), partition)
        return cls(
            read_manifest(work, SEGMENTS, partition),
            read_manifest(work, CODED, partition) if rows_stage.has_codec(settings) else None,
            rows_stage.read_dataset_manifest(work, partition, settings),
            tuple(record.hashes.items()) if record else (),
            evicted,
        )

    @property
    def version(self) -> str:
        manifests = (self.segments, self.coded, self.rows)
        return fingerprint([item.data_version if item else "" for item in manifests], list(self.pairs))

    def files(self, stage: str) -> list[tuple[str, str]]:
        """(key, SHA-256) of every file that a stage committed."""
        if stage == DATASET_FILES:
            return [*(rows_stage.list_parquet_files(self.rows) if self.rows else ()), *self.pairs]
        manifest = self.segments if stage == SEGMENTS else self.coded
        return [(entry.key, entry.sha256) for entry in manifest.files()] if manifest else []

    def derived_files(self, stage: str) -> list[tuple[str, str]]:
        """Files of later stages that hold the content of the stage's kept files.

        Where coded files are evicted themselves, the Parquet files are included too.
        """
        if stage == DATASET_FILES:
            return []
        derived = self.files(CODED) if stage == SEGMENTS and self.coded else []
        if not derived or any(self.evicted.get(key) == digest for key, digest in derived):
            derived += self.files(DATASET_FILES)
        return derived


def evicted_record_name(stage: str, settings: Settings) -> str:
    """The stage's name in the records of evicted files."""
    return dataset_stage_name(settings.dataset) if stage == DATASET_FILES else stage
