"""Each check finds what it is there to find."""

import dataclasses
import json
from collections.abc import Callable

import pytest

from voice_assets_tests.core.moshi.conftest import FAILING_TEXT, ShardBuilder, make_dialogue
from voice_core.moshi.checks import (
    dialogues_add_up,
    emotions_were_spoken,
    files_are_sound,
    find_audio_problems,
    find_sidecar_problems,
    nothing_rejected,
    text_fits,
    words_were_heard,
)
from voice_core.moshi.mixing import Stereo, read_wav
from voice_core.moshi.shard_manifest import ShardManifest, TurnRow
from voice_core.tts.base import Capabilities

SCRIPT = make_dialogue("a", "Is the ferry late?", "It is on time today.")
WAV, SIDECAR = "moshi/dialogues/batch-0001/a.wav", "moshi/dialogues/batch-0001/a.json"


@pytest.fixture
def manifest(shard_builder: ShardBuilder) -> ShardManifest:
    return shard_builder.build([SCRIPT])


def rows_of(manifest: ShardManifest) -> list[TurnRow]:
    return manifest.kept()[0][1]


def _speak_over(mix: Stereo, rows: list[TurnRow]) -> Stereo:
    mix[10, 0] = 1
    return mix


def _clip(mix: Stereo, rows: list[TurnRow]) -> Stereo:
    mix[10, 1] = 32767
    return mix


def _hush(mix: Stereo, rows: list[TurnRow]) -> Stereo:
    mix[:, 1] = 0
    return mix


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_speak_over, "the assistant's channel is not silent outside of its turns"),
        (_clip, "samples at full scale"),
        (_hush, "turn 1 is silent"),
        (lambda mix, rows: mix[:-1], "samples, not"),
    ],
)
def test_audio_that_differs_from_its_rows_is_found(
    shard_builder: ShardBuilder,
    manifest: ShardManifest,
    damage: Callable[[Stereo, list[TurnRow]], Stereo],
    message: str,
) -> None:
    rows = rows_of(manifest)
    mix = read_wav(shard_builder.store.get(WAV))
    assert find_audio_problems(mix, rows) == []
    assert any(message in trouble for trouble in find_audio_problems(damage(mix, rows), rows))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda items: items[::-1], "not sorted"),
        (lambda items: items[1:], "the user's words are not those of the script"),
        (lambda items: [[items[0][0], [0.5, 0.5], items[0][2]], *items[1:]], "is outside of turn 1"),
        (lambda items: [*items[:-1], [items[-1][0], [items[-1][1][0], 99.0], items[-1][2]]], "is outside of turn 2"),
        (lambda items: [["word", 1]], "cannot be read"),
    ],
)
def test_alignments_that_are_not_the_scripts_are_found(
    shard_builder: ShardBuilder, manifest: ShardManifest, damage: Callable[[list], list], message: str
) -> None:
    items = json.loads(shard_builder.store.get(SIDECAR))["alignments"]
    assert find_sidecar_problems(json.dumps({"alignments": items}).encode(), rows_of(manifest)) == []
    troubles = find_sidecar_problems(json.dumps({"alignments": damage(items)}).encode(), rows_of(manifest))
    assert any(message in trouble for trouble in troubles)


def test_a_missing_or_changed_file_is_found(shard_builder: ShardBuilder, manifest: ShardManifest) -> None:
    assert files_are_sound(shard_builder.store, manifest).passed
    shard_builder.store.put(SIDECAR, shard_builder.store.get(SIDECAR) + b" ")
    assert "its sidecar is not what was committed" in files_are_sound(shard_builder.store, manifest).message
    shard_builder.store.put(WAV, b"RIFF")
    assert "not a WAV file" in files_are_sound(shard_builder.store, manifest).message
    shard_builder.store.delete([SIDECAR])
    assert "its alignments are missing" in files_are_sound(shard_builder.store, manifest).message


def test_rows_that_do_not_add_up_are_found(manifest: ShardManifest) -> None:
    assert dialogues_add_up(manifest).passed
    for rows in (
        manifest.rows[:1],
        manifest.rows[1:],
        (),
        (manifest.rows[0], dataclasses.replace(manifest.rows[1], kept=False, stage="speaking", reason="x")),
        [dataclasses.replace(row, dialogue_samples=row.dialogue_samples + 1) for row in manifest.rows],
        [dataclasses.replace(row, kept=False) for row in manifest.rows],
    ):
        assert not dialogues_add_up(dataclasses.replace(manifest, rows=rows)).passed


def test_what_is_only_worth_knowing_is_a_warning(shard_builder: ShardBuilder, manifest: ShardManifest) -> None:
    rough = words_were_heard(manifest)
    assert (rough.passed, rough.warning, rough.figures["approximate_share"]) == (False, True, 1.0)
    dense = dataclasses.replace(manifest, rows=[dataclasses.replace(row, dense=True) for row in manifest.rows])
    assert text_fits(manifest).passed
    assert "'a' turn 2" in text_fits(dense).message
    plain, moved = Capabilities(True, True), Capabilities(True, True, emotions=("sad",))
    sad = dataclasses.replace(manifest, rows=[dataclasses.replace(row, emotion="sad") for row in manifest.rows])
    assert emotions_were_spoken(manifest, plain).passed
    assert emotions_were_spoken(sad, moved).passed
    ignored = emotions_were_spoken(sad, plain)
    assert (ignored.passed, ignored.warning, ignored.figures) == (False, True, {"offenders": 2})
    assert "'a' turn 2: the engine does not support emotions ('sad')" in ignored.message
    assert nothing_rejected(manifest).passed
    rejected = nothing_rejected(shard_builder.build([make_dialogue("a", f"{FAILING_TEXT}", "Yes.")]))
    assert (rejected.passed, rejected.warning) == (False, True)
    assert rejected.figures == {"offenders": 1, "other_turn_failed": 1, "speech_failed": 1}
