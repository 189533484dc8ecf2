"""What making freed files again would take: `restoring` does it, this foresees it. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.plan.build_plan import NO_WORK, StageWork
from voice_core.corpus.plan.estimates import ZERO, Quantity
from voice_core.stages.manifest import Entry

RowId = tuple[str, int]  # (audio_id, index)


@dataclass(frozen=True, slots=True)
class AvailableFiles:
    """What freed files of a partition can be made again from, besides its recordings.

    `coded` are keys of coded files that lie there, `rows` what stands in Parquet files that do.
    """

    coded: Collection[str]
    rows: Collection[RowId]
    recordings: Mapping[str, Recording]  # by audio_id


@dataclass(frozen=True, slots=True)
class RebuildWork:
    """Files made again, and the recordings decoded and segments encoded for that."""

    files: StageWork = NO_WORK
    decode: StageWork = NO_WORK
    encode: StageWork = NO_WORK

    def __add__(self, other: "RebuildWork") -> "RebuildWork":
        return RebuildWork(self.files + other.files, self.decode + other.decode, self.encode + other.encode)


def plan_segment_rebuild(wanted: Iterable[Entry], sources: AvailableFiles, sample_rate_hz: int) -> RebuildWork:
    """Segment files, from their coded files, from the dataset's rows, or else from their recordings."""
    result = RebuildWork()
    last: dict[str, int] = defaultdict(int)  # the sample that the last of a recording's cuts ends at
    for entry in wanted:
        coded = "coded" + entry.key.removeprefix("segments")
        size = Quantity(entry.size_bytes)
        if coded in sources.coded or (entry.audio_id, entry.index) in sources.rows:
            result += RebuildWork(_write_work(size, read=Quantity(entry.size_bytes, exact=False)))
            continue
        result += RebuildWork(_write_work(size))
        last[entry.audio_id] = max(last[entry.audio_id], entry.cut_stop or 0)
    for audio_id, stop in last.items():
        recording = sources.recordings.get(audio_id)
        size = Quantity(recording.audio.size if recording and recording.audio else 0)
        result += RebuildWork(StageWork(raw_read=size), StageWork(Quantity(1), Quantity(stop / sample_rate_hz)))
    return result


def plan_coded_rebuild(
    wanted: Iterable[Entry], segments: Mapping[RowId, Entry], freed: Collection[str], sources: AvailableFiles, rate: int
) -> RebuildWork:
    """Coded files, from the dataset's rows, or else from their segments, of which `freed` are made again first."""
    result, evicted_segments = RebuildWork(), []
    for entry in wanted:
        size = Quantity(entry.size_bytes)
        if (entry.audio_id, entry.index) in sources.rows:
            result += RebuildWork(_write_work(size, read=Quantity(entry.size_bytes, exact=False)))
            continue
        segment = segments[entry.audio_id, entry.index]
        result += RebuildWork(
            _write_work(size, read=Quantity(segment.size_bytes)),
            encode=StageWork(Quantity(1), Quantity(segment.duration_sec or 0.0)),
        )
        if segment.key in freed:
            evicted_segments.append(segment)
    return result + plan_segment_rebuild(evicted_segments, sources, rate)


def _write_work(size: Quantity, *, read: Quantity | None = None) -> StageWork:
    return StageWork(items=Quantity(1), work_read=read or ZERO, work_written=size, stored=size)
