"""The links `listen` of the Dagster UI, and the notebooks behind them."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest

from voice_assets.notebook_store import NotebookStore
from voice_assets.run_speech import speak_dialogues
from voice_core.codecs.base import CodecUnavailableError
from voice_core.corpus.manifest import Manifest
from voice_core.demo.dialogues import write_dialogues
from voice_core.report.notebook import compute_notebook_version, read_notebook_version
from voice_core.settings import Settings


def linked(metadata: object) -> tuple[str, Path]:
    """The code location and the file that a link names."""
    assert isinstance(metadata, dg.UrlMetadataValue)
    assert metadata.url
    address = urlsplit(metadata.url)
    assert (address.scheme, address.netloc, address.path) == ("", "", "/notebook")
    query = parse_qs(address.query)
    return query["repoLocName"][0], Path(query["path"][0])


def test_the_link_of_every_coded_batch_opens_audio(built: Path) -> None:
    instance = dg.DagsterInstance.from_config(str(built / "dagster_home"))
    records = instance.fetch_materializations(dg.AssetKey("coded_segments"), limit=10).records
    assert {record.partition_key for record in records} == {"Atheer_-/batch-0001", "harbour-radio/batch-0001"}
    for record in records:
        assert record.asset_materialization is not None
        location, path = linked(record.asset_materialization.metadata["listen"])
        assert location == "voice"
        assert (
            path == Path(instance.storage_directory()) / "listen" / "coded_segments" / f"{record.partition_key}.ipynb"
        )
        notebook = path.read_bytes()
        assert notebook.count(b"data:audio/mpeg;base64,") > 0
        assert len(notebook) < 1_000_000
    instance.dispose()


def test_the_demos_dialogues_are_spoken_once_and_play_in_the_ui(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_MOSHI__SCRIPTS_URL", str(write_dialogues(tmp_path / "dialogues").parent))
    monkeypatch.setenv("VOICE_MOSHI__ALIGNER", "approximate")
    monkeypatch.setenv("VOICE_WORK_URL", str(tmp_path / "work"))
    with dg.instance_for_test() as instance:
        first, second = (speak_dialogues(Settings.load(), instance) for _ in range(2))
        assert (first.failures, second.failures) == ([], [])
        assert (first.utterances, second.utterances) == (18, 0)
        [record] = instance.fetch_materializations(dg.AssetKey("moshi_shards"), limit=1).records
        assert record.asset_materialization is not None
        _, path = linked(record.asset_materialization.metadata["listen"])
        assert path.read_bytes().count(b"data:audio/mpeg;base64,") == 1
        assert instance.fetch_materializations(dg.AssetKey("moshi_dataset"), limit=1).records


def manifest_of(*, complete: bool = True) -> Manifest:
    return Manifest("coded", "ch/batch-0001", complete, 24_000, "", {}, (), ())


def test_a_notebook_is_written_again_for_another_manifest_only(tmp_path: Path) -> None:
    shelf, made = NotebookStore(tmp_path, "here"), []

    def make(manifest: Manifest) -> dg.MetadataValue:
        def notebook() -> bytes:
            made.append(manifest.complete)
            return b'{"metadata": {"voice_listening": "%s"}}' % compute_notebook_version(manifest).encode()

        return shelf.listen_metadata("coded_segments", manifest, notebook)

    for complete in (True, True, False):
        location, path = linked(make(manifest_of(complete=complete)))
        assert location == "here"
        assert read_notebook_version(path.read_bytes()) == compute_notebook_version(manifest_of(complete=complete))
    assert made == [True, False]
    assert [item.name for item in path.parent.iterdir()] == ["batch-0001.ipynb"]


@pytest.mark.parametrize("trouble", [PermissionError("read-only"), CodecUnavailableError("no weights")])
def test_a_notebook_that_cannot_be_made_is_noted_and_the_step_succeeds(tmp_path: Path, trouble: Exception) -> None:
    def fail() -> bytes:
        raise trouble

    value = NotebookStore(tmp_path).listen_metadata("coded_segments", manifest_of(), fail)
    assert value == dg.MetadataValue.text(f"not available: {trouble}")
