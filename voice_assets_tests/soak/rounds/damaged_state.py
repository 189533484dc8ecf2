"""Every file of a finished work root, damaged: a build ends in the same bytes, or in an error that names the file."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from voice_assets_tests.core.corpus import damaged_corpus
from voice_assets_tests.core.moshi import damaged_talks
from voice_assets_tests.damage import CHANGES, COPIED, Case, Commands, faults
from voice_assets_tests.files import files_below
from voice_assets_tests.soak.outcome import Outcome

NAME = "damaged state files"
ROUNDS = 400


def run(folder: Path, rounds: int, tell: Callable[[str], None]) -> list[Outcome]:
    """Of all files and kinds of damage so many, spread evenly over both pipelines; all of them where that is less."""
    started = time.monotonic()
    (folder / "voice").mkdir(parents=True)
    world = damaged_corpus.finished_world(folder / "voice")
    voice = damaged_corpus.Snapshot(world)
    talks = damaged_talks.Talks(folder / "talks")
    spoken = damaged_talks.TalksSnapshot(talks)
    todo = [
        *(_Round(case, world.work_dir, damaged_corpus.commands(world), damaged_corpus.allowed, voice.restore)
          for case in _cases(world.work_dir)),
        *(_Round(case, talks.work_dir, talks.commands(), damaged_talks.allowed, spoken.restore)
          for case in _cases(talks.work_dir)),
    ]  # fmt: skip
    chosen = todo[:: max(1, len(todo) // rounds)] if rounds < len(todo) else todo
    wrong = [one.case for one in chosen if not one.holds(tell)]
    return [Outcome(NAME, len(chosen), len(chosen), len(wrong), time.monotonic() - started)]


def _cases(root: Path) -> Sequence[Case]:
    keys = sorted(key for key in files_below(root) if not key.startswith("audits/"))
    return [Case(key, how) for key in keys for how in (*CHANGES, COPIED)]


class _Round:
    def __init__(
        self,
        case: Case,
        root: Path,
        commands: Commands,
        allowed: Callable[[Case], tuple[bool, tuple[str, ...]]],
        restore: Callable[[], None],
    ) -> None:
        self.case = case
        self._root = root
        self._commands = commands
        self._allowed = allowed
        self._restore = restore

    def holds(self, tell: Callable[[str], None]) -> bool:
        may_fail, may_change = self._allowed(self.case)
        found = faults(self.case, self._root, self._commands, may_fail=may_fail, may_change=may_change)
        self._restore()
        tell(f"{self.case.key}, {self.case.how}: {'; '.join(found) or 'as before, or named'}")
        return not found
