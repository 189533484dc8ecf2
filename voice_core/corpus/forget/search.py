"""Find everything that a work root contains of a recording, independent of the settings.

File names are searched in the whole listing, content in the files that list rows. `tombstones/` is excluded: a
tombstone records that the recording was forgotten. Audio and codes are not compared; a segment file is found by name.
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
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome
from voice_core.corpus.names import PAIRS
from voice_core.error_text import describe_exception
from voice_core.layout import BATCHES, TOMBSTONES, PartitionKey, find_partition, slug
from voice_core.stages.integrity import AUDIT_REPORT_KEY, read_audit_report
from voice_core.storage.store import Store, StoreError

SEGMENT_STAGES = ("segments", "coded")
ROW_KEY_COLUMNS = {PAIRS: ("reference_key", "target_key")}
"""The columns that name rows; `__key__` in the other configs."""


@dataclass(frozen=True, slots=True, order=True)
class RecordingName:
    """A recording by its channel and id; matches names of its files and rows."""

    channel: str
    audio_id: str

    def __str__(self) -> str:
        return f"{self.channel}/{self.audio_id}"

    @property
    def slug(self) -> str:
        """The channel as it appears in keys."""
        return slug(self.channel)

    def owns_file(self, key: str) -> bool:
        """Whether a file is one of its segments, with or without codes, complete or partially written.

        Another channel may have a recording of the same id: a file in a batch belongs to the channel of the batch.
        """
        place = find_partition(key)
        if place is not None and place.channel != self.slug:
            return False
        name = key.rsplit("/", 1)[-1]
        return re.match(rf"\.?{re.escape(slug(self.audio_id))}_seg_\d+\.npz", name) is not None

    def owns_row(self, row_key: str) -> bool:
        return re.fullmatch(rf"{re.escape(f'{self.slug}/{slug(self.audio_id)}')}_seg_\d+", row_key) is not None

    def is_in(self, manifest: Manifest) -> bool:
        items: Iterator[Entry | RecordingOutcome] = iter((*manifest.recordings, *manifest.entries))
        return any(item.audio_id == self.audio_id for item in items)


@dataclass(slots=True)
class SearchResult:
    """`found` describes what a key contains of the recording, `unreadable` why a file could not be searched."""

    found: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)  # objects by kind

    @property
    def partitions(self) -> set[PartitionKey]:
        """Partitions in which something was found."""
        return {partition for key in self.found if (partition := find_partition(key)) is not None}

    @property
    def datasets(self) -> set[str]:
        return {parts[1] for key in self.found if (parts := key.removeprefix("freed/").split("/"))[0] == "datasets"}


def find_references(work: Store, name: RecordingName) -> SearchResult:
    """Search every object that may contain the recording. Raises `StoreError` if the work root cannot be listed.

    File names are matched in the whole work root, content in the files that this program writes for the channel.
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
            return kind, describe_exception(error)

    for key, what in zip(readers, work.map_keys(look, readers), strict=True):
        result.checked[readers[key][0]] += 1
        if isinstance(what, tuple):
            result.unreadable[key] = what[1]
        elif what:
            result.found[key] = what
    return result


_Reader = Callable[[str], str]


def _readers(work: Store, name: RecordingName, keys: Iterable[str]) -> Iterator[tuple[str, tuple[str, _Reader]]]:
    """The kind of each object whose content is searched, and the function that searches it."""
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
    """The recordings of the batch of a key; empty if it has no batch file. Raises ValueError for other keys."""
    partition = find_partition(key)
    if partition is None:
        raise ValueError("not the name of a batch file: delete the file, or move it out of the work root")
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
    """The keys of the rows of a Parquet file; of both sides in pairs."""
    columns = ROW_KEY_COLUMNS.get(key.split("/")[-3], ("__key__",))  # by the folder, also for files of other names
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
