"""Damaged files of a Moshi data set: made again by the next build, or named; found by the audit."""

import shlex
from collections.abc import Iterator

import pytest

from voice_assets_tests.core.moshi.damaged_talks import Talks, TalksSnapshot, allowed
from voice_assets_tests.damage import COPIED, Case, faults
from voice_core.audit import audit
from voice_core.moshi.batches import list_scripts
from voice_core.moshi.shard_manifest import SCHEMA_VERSION, ShardManifest
from voice_core.storage.state_files import DamagedStateError, NewerStateError

WORST = [
    Case("dialogues/talks/batch-0001.jsonl", "truncated"),
    Case("dialogues/talks/batch-0001.jsonl", "emptied"),
    Case("dialogues/talks/batch-0002.jsonl", "deleted"),
    Case("dialogues/talks/batch-0001.jsonl", COPIED),
    Case("moshi/talks/batch-0001/_manifest.parquet", "truncated"),
    Case("moshi/talks/batch-0002/_manifest.parquet", "deleted"),
    Case("moshi/talks/batch-0001/d0.wav", "truncated"),
    Case("moshi/talks/talks.train.jsonl", "truncated"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Talks, TalksSnapshot]:
    talks = Talks(tmp_path_factory.mktemp("talks"))
    return talks, TalksSnapshot(talks)


@pytest.fixture
def talks(finished: tuple[Talks, TalksSnapshot]) -> Iterator[Talks]:
    made, snapshot = finished
    yield made
    snapshot.restore()


@pytest.mark.parametrize("case", WORST, ids=lambda case: f"{case.key} {case.how}")
def test_a_damaged_file_is_found_and_made_again(talks: Talks, case: Case) -> None:
    may_fail, may_change = allowed(case)
    assert faults(case, talks.work_dir, talks.commands(), may_fail=may_fail, may_change=may_change) == []


def test_what_a_data_set_is_made_of_is_not_guessed(talks: Talks) -> None:
    path = talks.work_dir / "dialogues" / "talks" / "source.json"
    before = path.read_bytes()
    path.write_bytes(b"[]")
    with pytest.raises(DamagedStateError, match=r"dialogues/talks/source.json .*--replace-input"):
        talks.build()
    talks.build(replaces=True)
    assert path.read_bytes() == before


def test_other_files_beside_the_batches_are_passed_over(talks: Talks) -> None:
    for name in (".DS_Store", "batch-0001.jsonl.bak", "notes.jsonl"):
        (talks.work_dir / "dialogues" / "talks" / name).write_bytes(b"?")
    assert [item.number for item in list_scripts(talks.work, "talks")] == [1, 2]
    talks.build()
    assert len(audit(talks.work, talks.settings).unlisted) == 3


def test_a_manifest_of_a_newer_version_is_not_overwritten(talks: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    path = talks.work_dir / "moshi" / "talks" / "batch-0001" / "_manifest.parquet"
    manifest = ShardManifest.from_bytes(path.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr("voice_core.moshi.shard_manifest.SCHEMA_VERSION", SCHEMA_VERSION + 1)
        path.write_bytes(manifest.to_bytes())
    data = path.read_bytes()
    assert "newer version" in audit(talks.work, talks.settings).wrong["moshi/talks/batch-0001/_manifest.parquet"]
    with pytest.raises((NewerStateError, AssertionError), match=r"newer version"):
        talks.build()
    assert path.read_bytes() == data


def test_the_printed_command_names_the_input(talks: Talks) -> None:
    wav = talks.work_dir / "moshi" / "talks" / "batch-0001" / "d0.wav"
    wav.write_bytes(wav.read_bytes()[:-1] + b"?")
    report = audit(talks.work, talks.settings)
    assert report.wrong == {"moshi/talks/batch-0001/d0.wav": "is not what was committed"}
    (remedy,) = map(shlex.split, report.remedies)
    assert remedy[0] == f"VOICE_MOSHI__SCRIPTS_URL={talks.scripts_dir.as_uri()}"
    assert remedy[1:] == ["voice", "moshi", "build", "--dataset-name", "talks", "--verify"]
    talks.build(verify=True)
    assert audit(talks.work, talks.settings).wrong == {}
