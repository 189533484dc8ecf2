"""What a soak test found: one row of the table that `make soak` prints and stores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SoakResult:
    """`finished` counts the results that were compared, `wrong` those that were wrong."""

    what: str
    rounds: int
    finished: int
    wrong: int
    wall_sec: float
    note: str = ""  # a figure worth keeping, such as a peak of memory
