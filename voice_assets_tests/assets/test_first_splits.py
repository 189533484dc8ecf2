"""Which recordings are held out is decided over all batches: a batch that fails must not change it for good."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from voice_assets.build import DatasetBuildReport, build
from voice_assets.definitions import build_definitions
from voice_assets.instance import open_instance
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import corpus_variables, create_dagster_home
from voice_assets_tests.files import files_below
from voice_core.settings import Settings


@dataclass
class ThreeBatchCorpus:
    """Three batches, and a Dagster instance of its own."""

    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def build(self, **options: object) -> DatasetBuildReport:
        with open_instance() as instance:
            return build(Settings.load(), instance, **options)  # type: ignore[arg-type]

    def files(self) -> dict[str, bytes]:
        """Without what the store calls the recordings, which differs from file to file."""
        return {key: data for key, data in files_below(self.work).items() if not key.startswith("batches/")}

    def dataset(self) -> dict[str, bytes]:
        return {key: data for key, data in self.files().items() if key.startswith("datasets/")}

    def obstruct(self, channel: str) -> Callable[[], None]:
        """Let the channel's first segment not be written, as a full disk does; returns what ends that."""
        place = self.work / "segments" / channel / "batch-0001" / f"{channel}-0_seg_0.npz"
        place.mkdir(parents=True)
        return place.rmdir


CHANNELS = ("news", "sport", "talk")  # without the first, another recording is held out


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = Corpus(tmp_path_factory.mktemp("corpus"))
    for channel in CHANNELS:
        for number in range(1 if channel == "sport" else 2):
            corpus.add_recording(f"{channel}-{number}", 2.0, channel=channel)
    return corpus.raw_dir


def _make(raw: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ThreeBatchCorpus:
    home = create_dagster_home(folder / "home", with_databases=True)
    shutil.copytree(raw, folder / "raw", copy_function=shutil.copy2)
    for variable, value in {
        **corpus_variables(folder / "raw", folder / "work", home),
        "VOICE_CODEC": "none",
        "VOICE_WORKERS": "1",
    }.items():
        monkeypatch.setenv(variable, value)
    return ThreeBatchCorpus(folder)


@pytest.fixture(scope="module")
def undisturbed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a build in which nothing fails."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        three_batches = _make(raw, tmp_path_factory.mktemp("undisturbed"), monkeypatch)
        assert not three_batches.build().failures
    return three_batches.files()


@pytest.fixture
def three_batches(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ThreeBatchCorpus:
    return _make(raw, tmp_path / "corpus", monkeypatch)


def test_a_batch_that_fails_first_leaves_the_splits_to_the_build_that_repairs_it(
    three_batches: ThreeBatchCorpus, undisturbed: dict[str, bytes]
) -> None:
    clear = three_batches.obstruct("news")
    failures = "\n".join(three_batches.build().failures)
    clear()
    assert not three_batches.build().failures
    assert three_batches.files() == undisturbed
    assert "1 batch is not cut (news/batch-0001)" in failures
    assert "voice build --incomplete" in failures


def test_while_a_new_batch_fails_the_dataset_stays_as_it_was(
    three_batches: ThreeBatchCorpus, undisturbed: dict[str, bytes]
) -> None:
    aside = [(three_batches.folder / "raw" / name).rename(three_batches.folder / name) for name in ("sport", "talk")]
    assert not three_batches.build().failures
    before = three_batches.dataset()
    for folder in aside:
        folder.rename(three_batches.folder / "raw" / folder.name)
    clear = three_batches.obstruct("talk")
    assert len(three_batches.build().failures) == 2
    assert three_batches.dataset() == before
    clear()
    assert not three_batches.build().failures
    assert three_batches.files() == undisturbed


@pytest.mark.parametrize("options", [{"incomplete": True}, {"partitions": ["talk/batch-0001", "sport/batch-0001"]}])
def test_splits_without_a_batch_are_a_decision(three_batches: ThreeBatchCorpus, options: dict[str, object]) -> None:
    three_batches.obstruct("news")
    failures = three_batches.build(**options).failures
    assert all("news/batch-0001, segments" in line for line in failures)
    assert len(failures) == ("incomplete" in options)
    assert {key.split("/")[3] for key in three_batches.dataset() if "/data/" in key} == {"sport", "talk"}
    assert "datasets/voice/README.md" in three_batches.dataset()


def test_the_asset_assigns_no_splits_without_a_batch_unless_it_is_configured_to(
    three_batches: ThreeBatchCorpus,
) -> None:
    three_batches.obstruct("news")
    three_batches.build()
    job = build_definitions(Settings.load()).resolve_job_def("assign_splits")

    def errors(**config: object) -> list[str]:
        ops = {"dataset_splits": {"config": config}}
        with open_instance() as instance:
            result = job.execute_in_process(instance=instance, raise_on_error=False, run_config={"ops": ops})
        return [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]

    assert "1 batch is not cut (news/batch-0001)" in "\n".join(errors())
    assert not errors(incomplete=True)
