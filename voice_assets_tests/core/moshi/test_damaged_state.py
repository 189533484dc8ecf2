"""Damaged files of a Moshi data set: made again by the next build, or named; found by the audit."""

import shlex
from collections.abc import Iterator

import pytest

from voice_assets_tests.core.moshi.damaged_moshi import FinishedMoshiDataset, MoshiSnapshot, allowed_outcome
from voice_assets_tests.damage import COPIED, DamageCase, find_faults
from voice_core.audit import audit_work_root
from voice_core.moshi.batches import list_scripts
from voice_core.moshi.shard_manifest import SCHEMA_VERSION, ShardManifest
from voice_core.storage.state_files import DamagedStateError, NewerStateError

WORST = [
    DamageCase("dialogues/talks/batch-0001.jsonl", "truncated"),
    DamageCase("dialogues/talks/batch-0001.jsonl", "emptied"),
    DamageCase("dialogues/talks/batch-0002.jsonl", "deleted"),
    DamageCase("dialogues/talks/batch-0001.jsonl", COPIED),
    DamageCase("moshi/talks/batch-0001/_manifest.parquet", "truncated"),
    DamageCase("moshi/talks/batch-0002/_manifest.parquet", "deleted"),
    DamageCase("moshi/talks/batch-0001/d0.wav", "truncated"),
    DamageCase("moshi/talks/talks.train.jsonl", "truncated"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[FinishedMoshiDataset, MoshiSnapshot]:
    moshi_dataset = FinishedMoshiDataset(tmp_path_factory.mktemp("talks"))
    return moshi_dataset, MoshiSnapshot(moshi_dataset)


@pytest.fixture
def moshi_dataset(finished: tuple[FinishedMoshiDataset, MoshiSnapshot]) -> Iterator[FinishedMoshiDataset]:
    made, snapshot = finished
    yield made
    snapshot.restore()


@pytest.mark.parametrize("case", WORST, ids=lambda case: f"{case.key} {case.damage}")
def test_a_damaged_file_is_found_and_made_again(moshi_dataset: FinishedMoshiDataset, case: DamageCase) -> None:
    may_fail, may_change = allowed_outcome(case)
    assert (
        find_faults(case, moshi_dataset.work_dir, moshi_dataset.commands(), may_fail=may_fail, may_change=may_change)
        == []
    )


def test_the_source_of_a_data_set_is_not_guessed(moshi_dataset: FinishedMoshiDataset) -> None:
    path = moshi_dataset.work_dir / "dialogues" / "talks" / "source.json"
    before = path.read_bytes()
    path.write_bytes(b"[]")
    with pytest.raises(DamagedStateError, match=r"dialogues/talks/source.json .*--replace-input"):
        moshi_dataset.build()
    moshi_dataset.build(replace_source=True)
    assert path.read_bytes() == before


def test_other_files_in_the_folder_of_the_batches_are_ignored(moshi_dataset: FinishedMoshiDataset) -> None:
    for name in (".DS_Store", "batch-0001.jsonl.bak", "notes.jsonl"):
        (moshi_dataset.work_dir / "dialogues" / "talks" / name).write_bytes(b"?")
    assert [item.number for item in list_scripts(moshi_dataset.work, "talks")] == [1, 2]
    moshi_dataset.build()
    assert len(audit_work_root(moshi_dataset.work, moshi_dataset.settings).unlisted) == 3


def test_a_manifest_of_a_newer_version_is_not_overwritten(
    moshi_dataset: FinishedMoshiDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = moshi_dataset.work_dir / "moshi" / "talks" / "batch-0001" / "_manifest.parquet"
    manifest = ShardManifest.from_bytes(path.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr("voice_core.moshi.shard_manifest.FORMAT.version", SCHEMA_VERSION + 1)
        path.write_bytes(manifest.to_bytes())
    data = path.read_bytes()
    assert (
        "newer version"
        in audit_work_root(moshi_dataset.work, moshi_dataset.settings).wrong["moshi/talks/batch-0001/_manifest.parquet"]
    )
    with pytest.raises((NewerStateError, AssertionError), match=r"newer version"):
        moshi_dataset.build()
    assert path.read_bytes() == data


def test_the_printed_command_names_the_input(moshi_dataset: FinishedMoshiDataset) -> None:
    wav = moshi_dataset.work_dir / "moshi" / "talks" / "batch-0001" / "d0.wav"
    wav.write_bytes(wav.read_bytes()[:-1] + b"?")
    report = audit_work_root(moshi_dataset.work, moshi_dataset.settings)
    assert report.wrong == {"moshi/talks/batch-0001/d0.wav": "is not what was committed"}
    (remedy,) = map(shlex.split, report.remedies)
    assert remedy[0] == f"VOICE_MOSHI__SCRIPTS_URL={moshi_dataset.scripts_dir.as_uri()}"
    assert remedy[1:] == ["voice", "moshi", "build", "--dataset-name", "talks", "--verify"]
    moshi_dataset.build(verify=True)
    assert audit_work_root(moshi_dataset.work, moshi_dataset.settings).wrong == {}
