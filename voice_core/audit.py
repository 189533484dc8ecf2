"""The audit of a work root: finds files that are corrupt, missing or not listed by a commit record. Repairs nothing."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from voice_core.audiobook.integrity import STAGES as BOOK_STAGES
from voice_core.audiobook.integrity import audit_book, list_built_books
from voice_core.compute import progress
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.integrity import (
    DATASETS_PREFIX,
    SEGMENT_STAGES,
    audit_dataset,
    audit_partition,
    audit_state,
    dataset_names,
)
from voice_core.layout import BATCHES, EVICTED, LOCKS, TOMBSTONES, BookKey, PartitionKey
from voice_core.moshi import debug_export
from voice_core.moshi.batches import DIALOGUES
from voice_core.moshi.integrity import audit_shards, audit_voices, data_sets
from voice_core.moshi.shard_manifest import STAGE as MOSHI
from voice_core.moshi.synthesis_types import SPOKEN
from voice_core.settings import Settings
from voice_core.stages.integrity import AUDIT_REPORT_KEY, AuditReport, PartitionAudit, read_audit_report
from voice_core.storage.copy_record import COPY_RECORD_FOLDER
from voice_core.storage.store import Store
from voice_core.synthesis import voice_levels

_RESUME_WITHIN = timedelta(days=3)
_SAVE_INTERVAL_SEC = 30.0
_AUDITED_STAGES = (MOSHI, voice_levels.STAGE, *BOOK_STAGES)
_AUDITED_PREFIXES = (
    *(BATCHES, TOMBSTONES, EVICTED, DATASETS_PREFIX, DIALOGUES),
    *(f"{stage}/" for stage in _AUDITED_STAGES),
)
_IGNORED_PREFIXES = (LOCKS, COPY_RECORD_FOLDER, AUDIT_REPORT_KEY, f"{SPOKEN}/", f"{debug_export.STAGE}/")
"""Locks, caches and exports: no committed data depends on them."""


def audit_work_root(work: Store, settings: Settings) -> AuditReport:
    """Read every committed file of the work root and write the report to `AUDIT_REPORT_KEY`.

    An audit that was interrupted less than three days ago is resumed.
    """
    report = _resumable(read_audit_report(work)) or AuditReport(_now(), dataset=settings.dataset)
    report.dataset = settings.dataset
    partitions = list_partitions(work)
    datasets = dataset_names(work)
    todo: list[tuple[dict[str, PartitionAudit], str, Callable[[], PartitionAudit]]] = []

    def add(into: dict[str, PartitionAudit], key: str, run_audit: Callable[[], PartitionAudit]) -> None:
        if key not in into:
            todo.append((into, key, run_audit))

    for partition in partitions:
        add(report.partitions, str(partition), _audit_batch(work, partition, settings, datasets))
    for name in data_sets(work):
        add(report.parts, f"{MOSHI} {name}", _audit_shards(work, name, settings))
    for book in list_built_books(work):
        add(report.parts, f"audiobook {book}", _audit_book(work, book))
    for name in datasets:
        report.parts.pop(f"dataset {name}", None)  # audited again, with the current partitions
        add(report.parts, f"dataset {name}", _audit_dataset(work, name, settings))
    report.parts["state"] = audit_state(work)
    report.parts["voices"] = audit_voices(work)
    report.parts["others"] = _audit_unknown_files(work, set(partitions))
    written = time.monotonic()
    with progress.track("reading committed files", len(todo), "batches") as bar:
        for into, key, run_audit in todo:
            into[key] = run_audit()
            bar.advance()
            if time.monotonic() - written > _SAVE_INTERVAL_SEC:
                work.put(AUDIT_REPORT_KEY, report.to_bytes())
                written = time.monotonic()
    report.ended = _now()
    work.put(AUDIT_REPORT_KEY, report.to_bytes())
    return report


def _audit_batch(
    work: Store, partition: PartitionKey, settings: Settings, names: list[str]
) -> Callable[[], PartitionAudit]:
    return lambda: audit_partition(work, partition, settings, names)


def _audit_shards(work: Store, name: str, settings: Settings) -> Callable[[], PartitionAudit]:
    return lambda: audit_shards(work, name, settings.moshi)


def _audit_book(work: Store, book: BookKey) -> Callable[[], PartitionAudit]:
    return lambda: audit_book(work, book)


def _audit_dataset(work: Store, name: str, settings: Settings) -> Callable[[], PartitionAudit]:
    own = settings.model_copy(update={"dataset": name})
    return lambda: audit_dataset(work, own, is_other=name != settings.dataset)


def _audit_unknown_files(work: Store, partitions: set[PartitionKey]) -> PartitionAudit:
    """Files outside of the audited folders, and files of stages whose partition does not exist."""
    return PartitionAudit(0, 0, unlisted=sorted(_unknown_files(work, partitions)))


def _unknown_files(work: Store, partitions: set[PartitionKey]) -> Iterator[str]:
    for item in work.listing():
        if item.key.startswith((*_AUDITED_PREFIXES, *_IGNORED_PREFIXES)):
            continue
        stage, _, rest = item.key.partition("/")
        if stage in SEGMENT_STAGES and PartitionKey.find(rest.rpartition("/")[0]) in partitions:
            continue
        yield item.key


def _resumable(report: AuditReport | None) -> AuditReport | None:
    if report is None or report.ended:
        return None
    try:
        begun = datetime.fromisoformat(report.begun)
        return report if datetime.now(UTC) - begun < _RESUME_WITHIN else None
    except (ValueError, TypeError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
