"""From what evicted files are rebuilt, and the work that this takes. Pure; `voice_core.corpus.segment.rebuild` does it.

A segment file is rebuilt from its coded file, else from the dataset's row, else from the recording; a coded file from
the dataset's row, else by encoding its segment file again.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from voice_core.corpus.dataset.rows_stage import list_parquet_files
from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.manifest import Entry, Manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.plan.build_plan import NO_WORK, StageWork
from voice_core.corpus.plan.estimates import FieldwiseSum, Quantity

RowId = tuple[str, int]  # (audio_id, index)


@dataclass(frozen=True, slots=True)
class AvailableFiles:
    """What evicted files of a partition can be rebuilt from, besides its recordings."""

    coded: Collection[str]  # keys of coded files that are present
    rows: Collection[RowId]  # rows in Parquet files that are present
    evicted_segments: Collection[str]  # keys of segment files that are not present


@dataclass(frozen=True, slots=True)
class RebuildSteps(FieldwiseSum):
    """How evicted files are rebuilt, each by its row in the manifest."""

    copied: tuple[Entry, ...] = ()  # from a coded file or a row of the dataset
    encoded: tuple[tuple[Entry, Entry], ...] = ()  # (coded file, segment file that is encoded again)
    cut: tuple[Entry, ...] = ()  # segment files that are cut from their recordings again


@dataclass(frozen=True, slots=True)
class RebuildWork(FieldwiseSum):
    """Files that are rebuilt, and the recordings decoded and segments encoded for that."""

    files: StageWork = NO_WORK
    decode: StageWork = NO_WORK
    encode: StageWork = NO_WORK


NO_REBUILD: Final = RebuildWork()


def list_present_rows(rows: Manifest | None, evicted: Collection[str]) -> set[RowId]:
    """The rows of a partition, if none of its Parquet files is among the keys `evicted`."""
    if rows is None or any(key in evicted for key, _ in list_parquet_files(rows)):
        return set()
    return {(entry.audio_id, entry.index) for entry in rows.kept()}


def plan_segment_rebuild(wanted: Iterable[Entry], available: AvailableFiles) -> RebuildSteps:
    """`wanted` are rows of evicted segment files."""
    copied: list[Entry] = []
    cut: list[Entry] = []
    for entry in wanted:
        coded = CODED + entry.key.removeprefix(SEGMENTS)
        present = coded in available.coded or (entry.audio_id, entry.index) in available.rows
        (copied if present else cut).append(entry)
    return RebuildSteps(tuple(copied), cut=tuple(cut))


def plan_coded_rebuild(
    wanted: Iterable[Entry], segments: Mapping[RowId, Entry], available: AvailableFiles
) -> RebuildSteps:
    """`wanted` are rows of evicted coded files, `segments` those of the files that they were encoded from."""
    copied: list[Entry] = []
    encoded: list[tuple[Entry, Entry]] = []
    for entry in wanted:
        row_id = (entry.audio_id, entry.index)
        if row_id in available.rows:
            copied.append(entry)
        else:
            encoded.append((entry, segments[row_id]))
    missing = [segment for _, segment in encoded if segment.key in available.evicted_segments]
    return RebuildSteps(tuple(copied), tuple(encoded)) + plan_segment_rebuild(missing, available)


def measure_rebuild(steps: RebuildSteps, recordings: Mapping[str, Recording], sample_rate_hz: int) -> RebuildWork:
    """The work of the steps; `recordings` by audio_id. A recording is decoded up to the last segment that is cut."""
    last_samples: dict[str, int] = {}
    for entry in steps.cut:
        last_samples[entry.audio_id] = max(last_samples.get(entry.audio_id, 0), entry.cut_stop or 0)
    audio = [item.audio for audio_id in last_samples if (item := recordings.get(audio_id)) is not None]
    rebuilt = [*steps.copied, *(entry for entry, _ in steps.encoded), *steps.cut]
    segments = [segment for _, segment in steps.encoded]
    size = _sum(entry.size_bytes for entry in rebuilt)
    read = Quantity(_sum(entry.size_bytes for entry in steps.copied).value, exact=False)
    read += _sum(segment.size_bytes for segment in segments)
    return RebuildWork(
        StageWork(
            items=_sum(1 for _ in rebuilt),
            raw_read=_sum(item.size for item in audio if item is not None),
            work_read=read,
            work_written=size,
            stored=size,
        ),
        StageWork(_sum(1 for _ in last_samples), _sum(stop / sample_rate_hz for stop in last_samples.values())),
        StageWork(_sum(1 for _ in segments), _sum(segment.duration_sec or 0.0 for segment in segments)),
    )


def _sum(values: Iterable[float]) -> Quantity:
    return Quantity(math.fsum(values))
