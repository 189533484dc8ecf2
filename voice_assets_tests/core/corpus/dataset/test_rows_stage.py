import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_core.corpus.checks import files_intact, rows_match, seconds_add_up, splits_do_not_leak
from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.dataset.dataset_record import read_dataset_record
from voice_core.corpus.dataset.splits import Splits
from voice_core.corpus.manifest import Manifest, read_complete_manifest
from voice_core.corpus.names import CODED
from voice_core.corpus.segment.segment_files import load_segment
from voice_core.layout import DatasetLayout, PartitionKey

NEWS = PartitionKey("news", 1)


@pytest.fixture
def coded(corpus: Corpus) -> Corpus:
    """Three recordings, segmented and coded; "c" is the test split."""
    for name in "abc":
        corpus.add_recording(name)
    corpus.segment()
    corpus.encode()
    return corpus


PLAN = Splits(frozenset({("news", "c")}), frozenset())


def built(corpus: Corpus, plan: Splits = PLAN) -> Manifest:
    return rows_stage.build_dataset(corpus.work, NEWS, plan, corpus.settings).manifest


def table(corpus: Corpus, config: str, split: str = "train", partition: PartitionKey = NEWS) -> pa.Table:
    return pq.read_table(io.BytesIO(corpus.work.get(DatasetLayout("voice").rows_key(config, partition, split))))


def coded_manifest(corpus: Corpus) -> Manifest:
    return read_complete_manifest(corpus.work, CODED, NEWS)


def test_the_full_config_has_a_row_for_each_kept_segment_with_all_that_is_known_of_it(coded: Corpus) -> None:
    lines = coded.add_recording("a")
    manifest = built(coded)
    rows = table(coded, "full").to_pylist() + table(coded, "full", "test").to_pylist()
    assert [row["__key__"] for row in rows] == [f"news/{name}_seg_{i}" for name in "abc" for i in range(3)]
    source = {entry.index: entry for entry in coded_manifest(coded).kept() if entry.audio_id == "a"}
    for row, said in zip(rows[:3], lines, strict=True):
        entry = source[rows.index(row)]
        segment = load_segment(coded.work.get(entry.key), "")
        pcm, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
        assert rate == 24_000
        np.testing.assert_array_equal(pcm, segment.audio)
        assert row["codes"] == segment.codes.tolist()
        assert (row["codec"], row["codec_revision"]) == ("small", "1")
        assert (row["text"], row["speaker_id"], row["audio_id"], row["channel"]) == (said["text"], "s1", "a", "news")
        assert row["duration_sec"] == pytest.approx(len(pcm) / rate, abs=0.001)
        assert row["end_sec"] - row["start_sec"] == pytest.approx(row["duration_sec"], abs=0.001)
        assert row["start_sec"] == pytest.approx(said["start"], abs=0.16)
        assert row["raw_key"] == "news/a.wav"
        assert row["segment_sha256"] == entry.sha256
        assert row["snr_db"] == entry.snr_db
    assert manifest.complete
    for outcome in (
        seconds_add_up(manifest),
        rows_match(coded.work, manifest),
        splits_do_not_leak([manifest], coded.settings),
    ):
        assert outcome.passed, outcome
    assert files_intact(coded.work, rows_stage.list_parquet_files(manifest)).passed


def test_the_neutts_config_has_exactly_three_columns_and_the_same_rows(coded: Corpus) -> None:
    built(coded)
    neutts, full = table(coded, "neutts"), table(coded, "full")
    assert neutts.column_names == ["__key__", "text", "codes"]
    assert neutts.to_pylist() == full.select(["__key__", "text", "codes"]).to_pylist()


def test_pairs_are_two_segments_of_one_person_in_one_split_with_different_texts(coded: Corpus) -> None:
    report = pairs.build_pairs(coded.work, built(coded), coded.settings)
    for split, ids in (("train", "ab"), ("test", "c")):
        full = {row["__key__"]: row for row in table(coded, "full", split).to_pylist()}
        rows = table(coded, "pairs", split).to_pylist()
        assert [row["target_key"] for row in rows] == list(full)
        for row in rows:
            reference, target = full[row["reference_key"]], full[row["target_key"]]
            assert reference["__key__"] != target["__key__"]
            assert reference["text"] != target["text"]
            assert reference["audio_id"] == target["audio_id"]  # a speaker_id means one person in its recording
            assert reference["audio_id"] in ids
            for side, of in (("reference", reference), ("target", target)):
                assert row[f"{side}_text"] == of["text"]
                assert row[f"{side}_codes"] == of["codes"]
                assert row[f"{side}_duration_sec"] == of["duration_sec"]
    assert report.pairs == 9
    assert report.skipped == {}


def test_a_person_who_speaks_once_or_has_no_name_gets_no_pair_and_is_counted(corpus: Corpus) -> None:
    corpus.add_recording("a", 2.0)
    corpus.add_recording("b", 6.0, speaker_id="")
    corpus.segment()
    corpus.encode()
    report = pairs.build_pairs(corpus.work, built(corpus, Splits(frozenset(), frozenset())), corpus.settings)
    assert report.pairs == 0
    assert report.skipped == {"no_speaker": 3, "only_segment_of_speaker": 1}
    assert not corpus.path("datasets/voice/pairs/news/batch-0001.train.parquet").exists()


@pytest.mark.parametrize(("scope", "speakers"), [("recording", 2), ("channel", 1), ("corpus", 1)])
def test_the_speakers_of_pairs_are_people_as_the_speaker_scope_defines_them(
    two_recordings: Corpus, scope: str, speakers: int
) -> None:
    two_recordings.set(split={"speaker_scope": scope})
    two_recordings.segment()
    two_recordings.encode()
    report = pairs.build_pairs(
        two_recordings.work, built(two_recordings, Splits(frozenset(), frozenset())), two_recordings.settings
    )
    assert (report.pairs, report.speakers) == (6, speakers)


def test_a_text_of_test_that_is_spoken_in_train_too_is_left_out_with_that_reason(corpus: Corpus) -> None:
    for number in range(8):
        lines = make_lines(4.0, f"r{number}")
        lines[0]["text"] = ["Good evening, everyone.", "good evening  everyone"][number % 2]
        corpus.add_recording(f"r{number}", 4.0, lines)
    corpus.set(split={"test_fraction": 0.3})
    corpus.segment()
    corpus.encode()
    plan = corpus.assign_splits()
    assert 0 < len(plan.test) < 8
    manifest = built(corpus, plan)
    left_out = [entry for entry in manifest.entries if entry.reason == "text_in_train"]
    assert {entry.audio_id for entry in left_out} == {name for _, name in plan.test}
    assert {(entry.index, entry.stage, entry.kept) for entry in left_out} == {(0, "dataset", False)}
    texts = table(corpus, "full", "test")["text"].to_pylist()
    assert texts
    assert not [text for text in texts if "vening" in text]
    assert splits_do_not_leak([manifest], corpus.settings).passed
    assert seconds_add_up(manifest).passed


def test_without_a_codec_rows_come_from_the_segments_and_name_no_codes(corpus: Corpus) -> None:
    corpus.add_recording("a")
    corpus.add_recording("b")
    corpus.set(codec="none")
    corpus.build(card=False)
    manifest = rows_stage.require_dataset_manifest(corpus.work, NEWS, corpus.settings)
    split = manifest.kept()[0].split
    assert not {"codes", "codec", "codec_revision"} & set(table(corpus, "full", split).column_names)
    assert not [name for name in table(corpus, "pairs", split).column_names if "cod" in name]
    assert not list(corpus.work_dir.rglob("neutts/**/*.parquet"))
    assert rows_match(corpus.work, manifest).passed


def test_switching_the_codec_off_removes_the_rows_that_had_codes(coded: Corpus) -> None:
    built(coded)
    assert list(coded.work_dir.rglob("neutts/**/*.parquet"))
    coded.set(codec="none")
    manifest = built(coded)
    assert not list(coded.work_dir.rglob("neutts/**/*.parquet"))
    assert rows_match(coded.work, manifest).passed


def test_a_damaged_file_is_a_row_with_a_reason_and_tried_again(coded: Corpus) -> None:
    path = coded.path("coded/news/batch-0001/a_seg_1.npz")
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes(9))
    manifest = built(coded)
    (bad,) = [entry for entry in manifest.entries if entry.stage == "dataset"]
    assert (bad.index, bad.reason) == (1, "segment_damaged")
    assert not rows_stage.is_current(coded_manifest(coded), manifest, PLAN, coded.settings)
    assert rows_match(coded.work, manifest).passed
    path.write_bytes(data)
    repaired = built(coded)
    assert len(repaired.kept()) == 9
    assert rows_stage.is_current(coded_manifest(coded), repaired, PLAN, coded.settings)


def test_a_partition_is_stale_after_its_own_changes_and_not_after_those_of_others(coded: Corpus) -> None:
    manifest = built(coded)
    source = coded_manifest(coded)
    elsewhere = Splits(PLAN.test | {("other", "x"), ("news", "not-here")}, frozenset({"0" * 16}))
    assert rows_stage.is_current(source, manifest, elsewhere, coded.settings)
    moved = Splits(frozenset({("news", "b")}), frozenset())
    assert not rows_stage.is_current(source, manifest, moved, coded.settings)
    renamed = coded.settings.model_copy(update={"channel_mapping": {"news": "The News"}})
    assert not rows_stage.is_current(source, manifest, PLAN, renamed)
    assert not rows_stage.is_current(source, dataclasses.replace(manifest, complete=False), PLAN, coded.settings)


def test_building_twice_gives_the_same_bytes(coded: Corpus) -> None:
    first = built(coded).data_version
    files = coded.files("datasets")
    assert built(coded).data_version == first
    assert coded.files("datasets") == files


def test_a_partition_that_lost_everything_leaves_no_rows_behind(coded: Corpus) -> None:
    pairs.build_pairs(coded.work, built(coded), coded.settings)
    coded.set(rules={"min_duration_sec": 9.0})
    coded.segment()
    coded.encode()
    manifest = built(coded)
    pairs.build_pairs(coded.work, manifest, coded.settings)
    assert rows_stage.list_parquet_files(manifest) == []
    assert not list((coded.work_dir / "datasets").rglob("*.train.parquet"))
    assert rows_match(coded.work, manifest).passed


def test_arabic_text_reaches_the_rows_byte_for_byte(corpus: Corpus) -> None:
    text = "قَالَ: «نَعَم»؟ \u200f– ١٩٩٨\u0640"
    lines = make_lines(2.0, "a")
    lines[0]["text"] = text
    corpus.add_recording("a", 2.0, lines)
    corpus.segment()
    corpus.encode()
    built(corpus, Splits(frozenset(), frozenset()))
    assert table(corpus, "full")["text"].to_pylist() == [text]
    assert table(corpus, "neutts")["text"].to_pylist() == [text]


def loaded(folder: Path, config: str, cache: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), config, cache_dir=str(cache))


def test_hugging_face_datasets_loads_every_config_by_the_card(corpus: Corpus, tmp_path: Path) -> None:
    for number in range(3):
        corpus.add_recording(f"r{number}")
        corpus.add_recording(f"نشرة {number}", channel="Atheer, 50% أثير [x]")
    corpus.set(split={"test_fraction": 0.3}, channel_mapping={"news": "The News"})
    corpus.build()
    folder = corpus.work_dir / "datasets" / "voice"
    for config in ("full", "neutts", "pairs"):
        found = loaded(folder, config, tmp_path / "cache")
        assert set(found) == {"train", "test"}
        assert sum(found.num_rows.values()) == 18, config
        if config == "neutts":
            assert found["train"].column_names == ["__key__", "text", "codes"]
        if config == "full":
            import datasets

            assert isinstance(found["train"].features["audio"], datasets.Audio)
            assert found["train"].features["audio"].sampling_rate == 24_000
            plain = found["train"].cast_column("audio", datasets.Audio(decode=False))
            pcm, rate = soundfile.read(io.BytesIO(plain[0]["audio"]["bytes"]))
            assert rate == 24_000
            assert len(pcm) / rate == pytest.approx(plain[0]["duration_sec"], abs=0.001)
            assert set(plain["channel"]) <= {"The News", "Atheer, 50% أثير [x]"}


def test_without_a_codec_the_card_lists_the_existing_configs(corpus: Corpus, tmp_path: Path) -> None:
    for number in range(3):
        corpus.add_recording(f"r{number}", 4.0)
    corpus.set(codec="none")
    corpus.build()
    folder = corpus.work_dir / "datasets" / "voice"
    assert sum(loaded(folder, "full", tmp_path / "cache").num_rows.values()) == 6
    with pytest.raises(ValueError, match="neutts"):
        loaded(folder, "neutts", tmp_path / "cache")


def test_the_commit_record_names_every_file_with_its_hash(corpus: Corpus) -> None:
    corpus.add_recording("a")
    corpus.add_recording("b")
    corpus.build()
    commit = json.loads(corpus.work.get("datasets/voice/dataset.json"))
    assert commit == read_dataset_record(corpus.work, corpus.settings)
    assert files_intact(corpus.work, [(item["key"], item["sha256"]) for item in commit["files"]]).passed
    written = {str(path.relative_to(corpus.work_dir)) for path in corpus.work_dir.glob("datasets/voice/*/*/*.parquet")}
    manifests = {key for key in written if "/manifests/" in key}
    assert {item["key"] for item in commit["files"]} == written - manifests


def test_rows_without_codes_yet_say_what_to_build_first(corpus: Corpus) -> None:
    corpus.add_recording("a")
    corpus.segment()
    with pytest.raises(LookupError, match="coded"):
        built(corpus)
    with pytest.raises(LookupError, match="voice_dataset"):
        rows_stage.require_dataset_manifest(corpus.work, NEWS, corpus.settings)
