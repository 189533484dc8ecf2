"""The audit of a whole work root. Every file is listed by a commit record and intact, or is named. Repairs nothing."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from voice_core.compute import progress
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.integrity import DATASETS, STAGES, audit_dataset, audit_partition, audit_state, dataset_names
from voice_core.layout import BATCHES, FREED, LOCKS, TOMBSTONES, PartitionKey
from voice_core.moshi import debug_export, levels, speech_cache
from voice_core.moshi.batches import DIALOGUES
from voice_core.moshi.integrity import audit_shards, audit_voices, data_sets
from voice_core.moshi.shard_manifest import STAGE as MOSHI
from voice_core.settings import Settings
from voice_core.stages.integrity import REPORT_KEY, AuditReport, PartitionAudit, read_report
from voice_core.storage.copy_record import FOLDER as COPY_RECORD
from voice_core.storage.store import Store

_RESUMED_WITHIN = timedelta(days=3)
_WRITTEN_EVERY_SEC = 30.0
_LOOKED_AT = (BATCHES, TOMBSTONES, FREED, DATASETS, DIALOGUES, f"{MOSHI}/", f"{levels.STAGE}/")
_KNOWN = (LOCKS, COPY_RECORD, REPORT_KEY, f"{speech_cache.STAGE}/", f"{debug_export.STAGE}/")
"""Claims, caches, exports and what is kept for the next run: nothing depends on them."""


def audit(work: Store, settings: Settings) -> AuditReport:
    """Read every committed file of the work root, and write what was found to `REPORT_KEY`.

    An audit that was broken off less than three days ago goes on where it was.
    """
    report = _unfinished(read_report(work)) or AuditReport(_now(), dataset=settings.dataset)
    report.dataset = settings.dataset
    partitions = list_partitions(work)
    datasets = dataset_names(work)
    todo: list[tuple[dict[str, PartitionAudit], str, Callable[[], PartitionAudit]]] = []

    def add(into: dict[str, PartitionAudit], key: str, look: Callable[[], PartitionAudit]) -> None:
        if key not in into:
            todo.append((into, key, look))

    for partition in partitions:
        add(report.partitions, str(partition), _of_batch(work, partition, settings, datasets))
    for name in data_sets(work):
        add(report.parts, f"{MOSHI} {name}", _of_shards(work, name, settings))
    for name in datasets:
        report.parts.pop(f"dataset {name}", None)  # it goes with the batches as they are now
        add(report.parts, f"dataset {name}", _of_dataset(work, name, settings))
    report.parts["state"] = audit_state(work)
    report.parts["voices"] = audit_voices(work)
    report.parts["others"] = _others(work, set(partitions))
    written = time.monotonic()
    with progress.track("reading committed files", len(todo), "batches") as bar:
        for into, key, look in todo:
            into[key] = look()
            bar.advance()
            if time.monotonic() - written > _WRITTEN_EVERY_SEC:
                work.put(REPORT_KEY, report.to_bytes())
                written = time.monotonic()
    report.ended = _now()
    work.put(REPORT_KEY, report.to_bytes())
    return report


def _of_batch(
    work: Store, partition: PartitionKey, settings: Settings, names: list[str]
) -> Callable[[], PartitionAudit]:
    return lambda: audit_partition(work, partition, settings, names)


def _of_shards(work: Store, name: str, settings: Settings) -> Callable[[], PartitionAudit]:
    return lambda: audit_shards(work, name, settings.moshi)


def _of_dataset(work: Store, name: str, settings: Settings) -> Callable[[], PartitionAudit]:
    own = settings.model_copy(update={"dataset": name})
    return lambda: audit_dataset(work, own, is_other=name != settings.dataset)


def _others(work: Store, partitions: set[PartitionKey]) -> PartitionAudit:
    """Files outside of all that is looked at, and those of stages whose batch is not there."""
    return PartitionAudit(0, 0, unlisted=sorted(_unknown(work, partitions)))


def _unknown(work: Store, partitions: set[PartitionKey]) -> Iterator[str]:
    for item in work.listing():
        if item.key.startswith((*_LOOKED_AT, *_KNOWN)):
            continue
        stage, _, rest = item.key.partition("/")
        if stage in STAGES and PartitionKey.find(rest.rpartition("/")[0]) in partitions:
            continue
        yield item.key


def _unfinished(report: AuditReport | None) -> AuditReport | None:
    if report is None or report.ended:
        return None
    try:
        begun = datetime.fromisoformat(report.begun)
        return report if datetime.now(UTC) - begun < _RESUMED_WITHIN else None
    except (ValueError, TypeError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
