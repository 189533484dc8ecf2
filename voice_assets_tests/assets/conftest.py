import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from voice_assets.build import DatasetBuildReport, build
from voice_assets_tests.files import files_below
from voice_core.demo.sample_data import DEMO_CHANNEL_MAPPING, SampleData, generate_sample_data
from voice_core.settings import Settings

DAGSTER_YAML = Path(__file__).parents[2] / "dagster_home" / "dagster.yaml"


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


def _open_corpus(root: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltCorpus:
    home = root / "dagster_home"
    home.mkdir(parents=True)
    shutil.copy(DAGSTER_YAML, home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("VOICE_RAW_URL", str(root / "raw"))
    monkeypatch.setenv("VOICE_WORK_URL", str(root / "work"))
    monkeypatch.setenv("VOICE_CHANNEL_MAPPING", json.dumps(DEMO_CHANNEL_MAPPING))
    return BuiltCorpus(root, monkeypatch, dg.DagsterInstance.from_config(str(home)))


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> SampleData:
    """The demo world with short healthy recordings, never written to."""
    return generate_sample_data(tmp_path_factory.mktemp("world"), seconds_scale=0.1)


@pytest.fixture(scope="session")
def built(small_demo: SampleData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small world and its finished work root and Dagster home, never written to."""
    root = tmp_path_factory.mktemp("built")
    shutil.copytree(small_demo.raw, root / "raw")
    with pytest.MonkeyPatch.context() as monkeypatch:
        built_corpus = _open_corpus(root, monkeypatch)
        report = built_corpus.build()
        assert not report.failures
        built_corpus.instance.dispose()
    return root


@pytest.fixture
def built_corpus(
    built: Path, small_demo: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BuiltCorpus]:
    """A copy of the finished small world, to do things to."""
    root = tmp_path / "corpus"
    made = _open_corpus(root, monkeypatch)
    shutil.copytree(built / "raw", root / "raw", copy_function=shutil.copy2)
    shutil.copytree(built / "work", root / "work", copy_function=shutil.copy2)
    made.demo = small_demo
    made.build()  # a copied file has another identity, and the content that it had
    yield made
    made.instance.dispose()
