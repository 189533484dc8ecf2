"""What a build would do, as numbers: by partition and stage, and in total. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voice_core.corpus.ingest.recordings import Stray
from voice_core.corpus.plan.estimates import ZERO, FieldwiseSum, Quantity, sum_quantities
from voice_core.layout import PartitionKey


@dataclass(frozen=True, slots=True)
class StageWork(FieldwiseSum):
    """Work of one stage: the number of items, the seconds of audio that are processed, and bytes.

    `stored` is the growth of the stage's files, negative if they shrink. Reading for checks counts as read; files of a
    few kilobytes (manifests, batches, the card) do not count.
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


NO_WORK: Final = StageWork()


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """What a build would do with one partition."""

    partition: PartitionKey
    recordings: int
    new: int  # recordings that no build has read yet
    decode: StageWork = NO_WORK  # items are recordings; bytes include the segment files
    cut: Quantity = ZERO  # segments
    encode: StageWork = NO_WORK  # items are segments
    rows: StageWork = NO_WORK  # items are rows
    pairs: StageWork = NO_WORK  # items are pairs
    restored: StageWork = NO_WORK  # evicted files that are needed and rebuilt; items are files
    restored_decode: StageWork = NO_WORK  # recordings decoded again for that
    restored_encode: StageWork = NO_WORK  # segments encoded again for that
    rows_written: bool = False
    pairs_written: bool = False

    @property
    def stages(self) -> dict[str, StageWork]:
        """Work by stage, under the name that is shown; together they hold all bytes."""
        return {
            "decode and cut": self.decode,
            "encode": self.encode,
            "rows": self.rows,
            "pairs": self.pairs,
            "freed files rebuilt": self.restored,
        }

    @property
    def empty(self) -> bool:
        """Whether a build would not change the partition."""
        return self == PartitionPlan(self.partition, self.recordings, 0)

    @property
    def work(self) -> StageWork:
        """Sum of all stages; only its bytes are meaningful."""
        return sum_work(self.stages.values())


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """`partitions` are those that a build would change; `basis` says what estimates are based on."""

    partitions: tuple[PartitionPlan, ...]
    batches: int  # all partitions, including new ones
    recordings: int
    splits: bool  # whether they are assigned again
    card: bool  # whether it is written again
    basis: tuple[str, ...] = ()
    strays: tuple[Stray, ...] = ()  # objects of the raw bucket that are not used

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
        """Number of partitions whose rows are written."""
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
        """Audio that is decoded, including that of evicted segments."""
        return sum_quantities(item.decode.audio_sec + item.restored_decode.audio_sec for item in self.partitions)

    @property
    def encoded_sec(self) -> Quantity:
        return sum_quantities(item.encode.audio_sec + item.restored_encode.audio_sec for item in self.partitions)


def sum_work(works: Iterable[StageWork]) -> StageWork:
    return sum(works, NO_WORK)
