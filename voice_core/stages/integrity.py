"""The report of an audit, and the collector that compares files with their commit records."""

import dataclasses
import json
import logging
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from voice_core.language import pluralize
from voice_core.layout import partition_flags
from voice_core.stages.files import FileAudit, FileState, audit_file
from voice_core.storage.state_files import DamagedStateError, StateFileError, read_state
from voice_core.storage.store import Store, StoreError

AUDIT_REPORT_KEY = "audits/latest.json"
MISSING = "is missing"
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartitionAudit:
    """The result for one batch, or for another part of the work root.

    `wrong` maps keys to what is wrong with them; `freed` counts evicted files. `unlisted` files are in no commit
    record; `unfinished` are stages that a build has not completed. `remedy` is a command, where it is not the one for
    batches.
    """

    files: int
    size_bytes: int
    freed: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    remedy: str = ""


@dataclass(slots=True)
class AuditReport:
    """`begun` and `ended` are in UTC, ISO 8601; `ended` is empty while the audit runs, or where it was interrupted.

    `partitions` are the batches of recordings, `parts` everything else: data sets, Moshi's batches and lists, state
    files.
    """

    begun: str
    ended: str = ""
    partitions: dict[str, PartitionAudit] = field(default_factory=dict)
    parts: dict[str, PartitionAudit] = field(default_factory=dict)
    dataset: str = ""  # of the settings

    @property
    def all_audits(self) -> list[PartitionAudit]:
        return [*self.partitions.values(), *self.parts.values()]

    @property
    def wrong(self) -> dict[str, str]:
        return {key: what for item in self.all_audits for key, what in item.wrong.items()}

    @property
    def unlisted(self) -> list[str]:
        return sorted({key for item in self.all_audits for key in item.unlisted})

    @property
    def unfinished(self) -> list[str]:
        return sorted({key for item in self.all_audits for key in item.unfinished})

    @property
    def damaged_partitions(self) -> list[str]:
        return [key for key, item in self.partitions.items() if item.wrong]

    @property
    def files(self) -> int:
        return sum(item.files for item in self.all_audits)

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.all_audits)

    @property
    def remedies(self) -> list[str]:
        """The commands that repair what is wrong."""
        others = {name for item in self.partitions.values() for name in map(_dataset_of_key, item.wrong) if name}
        others -= {self.dataset}
        damaged = self.damaged_partitions
        commands = [f"voice build --verify{partition_flags(damaged)}"] if damaged else []
        commands += [f"VOICE_DATASET={shlex.quote(name)} voice build --verify" for name in sorted(others)]
        commands += [item.remedy for item in self.parts.values() if item.wrong and item.remedy]
        return list(dict.fromkeys(commands))

    def to_bytes(self) -> bytes:
        return (json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1) + "\n").encode()


def _dataset_of_key(key: str) -> str:
    """The name of the dataset that a key belongs to; "" for none.

    >>> keys = ("datasets/voice/data/news/batch-0001.train.parquet", "segments/a/batch-0001/x.npz")
    >>> tuple(map(_dataset_of_key, keys))
    ('voice', '')
    """
    first, _, rest = key.partition("/")
    return rest.partition("/")[0] if first == "datasets" else ""


def read_audit_report(work: Store) -> AuditReport | None:
    """The report of the last audit; None where there is none or it is damaged."""
    try:
        return read_state(work, AUDIT_REPORT_KEY, AuditReport)
    except DamagedStateError as error:
        _log.warning("%s; the audit starts again from the beginning", error)
        return None


class AuditCollector:
    """Collects what is wrong with one part of the work root."""

    def __init__(self, work: Store) -> None:
        self.work = work
        self.expected_hashes: dict[str, str] = {}  # SHA-256 by key, of files to be read
        self.wrong: dict[str, str] = {}
        self.unlisted: list[str] = []
        self.unfinished: list[str] = []
        self.files_read = 0  # files that were read while gathering
        self.size_bytes = 0

    def read(self, key: str) -> bytes | None:
        """The content of a file that is not checked by a checksum."""
        try:
            data = self.work.find(key)
        except StoreError as error:
            self.wrong[key] = f"cannot be read: {error}"
            return None
        if data is not None:
            self.files_read += 1
            self.size_bytes += len(data)
        return data

    def parse(self, key: str, parse: Callable[[bytes], T]) -> T | None:
        """The parsed content of such a file; None where it is missing or cannot be read, which is wrong."""
        data = self.read(key)
        try:
            return parse(data) if data is not None else None
        except StateFileError as error:
            self.wrong[key] = f"{error.why}. {error.remedy}" if error.remedy else error.why
            return None

    def add_missing_record(self, key: str, there: Collection[str], owner: str) -> None:
        """Record that files exist without the commit record `key`, unless something else is wrong with it."""
        if there and key not in self.wrong:
            verb = "exists" if len(there) == 1 else "exist"
            self.wrong[key] = f"{MISSING}, but {pluralize(len(there), 'file')} of its {owner} {verb}"

    def finish(
        self, is_evicted: Callable[[str, str], bool] = lambda key, digest: False, remedy: str = ""
    ) -> PartitionAudit:
        """Read all expected files and compare them."""
        expected = self.expected_hashes
        audits = self.work.map_keys(lambda key: audit_file(self.work, key, expected[key], is_evicted), expected)
        found = dict(zip(expected, audits, strict=True))
        wrong = {key: _describe(item) for key, item in found.items() if not item.state.counts_as_present}
        return PartitionAudit(
            files=len(found) + self.files_read,
            size_bytes=sum(item.size_bytes for item in found.values()) + self.size_bytes,
            freed=sum(item.state is FileState.EVICTED for item in found.values()),
            wrong={**wrong, **self.wrong},
            unlisted=sorted(self.unlisted),
            unfinished=sorted(self.unfinished),
            remedy=remedy,
        )

    def add_unlisted(self, there: Collection[str], listed: Mapping[str, object] | Collection[str]) -> None:
        self.unlisted += [key for key in there if key not in listed]


def _describe(item: FileAudit) -> str:
    if item.state is FileState.UNREADABLE:
        return f"cannot be read: {item.error}"
    return MISSING if item.state is FileState.MISSING else "is not what was committed"
