"""A finished Moshi data set of two batches, built and audited as the commands do it."""

import json
import shutil
from pathlib import Path

from voice_assets_tests.damage import DamageCase, WorkRootCommands
from voice_core.audit import audit_work_root
from voice_core.moshi import build
from voice_core.settings import Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions

NAME = "talks"


class FinishedMoshiDataset:
    def __init__(self, folder: Path) -> None:
        self.scripts_dir, self.work_dir = folder / "scripts", folder / "work"
        self.scripts_dir.mkdir(parents=True)
        lines: list[dict[str, str]] = [
            {"id": f"d{i}", "user_text": "Again? " * i + f"Question {i}?", "assistant_text": f"Answer {i}."}
            for i in range(3)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.scripts_dir / "talks.jsonl").write_text(text, "utf-8")
        self.settings = Settings(
            work_url=str(self.work_dir),
            speech={"engine": "noise"},
            moshi={"name": NAME, "aligner": "approximate", "batch_dialogues": 2, "eval_min_rows": 1, "eval_min_sec": 1},
            workers=1,
        )
        self.build()

    @property
    def work(self) -> Store:
        return Store(self.work_dir.as_uri(), create=True)

    def build(self, *, verify: bool = False, replace_source: bool = False) -> None:
        report = build.build(
            Store(self.scripts_dir.as_uri()), self.work, self.settings, SynthesisOptions("serial"),
            replace_source=replace_source, verify=verify,
        )  # fmt: skip
        assert not report.failures, report.failures

    def commands(self) -> WorkRootCommands:
        return WorkRootCommands(
            status=lambda: None, build=self.build, audit=lambda: audit_work_root(self.work, self.settings).wrong
        )


def allowed_outcome(case: DamageCase) -> tuple[bool, tuple[str, ...]]:
    """As for the voice dataset: what a data set is made of is not guessed, and an unused level stays as it is."""
    if case.key.endswith("source.json"):
        return True, ()
    return False, ("moshi_voices/",) if case.key.startswith("moshi_voices/") else ()


class MoshiSnapshot:
    def __init__(self, moshi_dataset: FinishedMoshiDataset) -> None:
        self._work = moshi_dataset.work_dir
        self._copy = self._work.with_name("work before")
        shutil.copytree(self._work, self._copy)

    def restore(self) -> None:
        shutil.rmtree(self._work)
        shutil.copytree(self._copy, self._work)
