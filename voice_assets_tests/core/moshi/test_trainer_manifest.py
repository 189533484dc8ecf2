"""The trainer's lists name every committed dialogue, and hold out what its evaluation needs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.moshi.conftest import FakeSpeaker, ShardBuilder, make_dialogue
from voice_core.moshi.build import build_trainer_manifests
from voice_core.moshi.checks import batches_are_finished, lists_are_sound
from voice_core.moshi.shard_manifest import dialogue_partition, read_shard_manifest
from voice_core.moshi.trainer_manifest import TrainerManifestRow, select_eval_paths, write_trainer_manifests
from voice_core.settings import MoshiSettings, Settings

SMALL = MoshiSettings(eval_min_rows=2, eval_min_sec=1.0)
SCRIPTS = [make_dialogue(f"d/{n}", f"Is this number {n}?", "It is.") for n in range(12)]


def test_each_line_is_path_and_duration_and_nothing_else(shard_builder: ShardBuilder) -> None:
    manifest = shard_builder.build(SCRIPTS)
    lists = write_trainer_manifests(shard_builder.store, [manifest], SMALL)
    data = shard_builder.files()["dialogues/dialogues.jsonl"].decode()
    values = [json.loads(line) for line in data.split("\n")[:-1]]
    assert data.endswith("}\n")
    assert [set(value) for value in values] == [{"path", "duration"}] * 12
    assert values[3]["path"] == "batch-0001/d%2F3.wav"
    assert [round(value["duration"] * 24_000, 6) for value in values] == [
        rows[0].dialogue_samples for _, rows in manifest.kept()
    ]
    assert (lists.rows, lists.train_rows, lists.eval_rows) == (12, 10, 2)
    parts = [shard_builder.files()[f"dialogues/dialogues.{part}.jsonl"].decode() for part in ("train", "eval")]
    assert sorted("".join(parts).splitlines()) == sorted(data.splitlines())
    outcome = lists_are_sound(shard_builder.store, [manifest], SMALL)
    assert outcome.passed, outcome.message


def test_a_corpus_that_is_too_small_is_all_train_with_a_warning_and_no_eval_list(shard_builder: ShardBuilder) -> None:
    manifest = shard_builder.build(SCRIPTS)
    write_trainer_manifests(shard_builder.store, [manifest], SMALL)
    lists = write_trainer_manifests(shard_builder.store, [manifest], MoshiSettings())
    assert lists.eval_rows == 0
    assert "12 dialogues" in lists.warning
    assert "dialogues/dialogues.eval.jsonl" not in shard_builder.files()
    assert lists_are_sound(shard_builder.store, [manifest], MoshiSettings()).passed


def test_an_incomplete_batch_is_left_out_and_named(shard_builder: ShardBuilder) -> None:
    with pytest.raises(KeyboardInterrupt):
        shard_builder.build(SCRIPTS, FakeSpeaker(interrupt_after=3))
    half = read_shard_manifest(shard_builder.store, dialogue_partition("dialogues", 1))
    assert half is not None
    lists = write_trainer_manifests(shard_builder.store, [half], SMALL)
    assert (lists.rows, lists.incomplete) == (0, ("dialogues/batch-0001",))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b'{"path": "batch-0001/d%2F3.wav", "duration": 99.0}\n', "is not a committed dialogue of 99.0 s"),
        (b"\n", "is not path and duration"),
        (b'{"name": "dialogues"}\n', "is not path and duration"),
    ],
)
def test_a_list_that_would_break_the_trainer_is_found(shard_builder: ShardBuilder, damage: bytes, message: str) -> None:
    manifest = shard_builder.build(SCRIPTS)
    write_trainer_manifests(shard_builder.store, [manifest], SMALL)
    key = "moshi/dialogues/dialogues.train.jsonl"
    shard_builder.store.put(key, damage + shard_builder.store.get(key))
    outcome = lists_are_sound(shard_builder.store, [manifest], SMALL)
    assert not outcome.passed
    assert message in outcome.message


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("batch-0001/d%2F3.wav", None, "d%2F3.wav is missing"),
        ("batch-0001/d%2F3.json", None, "d%2F3.json is missing"),
        ("batch-0001/d%2F3.wav", b"RIFF", "d%2F3.wav is truncated or changed"),
    ],
)
def test_a_file_that_the_lists_name_and_is_not_there_is_found(
    shard_builder: ShardBuilder, name: str, data: bytes | None, message: str
) -> None:
    manifest = shard_builder.build(SCRIPTS)
    write_trainer_manifests(shard_builder.store, [manifest], SMALL)
    if data is None:
        shard_builder.store.delete([f"moshi/dialogues/{name}"])
    else:
        shard_builder.store.put(f"moshi/dialogues/{name}", data)
    outcome = lists_are_sound(shard_builder.store, [manifest], SMALL)
    assert not outcome.passed
    assert message in outcome.message


def test_a_batch_that_is_unfinished_or_missing_is_reported(shard_builder: ShardBuilder) -> None:
    first, second = dialogue_partition("dialogues", 1), dialogue_partition("dialogues", 2)
    settings = Settings(moshi=SMALL)
    shard_builder.build(SCRIPTS)
    assert batches_are_finished(build_trainer_manifests(shard_builder.store, [first], settings), 1).passed
    with pytest.raises(KeyboardInterrupt):
        shard_builder.build(
            [*SCRIPTS[1:], make_dialogue("new", "Who is there?", "I am.")], FakeSpeaker(interrupt_after=1)
        )
    lists = build_trainer_manifests(shard_builder.store, [first, second], settings)
    assert lists.incomplete == ("dialogues/batch-0001", "dialogues/batch-0002")
    outcome = batches_are_finished(lists, 2)
    assert (outcome.passed, outcome.warning) == (False, True)
    assert "dialogues/batch-0002 is not finished" in outcome.message


@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(0, 1, exclude_max=True)), max_size=60), st.floats(0, 0.5))
def test_what_is_held_out_is_enough_or_nothing(drawn: list[tuple[int, float]], fraction: float) -> None:
    items = [TrainerManifestRow(f"{n}.wav", samples, draw) for n, (samples, draw) in enumerate(drawn)]
    settings = MoshiSettings(eval_fraction=fraction, eval_min_rows=4, eval_min_sec=30)
    out, warning = select_eval_paths(items, settings)
    seconds = sum(item.sample_count for item in items if item.path in out) / 24_000
    assert bool(warning) == (not out and fraction > 0)
    if out:
        assert len(out) >= 4
        assert seconds >= 30
        assert seconds <= sum(item.sample_count for item in items) / 48_000
    assert select_eval_paths(items[::-1], settings) == (out, warning)
