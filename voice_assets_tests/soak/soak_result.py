"""What a soak test found: one row of the table that `make soak` prints and stores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SoakResult:
    """`compared` counts the results that were compared with the expected ones, `wrong` those that differ."""

    what: str
    rounds: int
    compared: int
    wrong: int
    wall_sec: float
    note: str = ""  # a figure worth keeping, such as a peak of memory

    def to_row(self) -> dict[str, object]:
        """As it is stored."""
        row: dict[str, object] = {
            "what": self.what,
            "rounds": self.rounds,
            "compared": self.compared,
            "wrong": self.wrong,
            "wall_sec": round(self.wall_sec, 1),
        }
        return row | ({"note": self.note} if self.note else {})
