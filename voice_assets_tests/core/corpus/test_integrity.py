"""The audit names every file that is missing, damaged or listed nowhere, and the command that it prints repairs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.damaged_corpus import Snapshot, build_stale, finished_world
from voice_assets_tests.core.corpus.small_corpus import World
from voice_core.audit import audit
from voice_core.corpus.dataset import card_stage, pairs, rows_stage, splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.segment import segment_stage

FIRST, SECOND = "news/batch-0001", "news/batch-0002"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Snapshot]:
    """With a second dataset, without codes."""
    world = finished_world(tmp_path_factory.mktemp("finished"))
    usual = world.settings
    world.set(dataset="plain", codec="none")
    _write(world)
    world.settings = usual
    return world, Snapshot(world)


def _write(world: World) -> None:
    plan = splits.build_splits(world.work, world.sources(), world.settings)
    for partition in list_partitions(world.work):
        report = rows_stage.build_dataset(world.work, partition, plan, world.settings, supply=world.supply)
        pairs.build_pairs(world.work, report.manifest, world.settings, supply=world.supply)
    card_stage.build_card(world.work, list_partitions(world.work), world.settings)


@pytest.fixture
def built(finished: tuple[World, Snapshot]) -> Iterator[World]:
    world, snapshot = finished
    yield world
    snapshot.restore()


def flip(path: Path) -> None:
    """Change a byte in the middle: the size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_every_file_of_a_finished_work_root_is_accounted_for(built: World) -> None:
    report = audit(built.work, built.settings)
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
def test_a_changed_byte_is_found_and_the_printed_command_repairs_it(built: World, key: str) -> None:
    files = built.files()
    if key.endswith("splits.json"):
        text = built.path(key).read_text()
        built.path(key).write_text(text.replace('"test_fraction": 0.2', '"test_fraction": 0.3'))
    else:
        flip(built.path(key))
    report = audit(built.work, built.settings)
    assert report.wrong == {key: "is not what was committed"}
    assert all(remedy.startswith("voice build --verify") for remedy in report.remedies)
    verify(built)
    assert audit(built.work, built.settings).wrong == {}
    assert built.files("datasets") == {key: value for key, value in files.items() if key.startswith("datasets")}


def verify(world: World) -> None:
    """What `voice build --verify` does."""
    build_stale(world)
    for partition in list_partitions(world.work):
        segment_stage.build_segments(world.raw, world.work, partition, world.settings, verify=True)
        encode_stage.build_codes(world.work, partition, world.codec, world.settings, verify=True, supply=world.supply)
        plan = splits.build_splits(world.work, world.sources(), world.settings)
        report = rows_stage.build_dataset(world.work, partition, plan, world.settings, verify=True, supply=world.supply)
        pairs.build_pairs(world.work, report.manifest, world.settings, verify=True, supply=world.supply)
    card_stage.build_card(world.work, list_partitions(world.work), world.settings, verify=True)


def test_manifests_that_are_gone_or_unreadable_are_wrong(built: World) -> None:
    built.path(f"segments/{SECOND}/_manifest.parquet").unlink()
    built.path(f"coded/{FIRST}/_manifest.parquet").write_bytes(b"?")
    built.path(f"datasets/voice/manifests/{FIRST}.parquet").unlink()
    built.path(f"datasets/voice/manifests/{SECOND}.pairs.json").unlink()
    wrong = audit(built.work, built.settings).wrong
    assert sorted(wrong) == [
        f"coded/{FIRST}/_manifest.parquet",
        f"datasets/voice/manifests/{FIRST}.parquet",
        f"datasets/voice/manifests/{SECOND}.pairs.json",
        f"segments/{SECOND}/_manifest.parquet",
    ]
    assert wrong[f"segments/{SECOND}/_manifest.parquet"].startswith("is missing, while")


def test_every_dataset_of_the_work_root_is_looked_at(built: World) -> None:
    built.path("datasets/plain/README.md").unlink()
    flip(built.path(f"datasets/plain/data/{SECOND}.train.parquet"))
    report = audit(built.work, built.settings)
    assert report.wrong == {
        "datasets/plain/README.md": "is missing",
        f"datasets/plain/data/{SECOND}.train.parquet": "is not what was committed",
    }
    assert "VOICE_DATASET=plain voice build --verify" in report.remedies


def test_files_that_no_record_lists_are_named_and_are_no_fault(built: World) -> None:
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
    report = audit(built.work, built.settings)
    assert report.wrong == {}
    assert report.unlisted == sorted(strays)


def test_a_batch_file_that_is_gone_is_wrong(built: World) -> None:
    built.path(f"batches/{FIRST}.json").unlink()
    assert audit(built.work, built.settings).wrong == {
        f"batches/{FIRST}.json": "is missing, while segments of its batch are there"
    }


def test_an_interrupted_build_is_unfinished_and_no_fault(world: World) -> None:
    world.record("a")
    world.build(card=False)
    report = audit(world.work, world.settings)
    assert (report.wrong, report.unlisted) == ({}, [])
    assert report.unfinished == ["datasets/voice/dataset.json"]
