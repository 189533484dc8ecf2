"""What a work root holds of a recording, whatever the settings are: its listing is searched, and what lists rows.

`tombstones/` is left out: a tombstone says that the recording was forgotten. Neither audio nor codes are compared;
a segment file is known by its name.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.ingest.batches import read_batch
from voice_core.corpus.names import PAIRS
from voice_core.layout import BATCHES, TOMBSTONES, PartitionKey, slug
from voice_core.stages.integrity import AUDIT_REPORT_KEY, read_audit_report
from voice_core.stages.manifest import Entry, Manifest, RecordingOutcome
from voice_core.storage.store import Store, StoreError

SEGMENT_STAGES = ("segments", "coded")
ROW_KEY_COLUMNS = {PAIRS: ("reference_key", "target_key")}
"""The columns that name rows; `__key__` in the other configs."""


@dataclass(frozen=True, slots=True, order=True)
class RecordingName:
    """A recording by its channel and id, and what is called after it."""

    channel: str
    audio_id: str

    def __str__(self) -> str:
        return f"{self.channel}/{self.audio_id}"

    @property
    def slug(self) -> str:
        """The channel as it stands in keys."""
        return slug(self.channel)

    def owns_file(self, key: str) -> bool:
        """Whether a file is one of its segments', with or without codes, whole or half written.

        Another channel may have a recording of the same id: a file in a batch belongs to the batch's channel.
        """
        place = partition_of(key)
        if place is not None and place.channel != self.slug:
            return False
        name = key.rsplit("/", 1)[-1]
        return re.match(rf"\.?{re.escape(slug(self.audio_id))}_seg_\d+\.npz", name) is not None

    def owns_row(self, row_key: str) -> bool:
        return re.fullmatch(rf"{re.escape(f'{self.slug}/{slug(self.audio_id)}')}_seg_\d+", row_key) is not None

    def is_in(self, manifest: Manifest) -> bool:
        items: Iterator[Entry | RecordingOutcome] = iter((*manifest.recordings, *manifest.entries))
        return any(item.audio_id == self.audio_id for item in items)


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A Parquet file of a dataset."""

    dataset: str
    config: str
    partition: PartitionKey
    split: str

    @classmethod
    def parse(cls, key: str) -> "DatasetFile | None":
        """
        >>> DatasetFile.parse("datasets/voice/data/news/batch-0001.train.parquet").config
        'full'
        """
        found = re.fullmatch(r"datasets/([^/]+)/(data|neutts|pairs)/([^/]+/batch-\d{4,})\.(train|test)\.parquet", key)
        if found is None:
            return None
        dataset, folder, partition, split = found.groups()
        return cls(dataset, "full" if folder == "data" else folder, PartitionKey.parse(partition), split)


@dataclass(slots=True)
class SearchResult:
    """`found` says by key what is there of the recording, `unreadable` why a file could not be searched."""

    found: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)  # objects by kind

    @property
    def partitions(self) -> set[PartitionKey]:
        """Batches of which something was found."""
        return {partition for key in self.found if (partition := partition_of(key)) is not None}

    @property
    def datasets(self) -> set[str]:
        return {parts[1] for key in self.found if (parts := key.removeprefix("freed/").split("/"))[0] == "datasets"}


def partition_of(key: str) -> PartitionKey | None:
    """
    >>> partition_of("freed/datasets/voice/news/batch-0001.json")
    PartitionKey(channel='news', number=1)
    """
    found = re.search(r"/([^/]+/batch-\d{4,})(?=[/.])", f"/{key}")
    return PartitionKey.parse(found[1]) if found else None


def find_references(work: Store, name: RecordingName) -> SearchResult:
    """Look through every object that may hold the recording. Raises `StoreError` where the work root cannot be listed.

    Names of files are looked at in the whole work root, content in what this program writes for the channel.
    """
    result = SearchResult()
    keys = [item.key for item in work.listing() if not item.key.startswith(TOMBSTONES)]
    result.checked["names"] = len(keys)
    result.found = {key: "its file" for key in keys if name.owns_file(key)}
    readers = dict(_readers(work, name, keys))

    def look(key: str) -> str | tuple[str, str]:
        kind, read = readers[key]
        try:
            return read(key)
        except (StoreError, pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
            return kind, f"{type(error).__name__}: {error}"

    for key, what in zip(readers, work.map_keys(look, readers), strict=True):
        result.checked[readers[key][0]] += 1
        if isinstance(what, tuple):
            result.unreadable[key] = what[1]
        elif what:
            result.found[key] = what
    return result


_Reader = Callable[[str], str]


def _readers(work: Store, name: RecordingName, keys: Iterable[str]) -> Iterator[tuple[str, tuple[str, _Reader]]]:
    """The kind of each object whose content is searched, and how."""
    channel = re.escape(name.slug)
    kinds: tuple[tuple[str, str, Callable[[Store, RecordingName, str], str]], ...] = (
        ("batch files", rf"{BATCHES}{channel}/batch-\d+\.json", _in_batch),
        ("batch files", rf"{BATCHES}{channel}/batch-\d+\.contents\.json", _in_contents),
        ("manifests", rf"({'|'.join(SEGMENT_STAGES)})/{channel}/batch-\d+/_manifest\.parquet", _in_manifest),
        ("manifests", rf"datasets/[^/]+/manifests/{channel}/batch-\d+\.parquet", _in_manifest),
        ("Parquet files", rf"datasets/[^/]+/[^/]+/{channel}/batch-\d+\.\w+\.parquet", _in_rows),
        ("splits", r"datasets/[^/]+/splits\.json", _in_splits),
        ("lists of freed files", rf"freed/.+/{channel}/batch-\d+\.json", _in_freed),
        ("audit reports", re.escape(AUDIT_REPORT_KEY), _in_audit),
    )
    for key in keys:
        for kind, pattern, look in kinds:
            if re.fullmatch(pattern, key):
                yield key, (kind, lambda key, look=look: look(work, name, key))  # type: ignore[misc]
                break


def _in_batch(work: Store, name: RecordingName, key: str) -> str:
    recordings = _recordings(work, key)
    return "the recording" if any(item.audio_id == name.audio_id for item in recordings) else ""


def _recordings(work: Store, key: str) -> Sequence[Recording]:
    """Of the batch that a key belongs to; none where there is no batch file."""
    partition = partition_of(key)
    assert partition is not None
    with suppress(LookupError):
        return read_batch(work, partition).recordings
    return ()


def _in_contents(work: Store, name: RecordingName, key: str) -> str:
    others = {item.key for item in _recordings(work, key) if item.audio_id != name.audio_id}
    mine = [raw_key for raw_key in json.loads(work.get(key)) if name.audio_id in raw_key and raw_key not in others]
    return "the hash of its audio" if mine else ""


def _in_manifest(work: Store, name: RecordingName, key: str) -> str:
    return "its rows" if name.is_in(Manifest.from_bytes(work.get(key))) else ""


def _in_rows(work: Store, name: RecordingName, key: str) -> str:
    count = sum(map(name.owns_row, read_row_keys(work, key)))
    return f"{count} of its rows" if count else ""


def read_row_keys(work: Store, key: str) -> list[str]:
    """What the rows of a Parquet file are called; in pairs both sides."""
    place = DatasetFile.parse(key)
    columns = ROW_KEY_COLUMNS.get(place.config if place else "", ("__key__",))
    with work.open(key) as reader:
        table = pq.ParquetFile(pa.PythonFile(reader)).read(columns=list(columns))
    return [name for column in columns for name in table[column].to_pylist()]


def _in_splits(work: Store, name: RecordingName, key: str) -> str:
    return "its split" if [name.slug, name.audio_id] in json.loads(work.get(key))["test"] else ""


def _in_freed(work: Store, name: RecordingName, key: str) -> str:
    return "names of its files" if any(map(name.owns_file, json.loads(work.get(key))["files"])) else ""


def _in_audit(work: Store, name: RecordingName, key: str) -> str:
    report = read_audit_report(work)
    return "names of its files" if report and any(map(name.owns_file, [*report.wrong, *report.unlisted])) else ""
