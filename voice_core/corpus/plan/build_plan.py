"""What a build would do, as numbers: by partition and stage, and in all."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voice_core.corpus.ingest.recordings import Stray
from voice_core.corpus.plan.estimates import ZERO, Quantity, sum_quantities
from voice_core.layout import PartitionKey


@dataclass(frozen=True, slots=True)
class StageWork:
    """What one stage does: `items` of its kind, the seconds of audio that it works on, and bytes.

    `stored` is by how much the stage's files grow, or shrink. Checks that read what was written count as read; files
    of a few kilobytes (manifests, batches, the card) do not count.
    """

    items: Quantity = ZERO
    audio_sec: Quantity = ZERO
    raw_read: Quantity = ZERO
    work_read: Quantity = ZERO
    work_written: Quantity = ZERO
    stored: Quantity = ZERO

    @property
    def hours(self) -> Quantity:
        return self.audio_sec.scaled(1 / 3600)

    def __add__(self, other: "StageWork") -> "StageWork":
        return StageWork(
            self.items + other.items,
            self.audio_sec + other.audio_sec,
            self.raw_read + other.raw_read,
            self.work_read + other.work_read,
            self.work_written + other.work_written,
            self.stored + other.stored,
        )


NO_WORK: Final = StageWork()


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """What a build would do with one batch."""

    partition: PartitionKey
    recordings: int
    new: int  # of them, those that no build has looked at yet
    decode: StageWork = NO_WORK  # items are recordings; bytes include the segment files that are cut
    cut: Quantity = ZERO  # segments
    encode: StageWork = NO_WORK  # items are segments
    rows: StageWork = NO_WORK  # items are rows
    pairs: StageWork = NO_WORK  # items are pairs
    restored: StageWork = NO_WORK  # freed files made again because they are needed; items are files
    restored_decode: StageWork = NO_WORK  # of these, recordings decoded once more
    restored_encode: StageWork = NO_WORK  # and segments encoded once more
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
        return sum_work(self.stages.values())


@dataclass(frozen=True, slots=True)
class BuildPlan:
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
    def cut(self) -> Quantity:
        return sum_quantities(item.cut for item in self.partitions)

    @property
    def rows_written(self) -> int:
        """Partitions whose rows are written."""
        return sum(item.rows_written for item in self.partitions)

    @property
    def stages(self) -> dict[str, StageWork]:
        names = PartitionPlan(PartitionKey("", 1), 0, 0).stages
        return {name: sum_work(item.stages[name] for item in self.partitions) for name in names}

    @property
    def work(self) -> StageWork:
        return sum_work(self.stages.values())

    @property
    def decoded_sec(self) -> Quantity:
        """Audio that is decoded, freed segments' included."""
        return sum_quantities(item.decode.audio_sec + item.restored_decode.audio_sec for item in self.partitions)

    @property
    def encoded_sec(self) -> Quantity:
        return sum_quantities(item.encode.audio_sec + item.restored_encode.audio_sec for item in self.partitions)


def sum_work(works: Iterable[StageWork]) -> StageWork:
    return sum(works, NO_WORK)
