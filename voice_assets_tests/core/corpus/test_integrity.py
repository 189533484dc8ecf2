"""The audit reports every missing, damaged and unlisted file, and the command that it prints repairs them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.damaged_corpus import WorkRootSnapshot, build_stale, create_finished_corpus
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.audit import audit_work_root
from voice_core.corpus.dataset import card_stage, pairs, rows_stage, splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.segment import segment_stage

FIRST, SECOND = "news/batch-0001", "news/batch-0002"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, WorkRootSnapshot]:
    """A corpus with a second dataset that has no codes."""
    corpus = create_finished_corpus(tmp_path_factory.mktemp("finished"))
    usual = corpus.settings
    corpus.set(dataset="plain", codec="none")
    _write(corpus)
    corpus.settings = usual
    return corpus, WorkRootSnapshot(corpus)


def _write(corpus: Corpus) -> None:
    plan = splits.build_splits(corpus.work, corpus.sources(), corpus.settings)
    for partition in list_partitions(corpus.work):
        report = rows_stage.build_dataset(
            corpus.work, partition, plan, corpus.settings, rebuild_sources=corpus.rebuild_sources
        )
        pairs.build_pairs(corpus.work, report.manifest, corpus.settings, rebuild_sources=corpus.rebuild_sources)
    card_stage.build_card(corpus.work, list_partitions(corpus.work), corpus.settings)


@pytest.fixture
def built(finished: tuple[Corpus, WorkRootSnapshot]) -> Iterator[Corpus]:
    corpus, snapshot = finished
    yield corpus
    snapshot.restore()


def flip(path: Path) -> None:
    """Change a byte in the middle of a file; its size stays the same."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_every_file_of_a_finished_work_root_is_accounted_for(built: Corpus) -> None:
    report = audit_work_root(built.work, built.settings)
    assert report.wrong == {}
    assert report.unlisted == []
    assert report.unfinished == []
    assert report.files == sum(not key.startswith("audits/") for key in built.files())


@pytest.mark.parametrize(
    "key",
    [
        "datasets/voice/README.md",
        "datasets/voice/figures/funnel.png",
        "datasets/voice/splits.json",
        f"datasets/voice/pairs/{FIRST}.train.parquet",
        f"coded/{FIRST}/a_seg_0.npz",
    ],
)
def test_a_changed_byte_is_found_and_the_printed_command_repairs_it(built: Corpus, key: str) -> None:
    files = built.files()
    if key.endswith("splits.json"):
        text = built.path(key).read_text()
        built.path(key).write_text(text.replace('"test_fraction": 0.2', '"test_fraction": 0.3'))
    else:
        flip(built.path(key))
    report = audit_work_root(built.work, built.settings)
    assert report.wrong == {key: "is not what was committed"}
    assert all(remedy.startswith("voice build --verify") for remedy in report.remedies)
    verify(built)
    assert audit_work_root(built.work, built.settings).wrong == {}
    assert built.files("datasets") == {key: value for key, value in files.items() if key.startswith("datasets")}


def verify(corpus: Corpus) -> None:
    """As `voice build --verify`."""
    build_stale(corpus)
    for partition in list_partitions(corpus.work):
        segment_stage.build_segments(corpus.raw, corpus.work, partition, corpus.settings, verify=True)
        encode_stage.build_codes(
            corpus.work, partition, corpus.codec, corpus.settings, verify=True, rebuild_sources=corpus.rebuild_sources
        )
        plan = splits.build_splits(corpus.work, corpus.sources(), corpus.settings)
        report = rows_stage.build_dataset(
            corpus.work, partition, plan, corpus.settings, verify=True, rebuild_sources=corpus.rebuild_sources
        )
        pairs.build_pairs(
            corpus.work, report.manifest, corpus.settings, verify=True, rebuild_sources=corpus.rebuild_sources
        )
    card_stage.build_card(corpus.work, list_partitions(corpus.work), corpus.settings, verify=True)


def test_missing_and_unreadable_manifests_are_reported(built: Corpus) -> None:
    built.path(f"segments/{SECOND}/_manifest.parquet").unlink()
    built.path(f"coded/{FIRST}/_manifest.parquet").write_bytes(b"?")
    built.path(f"datasets/voice/manifests/{FIRST}.parquet").unlink()
    built.path(f"datasets/voice/manifests/{SECOND}.pairs.json").unlink()
    wrong = audit_work_root(built.work, built.settings).wrong
    assert sorted(wrong) == [
        f"coded/{FIRST}/_manifest.parquet",
        f"datasets/voice/manifests/{FIRST}.parquet",
        f"datasets/voice/manifests/{SECOND}.pairs.json",
        f"segments/{SECOND}/_manifest.parquet",
    ]
    assert wrong[f"segments/{SECOND}/_manifest.parquet"].startswith("is missing, but")


def test_every_dataset_of_the_work_root_is_audited(built: Corpus) -> None:
    built.path("datasets/plain/README.md").unlink()
    flip(built.path(f"datasets/plain/data/{SECOND}.train.parquet"))
    report = audit_work_root(built.work, built.settings)
    assert report.wrong == {
        "datasets/plain/README.md": "is missing",
        f"datasets/plain/data/{SECOND}.train.parquet": "is not what was committed",
    }
    assert "VOICE_DATASET=plain voice build --verify" in report.remedies


def test_files_that_no_record_lists_are_named_and_are_no_fault(built: Corpus) -> None:
    strays = [
        f"segments/{SECOND}/other_seg_0.npz",
        "segments/news/batch-0009/x_seg_0.npz",
        "datasets/voice/data/news/batch-0009.train.parquet",
        "batches/.DS_Store",
        "tombstones/news/b.json.bak",
        f"freed/segments/{FIRST} (copy).json",
        "notes.txt",
    ]
    for key in strays:
        built.path(key).parent.mkdir(parents=True, exist_ok=True)
        built.path(key).write_bytes(b"{}")
    report = audit_work_root(built.work, built.settings)
    assert report.wrong == {}
    assert report.unlisted == sorted(strays)


def test_a_missing_batch_file_is_reported(built: Corpus) -> None:
    built.path(f"batches/{FIRST}.json").unlink()
    assert audit_work_root(built.work, built.settings).wrong == {
        f"batches/{FIRST}.json": "is missing, but segments of its batch exist"
    }


def test_a_commit_record_that_names_no_partition_is_wrong_and_stops_nothing(built: Corpus) -> None:
    path = built.path("datasets/voice/dataset.json")
    record = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**record, "partitions": ["news/batch-0000"]}), "utf-8")
    assert list(audit_work_root(built.work, built.settings).wrong) == ["datasets/voice/dataset.json"]


def test_an_interrupted_build_is_unfinished_and_no_fault(corpus: Corpus) -> None:
    corpus.add_recording("a")
    corpus.build(card=False)
    report = audit_work_root(corpus.work, corpus.settings)
    assert (report.wrong, report.unlisted) == ({}, [])
    assert report.unfinished == ["datasets/voice/dataset.json"]
