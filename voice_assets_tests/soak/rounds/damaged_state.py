"""Every file of a finished work root, damaged: a build ends in the same bytes, or in an error that names the file."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from voice_assets_tests.core.corpus import damaged_corpus
from voice_assets_tests.core.moshi import damaged_moshi
from voice_assets_tests.damage import COPIED, DAMAGE_KINDS, DamageCase, WorkRootCommands, find_faults
from voice_assets_tests.files import files_below
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "damaged state files"
ROUNDS = 400


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    """Of all files and kinds of damage so many, spread evenly over both pipelines; all of them where that is less."""
    started = time.monotonic()
    (folder / "voice").mkdir(parents=True)
    corpus = damaged_corpus.create_finished_corpus(folder / "voice")
    corpus_snapshot = damaged_corpus.WorkRootSnapshot(corpus)
    moshi_dataset = damaged_moshi.FinishedMoshiDataset(folder / "talks")
    moshi_snapshot = damaged_moshi.MoshiSnapshot(moshi_dataset)
    damage_rounds = [
        *(_Round(case, corpus.work_dir, damaged_corpus.corpus_commands(corpus), damaged_corpus.allowed_outcome,
                 corpus_snapshot.restore)
          for case in _cases(corpus.work_dir)),
        *(_Round(case, moshi_dataset.work_dir, moshi_dataset.commands(), damaged_moshi.allowed_outcome,
                 moshi_snapshot.restore)
          for case in _cases(moshi_dataset.work_dir)),
    ]  # fmt: skip
    chosen = damage_rounds[:: max(1, len(damage_rounds) // rounds)] if rounds < len(damage_rounds) else damage_rounds
    wrong = [one.case for one in chosen if not one.holds(progress)]
    return [SoakResult(NAME, len(chosen), len(chosen), len(wrong), time.monotonic() - started)]


def _cases(root: Path) -> Sequence[DamageCase]:
    keys = sorted(key for key in files_below(root) if not key.startswith("audits/"))
    return [DamageCase(key, how) for key in keys for how in (*DAMAGE_KINDS, COPIED)]


class _Round:
    def __init__(
        self,
        case: DamageCase,
        root: Path,
        commands: WorkRootCommands,
        allowed: Callable[[DamageCase], tuple[bool, tuple[str, ...]]],
        restore: Callable[[], None],
    ) -> None:
        self.case = case
        self._root = root
        self._commands = commands
        self._allowed = allowed
        self._restore = restore

    def holds(self, progress: Callable[[str], None]) -> bool:
        may_fail, may_change = self._allowed(self.case)
        found = find_faults(self.case, self._root, self._commands, may_fail=may_fail, may_change=may_change)
        self._restore()
        progress(f"{self.case.key}, {self.case.damage}: {'; '.join(found) or 'as before, or named'}")
        return not found
