"""What a build would do, as numbers: by partition and stage, and in all."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voice_core.corpus.ingest.recordings import Stray
from voice_core.corpus.plan.estimates import ZERO, Figure, total
from voice_core.layout import PartitionKey


@dataclass(frozen=True, slots=True)
class StageWork:
    """What one stage does: `items` of its kind, the seconds of audio that it works on, and bytes.

    `stored` is by how much the stage's files grow, or shrink. Checks that read what was written count as read; files
    of a few kilobytes (manifests, batches, the card) do not count.
    """

    items: Figure = ZERO
    audio_sec: Figure = ZERO
    raw_read: Figure = ZERO
    work_read: Figure = ZERO
    work_written: Figure = ZERO
    stored: Figure = ZERO

    @property
    def hours(self) -> Figure:
        return self.audio_sec.times(1 / 3600)

    def __add__(self, other: "StageWork") -> "StageWork":
        return StageWork(
            self.items + other.items,
            self.audio_sec + other.audio_sec,
            self.raw_read + other.raw_read,
            self.work_read + other.work_read,
            self.work_written + other.work_written,
            self.stored + other.stored,
        )


IDLE: Final = StageWork()


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """What a build would do with one batch."""

    partition: PartitionKey
    recordings: int
    new: int  # of them, those that no build has looked at yet
    decode: StageWork = IDLE  # items are recordings; bytes include the segment files that are cut
    cut: Figure = ZERO  # segments
    encode: StageWork = IDLE  # items are segments
    rows: StageWork = IDLE  # items are rows
    pairs: StageWork = IDLE  # items are pairs
    restored: StageWork = IDLE  # freed files made again because they are needed; items are files
    restored_decode: StageWork = IDLE  # of these, recordings decoded once more
    restored_encode: StageWork = IDLE  # and segments encoded once more
    rows_written: bool = False
    pairs_written: bool = False

    @property
    def stages(self) -> dict[str, StageWork]:
        """By what is done; together they hold all bytes."""
        return {
            "decode and cut": self.decode,
            "encode": self.encode,
            "rows": self.rows,
            "pairs": self.pairs,
            "freed files made again": self.restored,
        }

    @property
    def empty(self) -> bool:
        """Whether a build would leave the batch alone."""
        return self == PartitionPlan(self.partition, self.recordings, 0)

    @property
    def work(self) -> StageWork:
        """All stages, for their bytes."""
        return summed(self.stages.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """`partitions` are those that a build would work on; `basis` says what estimates rest on."""

    partitions: tuple[PartitionPlan, ...]
    batches: int  # all there are, new ones included
    recordings: int
    splits: bool  # whether they are dealt anew
    card: bool
    basis: tuple[str, ...] = ()
    strays: tuple[Stray, ...] = ()  # objects that are not used

    @property
    def empty(self) -> bool:
        return not (self.partitions or self.splits or self.card)

    @property
    def new(self) -> int:
        return sum(item.new for item in self.partitions)

    @property
    def cut(self) -> Figure:
        return total(item.cut for item in self.partitions)

    @property
    def rows_written(self) -> int:
        """Partitions whose rows are written."""
        return sum(item.rows_written for item in self.partitions)

    @property
    def stages(self) -> dict[str, StageWork]:
        names = PartitionPlan(PartitionKey("", 1), 0, 0).stages
        return {name: summed(item.stages[name] for item in self.partitions) for name in names}

    @property
    def work(self) -> StageWork:
        return summed(self.stages.values())

    @property
    def decoded_sec(self) -> Figure:
        """Audio that is decoded, freed segments' included."""
        return total(item.decode.audio_sec + item.restored_decode.audio_sec for item in self.partitions)

    @property
    def encoded_sec(self) -> Figure:
        return total(item.encode.audio_sec + item.restored_encode.audio_sec for item in self.partitions)


def summed(works: Iterable[StageWork]) -> StageWork:
    return sum(works, IDLE)
