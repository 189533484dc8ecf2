"""What making freed files again would take: `restoring` does it, this foresees it. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from voice_core.corpus.ingest.batches import Recording
from voice_core.corpus.plan.estimates import ZERO, Figure
from voice_core.corpus.plan.work import IDLE, StageWork
from voice_core.stages.manifest import Entry

RowName = tuple[str, int]  # (audio_id, index)


@dataclass(frozen=True, slots=True)
class Sources:
    """What freed files of a partition can be made again from, besides its recordings.

    `coded` are keys of coded files that lie there, `rows` what stands in Parquet files that do.
    """

    coded: Collection[str]
    rows: Collection[RowName]
    recordings: Mapping[str, Recording]  # by audio_id


@dataclass(frozen=True, slots=True)
class Restoration:
    """Files made again, and the recordings decoded and segments encoded for that."""

    files: StageWork = IDLE
    decode: StageWork = IDLE
    encode: StageWork = IDLE

    def __add__(self, other: "Restoration") -> "Restoration":
        return Restoration(self.files + other.files, self.decode + other.decode, self.encode + other.encode)


def segments_again(wanted: Iterable[Entry], sources: Sources, sample_rate_hz: int) -> Restoration:
    """Segment files, from their coded files, from the dataset's rows, or else from their recordings."""
    result = Restoration()
    last: dict[str, int] = defaultdict(int)  # the sample that the last of a recording's cuts ends at
    for entry in wanted:
        coded = "coded" + entry.key.removeprefix("segments")
        size = Figure(entry.size_bytes)
        if coded in sources.coded or (entry.audio_id, entry.index) in sources.rows:
            result += Restoration(_written(size, read=Figure(entry.size_bytes, exact=False)))
            continue
        result += Restoration(_written(size))
        last[entry.audio_id] = max(last[entry.audio_id], entry.cut_stop or 0)
    for audio_id, stop in last.items():
        recording = sources.recordings.get(audio_id)
        size = Figure(recording.audio.size if recording and recording.audio else 0)
        result += Restoration(StageWork(raw_read=size), StageWork(Figure(1), Figure(stop / sample_rate_hz)))
    return result


def coded_again(
    wanted: Iterable[Entry], segments: Mapping[RowName, Entry], freed: Collection[str], sources: Sources, rate: int
) -> Restoration:
    """Coded files, from the dataset's rows, or else from their segments, of which `freed` are made again first."""
    result, away = Restoration(), []
    for entry in wanted:
        size = Figure(entry.size_bytes)
        if (entry.audio_id, entry.index) in sources.rows:
            result += Restoration(_written(size, read=Figure(entry.size_bytes, exact=False)))
            continue
        segment = segments[entry.audio_id, entry.index]
        result += Restoration(
            _written(size, read=Figure(segment.size_bytes)),
            encode=StageWork(Figure(1), Figure(segment.duration_sec or 0.0)),
        )
        if segment.key in freed:
            away.append(segment)
    return result + segments_again(away, sources, rate)


def _written(size: Figure, *, read: Figure | None = None) -> StageWork:
    return StageWork(items=Figure(1), work_read=read or ZERO, work_written=size, stored=size)
