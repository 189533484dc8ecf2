"""The audit: every committed file of every stage is read again and compared with its checksum. Mends nothing."""

import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from voice_core import progress
from voice_core.corpus import coding, dataset, segmenting
from voice_core.corpus.freed import FreedFiles
from voice_core.corpus.manifest import read_manifest
from voice_core.corpus.pairs import read_pairs
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey, partition_flags
from voice_core.settings import Settings
from voice_core.state_files import DamagedStateError, read_state
from voice_core.store import ObjectNotFoundError, Store, StoreError

_log = logging.getLogger(__name__)
REPORT_KEY = "audits/latest.json"
_RESUMED_WITHIN = timedelta(days=3)
_WRITTEN_EVERY_SEC = 30.0


@dataclass(frozen=True, slots=True)
class PartitionAudit:
    """What was found of one batch. `wrong` maps keys to what is wrong with them; `freed` files were not looked for."""

    files: int
    size_bytes: int
    freed: int = 0
    wrong: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class AuditReport:
    """`begun` and `ended` are in UTC, ISO 8601; `ended` is empty while the audit is at work, or was broken off."""

    begun: str
    ended: str = ""
    partitions: dict[str, PartitionAudit] = field(default_factory=dict)

    @property
    def wrong(self) -> dict[str, str]:
        return {key: what for item in self.partitions.values() for key, what in item.wrong.items()}

    @property
    def spoilt_partitions(self) -> list[str]:
        return [key for key, item in self.partitions.items() if item.wrong]

    @property
    def files(self) -> int:
        return sum(item.files for item in self.partitions.values())

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.partitions.values())

    @property
    def remedy(self) -> str:
        """The command that mends what was found."""
        return f"voice build --verify{partition_flags(self.spoilt_partitions)}"

    def to_bytes(self) -> bytes:
        return (json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1) + "\n").encode()


def read_report(work: Store) -> AuditReport | None:
    try:
        return read_state(work, REPORT_KEY, AuditReport)
    except DamagedStateError as error:
        _log.warning("%s; the audit starts anew", error)
        return None


def audit(work: Store, partitions: Sequence[PartitionKey], settings: Settings) -> AuditReport:
    """Read every committed file of these batches, and write what was found to `REPORT_KEY`.

    An audit that was broken off less than three days ago goes on where it was.
    """
    report = _unfinished(read_report(work)) or AuditReport(_now())
    todo = [partition for partition in partitions if str(partition) not in report.partitions]
    written = time.monotonic()
    with progress.track("reading committed files", len(todo), "batches") as bar:
        for partition in todo:
            report.partitions[str(partition)] = audit_partition(work, partition, settings)
            bar.advance()
            if time.monotonic() - written > _WRITTEN_EVERY_SEC:
                work.put(REPORT_KEY, report.to_bytes())
                written = time.monotonic()
    report.ended = _now()
    work.put(REPORT_KEY, report.to_bytes())
    return report


def audit_partition(work: Store, partition: PartitionKey, settings: Settings) -> PartitionAudit:
    wanted = dict(committed_files(work, partition, settings))
    freed = FreedFiles(work)

    def look(key: str) -> tuple[int, str | None]:
        try:
            if key.endswith(".parquet"):  # may be too large to hold
                info = work.head(key)
                size, digest = info.size if info else 0, work.hash(key)
            else:
                data = work.get(key)
                size, digest = len(data), sha256(data)
        except ObjectNotFoundError:
            return 0, None if freed.holds(key, wanted[key]) else "is missing"
        except StoreError as error:
            return 0, f"cannot be read: {error}"
        return size, "" if digest == wanted[key] else "is not what was committed"

    found = dict(zip(wanted, work.each(look, wanted), strict=True))
    return PartitionAudit(
        files=len(found),
        size_bytes=sum(size for size, _ in found.values()),
        freed=sum(what is None for _, what in found.values()),
        wrong={key: what for key, (_, what) in found.items() if what},
    )


def committed_files(work: Store, partition: PartitionKey, settings: Settings) -> Iterator[tuple[str, str]]:
    """(key, SHA-256) of all that complete manifests of a batch list, stage by stage."""
    for stage in (segmenting.STAGE, coding.STAGE):
        manifest = read_manifest(work, stage, partition)
        if manifest is not None and manifest.complete:
            yield from ((entry.key, entry.sha256) for entry in manifest.files())
    rows = dataset.read_dataset_manifest(work, partition, settings)
    if rows is not None and rows.complete:
        yield from dataset.parquet_files(rows)
        pairs = read_pairs(work, partition, settings)
        if pairs is not None:
            yield from ((str(item["key"]), str(item["sha256"])) for item in pairs.files)


def _unfinished(report: AuditReport | None) -> AuditReport | None:
    if report is None or report.ended:
        return None
    return report if datetime.now(UTC) - datetime.fromisoformat(report.begun) < _RESUMED_WITHIN else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
