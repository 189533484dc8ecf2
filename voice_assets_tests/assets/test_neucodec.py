"""NeuCodec through the asset graph, on the CPU, with a small model of random weights."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from resources.corpus import CorpusResource
from resources.neucodec import NeuCodecResource
from voice_assets_tests.assets.conftest import BuiltCorpus, open_corpus
from voice_assets_tests.core.codecs import original_neucodec
from voice_assets_tests.core.codecs.original_neucodec import SMALL
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.audio.pcm import to_float
from voice_core.codecs.base import CodecUnavailableError
from voice_core.codecs.neucodec import NeuCodec
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.manifest import read_complete_manifest
from voice_core.corpus.segment.segment_files import load_segment
from voice_core.settings import ConfigurationError, NeuCodecSettings
from voice_core.storage.store import Store


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("neucodec")
    original_neucodec.to_transformers(original_neucodec.build_original(SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture
def two_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BuiltCorpus]:
    """A corpus of two recordings in two batches, cut, encoded by the embedded codec and finished."""
    (tmp_path / "two").mkdir()
    corpus = Corpus(tmp_path / "two")
    corpus.add_recording("a", 8.0)
    corpus.add_recording("b", 8.0, channel="talk")
    made = open_corpus(tmp_path / "two", monkeypatch)
    assert not made.build().failures
    yield made
    made.instance.dispose()


def variables(checkpoint: Path) -> dict[str, str]:
    return {
        "VOICE_CODEC": "neucodec",
        "VOICE_NEUCODEC__CHECKPOINT": str(checkpoint),
        "VOICE_NEUCODEC__DEVICE": "cpu",
        "VOICE_GUARD_SHARE": "0.5",
    }


def test_a_dataset_gets_neucodecs_codes_and_says_so(two_recordings: BuiltCorpus, checkpoint: Path) -> None:
    report = two_recordings.build(**variables(checkpoint))
    assert not report.failures
    assert report.figures.get("recordings_decoded", 0) == 0
    work = Store(two_recordings.work.as_uri())
    codec = NeuCodec(NeuCodecSettings(checkpoint=str(checkpoint), device="cpu"))
    encoded = 0
    for partition in list_partitions(work):
        manifest = read_complete_manifest(work, "coded", partition)
        assert manifest.parameters["codec"] == "neucodec"
        assert manifest.parameters["revision"] == codec.revision
        assert manifest.parameters["stand_in"] is False
        guarded = [entry.agreement for entry in manifest.kept() if entry.agreement is not None]
        assert guarded
        assert set(guarded) == {1.0}
        for entry in manifest.kept()[:3]:
            segment = load_segment(work.get(entry.key), entry.key)
            alone, _ = codec.encode_reference(to_float(segment.audio), manifest.sample_rate_hz)
            np.testing.assert_array_equal(segment.codes, alone)
        encoded += len(manifest.kept())
    assert report.figures["segments_encoded"] >= encoded > 0
    files = two_recordings.files()
    again = two_recordings.build(**variables(checkpoint))
    assert (again.materialised, again.figures.get("segments_encoded", 0)) == (0, 0)
    assert two_recordings.files() == files
    card = files["datasets/voice/README.md"].decode()
    assert "stand-in" not in card
    assert "plain path: 100.0000% of the codes are equal" in card


def test_a_folder_without_weights_ends_the_build_before_it_begins(built_corpus: BuiltCorpus, tmp_path: Path) -> None:
    before = built_corpus.files()
    with pytest.raises(CodecUnavailableError, match="must be a folder in transformers' layout"):
        built_corpus.build(**variables(tmp_path))
    assert built_corpus.files() == before


def test_weights_that_cannot_be_fetched_fail_only_the_step_with_a_remedy(
    built_corpus: BuiltCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a commit that names them, it is known what is to be done, and the weights are only missed by the step."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    before = built_corpus.files("locks/")
    pinned = {"VOICE_NEUCODEC__CHECKPOINT": "nobody/nothing", "VOICE_NEUCODEC__REVISION": "0123456789" * 4}
    report = built_corpus.build(**{**variables(Path("unused")), **pinned})
    assert report.failures
    assert all("VOICE_NEUCODEC__CHECKPOINT" in line for line in report.failures)
    assert (
        built_corpus.files("locks/") == before
    )  # what lies there stays usable until there is something to encode with
    assert built_corpus.build().failures == []
    assert built_corpus.files("locks/") == before


def test_the_resource_overrules_the_settings(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_NEUCODEC__PRECISION", "bf16")
    monkeypatch.setenv("VOICE_NEUCODEC__CHECKPOINT", "somewhere/else")
    resource = NeuCodecResource(checkpoint=str(checkpoint), device="cpu", batch_sec=30.0)
    codec = resource.load()
    assert (codec.precision, codec.batch_sec, codec.settings.checkpoint) == ("bf16", 30.0, str(checkpoint))

    @dg.asset
    def named(corpus: CorpusResource) -> dg.MaterializeResult:
        codec = corpus.load_codec()
        assert codec is not None
        return dg.MaterializeResult(metadata={"codec": json.dumps([codec.name, codec.revision])})

    result = dg.materialize([named], resources={"corpus": CorpusResource(codec="neucodec", neucodec=resource)})
    [event] = result.get_asset_materialization_events()
    assert event.materialization.metadata["codec"].value == json.dumps(["neucodec", codec.revision])


def test_the_resource_accepts_false_and_empty_values(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_NEUCODEC__COMPILE", "true")
    monkeypatch.setenv("VOICE_NEUCODEC__BATCH_SEC", "30")
    monkeypatch.setenv("VOICE_NEUCODEC__POOL", "gpu_t4")
    silent = NeuCodecResource().load().settings
    assert (silent.compile, silent.batch_sec, silent.pool) == (True, 30.0, "gpu_t4")
    given = NeuCodecResource(compile=False, batch_sec=0.0).load().settings
    assert (given.compile, given.batch_sec) == (False, 0.0)


def test_a_resource_that_makes_no_sense_says_what_is_allowed() -> None:
    with pytest.raises(ConfigurationError, match="fp32"):
        NeuCodecResource(precision="fp8").load()
    with pytest.raises(ConfigurationError, match="gpu_t4, gpu_h200"):
        NeuCodecResource(pool="gpu_a100").load()
