import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from voice_assets.build import DatasetBuildReport, build
from voice_assets_tests.dagster_home import copy_built_corpus, corpus_variables, create_dagster_home
from voice_assets_tests.files import files_below
from voice_assets_tests.shared import make_once
from voice_core.demo.sample_data import SampleData, generate_sample_data
from voice_core.settings import Settings


@dataclass
class BuiltCorpus:
    """A corpus of its own, with its own Dagster instance, built as `voice build` builds it."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    instance: dg.DagsterInstance
    demo: SampleData | None = None

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def settings(self) -> Settings:
        return Settings.load()

    def build(self, **variables: str) -> DatasetBuildReport:
        with self.monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return build(Settings.load(), self.instance)

    def edit_transcript(self, key: str, change: Callable[[list[dict[str, object]]], None]) -> None:
        """Change the lines of a native transcript."""
        path = self.raw / key
        document = json.loads(path.read_text("utf-8"))
        change(document["segments"])
        path.write_text(json.dumps(document, ensure_ascii=False), "utf-8")

    def files(self, *but: str) -> dict[str, bytes]:
        """Every file below the work root by its key."""
        files = files_below(self.work)
        return {key: data for key, data in files.items() if not key.startswith(but)} if but else files


def open_corpus(root: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltCorpus:
    """The corpus of a folder, to which this process's variables lead from now on."""
    home = root / "dagster_home"
    if not home.exists():
        create_dagster_home(home)
    for name, value in corpus_variables(root / "raw", root / "work", home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VOICE_WORKERS", "1")  # starting a pool of processes takes longer than what they would do
    return BuiltCorpus(root, monkeypatch, dg.DagsterInstance.from_config(str(home)))


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> SampleData:
    """The demo's recordings, the healthy ones short. Never written to; shared by all workers."""
    return make_once(tmp_path_factory, "demo", lambda folder: generate_sample_data(folder, seconds_scale=0.1))


@pytest.fixture(scope="session")
def built(small_demo: SampleData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small demo with its finished work root and Dagster home. Never written to; shared by all workers."""

    def make(root: Path) -> Path:
        shutil.copytree(small_demo.raw, root / "raw")
        with pytest.MonkeyPatch.context() as monkeypatch:
            built_corpus = open_corpus(root, monkeypatch)
            monkeypatch.delenv("VOICE_WORKERS")
            report = built_corpus.build()
            assert not report.failures
            built_corpus.instance.dispose()
        return root

    return make_once(tmp_path_factory, "built", make)


@pytest.fixture
def built_corpus(
    built: Path, small_demo: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BuiltCorpus]:
    """A copy of the finished small demo, to change."""
    copy_built_corpus(built, tmp_path / "corpus")
    made = open_corpus(tmp_path / "corpus", monkeypatch)
    made.demo = small_demo
    yield made
    made.instance.dispose()


@pytest.fixture
def fresh_corpus(small_demo: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BuiltCorpus]:
    """The small demo's recordings, of which nothing was discovered yet."""
    root = tmp_path / "fresh"
    made = open_corpus(root, monkeypatch)
    shutil.copytree(small_demo.raw, root / "raw")
    made.demo = small_demo
    yield made
    made.instance.dispose()


def correct_a_line(corpus: BuiltCorpus) -> None:
    """Change the text of one line of a transcript."""
    corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Put right by hand."))
