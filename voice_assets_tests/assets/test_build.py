"""`voice build`, end to end on the small demo world: real assets, a real Dagster instance, the embedded codec."""

import dataclasses
import io
import json
import os
from pathlib import Path

import dagster as dg
import datasets
import numpy as np
import pytest
import soundfile

from voice_assets.build import DatasetBuildReport, build, compute_status
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_assets_tests.files import files_below
from voice_core.corpus.dataset.summary import summarise
from voice_core.corpus.forget.forget import mark_forgotten
from voice_core.corpus.manifest import Manifest, read_complete_manifest, read_manifest, write_manifest
from voice_core.demo.sample_data import SampleData, repair_recording
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store


def _work(report: DatasetBuildReport) -> dict[str, float]:
    return {name: report.figures.get(name, 0) for name in ("recordings_decoded", "segments_cut", "segments_encoded")}


NOTHING = {"recordings_decoded": 0, "segments_cut": 0, "segments_encoded": 0}


def _manifests(work: Path, stage: str = "segments") -> list[Manifest]:
    store = Store(work.as_uri())
    keys = [PartitionKey("Atheer_-", 1), PartitionKey("harbour-radio", 1)]
    return [read_complete_manifest(store, stage, key) for key in keys]


def test_every_second_of_the_demo_is_accounted_for_at_every_stage(built: Path) -> None:
    for stage in ("segments", "coded"):
        summary = summarise(_manifests(built / "work", stage), Settings())
        assert summary.unaccounted_samples == 0
        assert summary.total.samples == summary.kept.samples + summary.rejected.samples > 0


def test_every_fault_of_the_demo_ends_as_the_reject_that_its_table_names(built: Path, small_demo: SampleData) -> None:
    rejects = {(e.audio_id, e.index): e.reason for m in _manifests(built / "work") for e in m.entries if not e.kept}
    for name, trouble in small_demo.faults.items():
        audio_id = trouble.key.split("/", 1)[1]
        reasons = [reason for (recording, _), reason in rejects.items() if recording == audio_id]
        if trouble.line is not None:
            assert rejects[audio_id, trouble.line] == trouble.reason, name
        elif trouble.reason != "orphan":  # a transcript without its recording is no row, but a stray
            assert trouble.reason in reasons, name


def test_a_second_build_computes_nothing(built_corpus: BuiltCorpus) -> None:
    before = built_corpus.files()
    report = built_corpus.build()
    assert report.materialised == 0
    assert report.status.finished
    assert built_corpus.files() == before


def test_a_copied_corpus_is_known_by_its_content(built_corpus: BuiltCorpus, built: Path) -> None:
    """Recordings of another identity and time on disk; nothing but the store's own names changed."""
    for path in built_corpus.raw.rglob("*.*"):
        os.utime(path, (1, 1))
    report = built_corpus.build()
    assert report.materialised > 0
    assert _work(report)["segments_encoded"] == 0
    original = files_below(built / "work")
    stores_own = {key for key in original if key.startswith("batches/")}
    assert {k: v for k, v in original.items() if k not in stores_own} == built_corpus.files("batches/")
    assert built_corpus.files() != original


def test_a_corrected_line_takes_one_cut_and_one_encoding(built_corpus: BuiltCorpus) -> None:
    before = built_corpus.files()
    built_corpus.edit_transcript(
        "Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="A line that was put right by hand.")
    )
    report = built_corpus.build()
    assert _work(report) == {"recordings_decoded": 1, "segments_cut": 1, "segments_encoded": 1}
    after = built_corpus.files()
    changed = {key for key in after if before.get(key) != after[key] and key.endswith(".npz")}
    name = "Atheer_-/batch-0001/atheer_0003_seg_1.npz"
    assert changed == {f"segments/{name}", f"coded/{name}"}
    rows = datasets.load_dataset(
        str(built_corpus.work / "datasets" / "voice"), "neutts", cache_dir=str(built_corpus.root / "hf")
    )
    texts = [row["text"] for split in rows.values() for row in split]
    assert "A line that was put right by hand." in texts


def test_a_changed_threshold_filters_without_decoding(built_corpus: BuiltCorpus) -> None:
    kept = sum(len(manifest.kept()) for manifest in _manifests(built_corpus.work))
    report = built_corpus.build(VOICE_RULES__MIN_DURATION_SEC="2.5")
    assert _work(report) == NOTHING
    assert sum(len(manifest.kept()) for manifest in _manifests(built_corpus.work)) < kept
    assert any(
        entry.reason == "too_short" for manifest in _manifests(built_corpus.work, "coded") for entry in manifest.entries
    )


def test_a_new_recording_is_the_only_one_decoded(built_corpus: BuiltCorpus) -> None:
    for suffix in (".mp3", ".json"):
        source = built_corpus.raw / "Atheer_-" / f"atheer_0001{suffix}"
        (built_corpus.raw / "Atheer_-" / f"atheer_0900{suffix}").write_bytes(source.read_bytes())
    report = built_corpus.build()
    assert report.figures["recordings_decoded"] == 1
    assert report.figures["segments_cut"] == report.figures["segments_encoded"] > 0
    assert any(item.audio_id == "atheer_0900" for item in _manifests(built_corpus.work)[0].recordings)


def test_a_forgotten_recording_leaves_no_trace_but_its_tombstone(built_corpus: BuiltCorpus) -> None:
    store = Store(built_corpus.work.as_uri(), create=True)
    mark_forgotten(store, "snow-006", when="2030-01-01T00:00:00+00:00", why="a speaker's wish")
    report = built_corpus.build()
    assert _work(report) == NOTHING
    assert report.status.finished
    traces = [key for key, data in built_corpus.files().items() if b"snow-006" in data or "snow-006" in key]
    assert traces == ["tombstones/harbour-radio/snow-006.json"]
    assert built_corpus.build().materialised == 0


def test_a_repaired_file_is_the_only_one_built_again(built_corpus: BuiltCorpus) -> None:
    assert built_corpus.demo is not None
    broken = [
        item
        for manifest in _manifests(built_corpus.work)
        for item in manifest.recordings
        if item.status == "unreadable"
    ]
    assert "moov atom not found" in broken[0].message
    own = SampleData(
        **{
            **{f: getattr(built_corpus.demo, f) for f in built_corpus.demo.__dataclass_fields__},
            "raw": built_corpus.raw,
        }
    )
    repair_recording(own, "truncated")
    report = built_corpus.build()
    assert report.figures["recordings_decoded"] == 1
    repaired = {item.audio_id: item for item in _manifests(built_corpus.work)[0].recordings}["atheer_0101"]
    assert repaired.status == "ok"
    assert repaired.sample_count > 0


def test_without_a_codec_the_dataset_has_audio_and_no_codes_and_the_codes_stay(built_corpus: BuiltCorpus) -> None:
    coded = {key for key in built_corpus.files() if key.startswith("coded/")}
    report = built_corpus.build(VOICE_CODEC="none")
    assert not report.failures
    assert _work(report) == NOTHING
    assert {key for key in built_corpus.files() if key.startswith("coded/")} == coded
    folder = str(built_corpus.work / "datasets" / "voice")
    assert datasets.get_dataset_config_names(folder) == ["full", "pairs"]
    rows = datasets.load_dataset(folder, "full", split="train", cache_dir=str(built_corpus.root / "hf"))
    assert "codes" not in rows.column_names
    assert built_corpus.build().figures.get("segments_encoded", 0) == 0


@pytest.mark.parametrize("config", ["full", "neutts", "pairs"])
def test_trainers_can_read_every_config(built: Path, tmp_path: Path, config: str) -> None:
    loaded = datasets.load_dataset(str(built / "work" / "datasets" / "voice"), config, cache_dir=str(tmp_path))
    rows = loaded["train"]
    assert len(rows) > 0
    if config == "neutts":
        assert sorted(rows.column_names) == ["__key__", "codes", "text"]
        assert all(0 <= code < 65_536 for row in rows for code in row["codes"])
    if config == "full":
        assert isinstance(rows.features["audio"], datasets.Audio)
        first = rows.cast_column("audio", datasets.Audio(decode=False))[0]
        audio, rate = soundfile.read(io.BytesIO(first["audio"]["bytes"]), dtype="int16")
        assert rate == 24_000
        assert len(audio) == round(first["duration_sec"] * rate) or abs(len(audio) - first["duration_sec"] * rate) < 24
        segment = np.load(
            built / "work" / "segments" / "Atheer_-" / "batch-0001" / f"{first['__key__'].split('/')[1]}.npz"
        )
        assert np.array_equal(segment["audio"], audio)
        assert first["channel"] == "Atheer - أثير"


def test_the_build_leaves_materialisations_with_data_versions_and_checks(built_corpus: BuiltCorpus) -> None:
    built_corpus.edit_transcript(
        "harbour-radio/clocks-004.json", lambda lines: lines[0].update(text="Something else was said here.")
    )
    built_corpus.build()
    record = built_corpus.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("segments"), asset_partitions=["harbour-radio/batch-0001"]), limit=1
    ).records[0]
    materialisation = record.asset_materialization
    assert materialisation is not None
    manifest = _manifests(built_corpus.work)[1]
    assert (materialisation.tags or {})["dagster/data_version"] == manifest.data_version
    assert materialisation.metadata["recordings_decoded"].value == 1
    assert str(materialisation.metadata["durations"].value).startswith("![")


@pytest.mark.parametrize("stage", ["segments", "coded"])
def test_a_verifying_build_repairs_truncated_and_corrupt_files(built_corpus: BuiltCorpus, stage: str) -> None:
    folder = built_corpus.work / stage / "Atheer_-" / "batch-0001"
    short, corrupt = folder / "atheer_0003_seg_0.npz", folder / "atheer_0003_seg_1.npz"
    good = short.read_bytes(), corrupt.read_bytes()
    short.write_bytes(good[0][:-1])
    corrupt.write_bytes(good[1][:400] + bytes([good[1][400] ^ 1]) + good[1][401:])
    report = build(built_corpus.settings(), built_corpus.instance, verify=True)
    assert not report.failures
    assert (short.read_bytes(), corrupt.read_bytes()) == good


def test_the_status_names_what_a_broken_off_run_left(built_corpus: BuiltCorpus) -> None:
    store = Store(built_corpus.work.as_uri(), create=True)
    manifest = read_manifest(store, "coded", PartitionKey("harbour-radio", 1))
    assert manifest is not None
    write_manifest(store, dataclasses.replace(manifest, complete=False))
    states = compute_status(built_corpus.settings())[1].partitions[1].states
    assert states["coded_segments"] == "partial"
    assert states["voice_dataset"] == "stale"
    assert built_corpus.build().status.finished


def test_the_card_names_stand_ins_and_adds_up(built: Path) -> None:
    card = (built / "work" / "datasets" / "voice" / "README.md").read_text("utf-8")
    assert "stands in for a real one" in card
    assert "أثير" in card
    commit = json.loads((built / "work" / "datasets" / "voice" / "dataset.json").read_text("utf-8"))
    assert {item["config"] for item in commit["files"]} == {"full", "neutts", "pairs"}
