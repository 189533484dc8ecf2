"""A batch of dialogues is made once, and after a change just what changed is made again."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from voice_assets_tests.core.moshi.conftest import (
    FAILING_TEXT,
    PARTITION,
    SILENT_TEXT,
    FakeSpeaker,
    ShardBuilder,
    make_dialogue,
    synthesize_tone,
)
from voice_assets_tests.servers.s3 import S3Server
from voice_core.fingerprint import sha256
from voice_core.moshi.batch_plan import ModelVersions, plan_batch
from voice_core.moshi.checks import dialogues_add_up, files_are_sound
from voice_core.moshi.mixing import apply_gain, measure_extent, read_wav
from voice_core.moshi.script import BadDialogueLine, Dialogue, Turn
from voice_core.moshi.shard_manifest import ShardManifest, read_shard_manifest, words_json
from voice_core.moshi.shard_stage import find_intact_files
from voice_core.moshi.turn_timing import plan_turns
from voice_core.moshi.word_alignments import encode_sidecar
from voice_core.settings import MoshiSettings
from voice_core.storage.store import Store
from voice_core.tts.base import Utterance

SCRIPTS = [
    make_dialogue("one", "Is the ferry late?", "It is on time today.", "Good."),
    make_dialogue("two/a b", "What is for lunch?", "Soup, and bread with cheese.", "Mm.", overlap_sec=1.5),
    make_dialogue("three", "Are you there?", "Yes.", pause_before_sec=0.7),
]
SCRIPTS[1] = Dialogue("two/a b", (*SCRIPTS[1].turns[:2], Turn("user", "Mm.", overlap_sec=1.5)))


def sound(shard_builder: ShardBuilder, manifest: ShardManifest) -> None:
    for outcome in (dialogues_add_up(manifest), files_are_sound(shard_builder.store, manifest)):
        assert outcome.passed, outcome.message


def test_a_dialogue_becomes_stereo_with_each_utterance_on_its_channel_at_its_time(shard_builder: ShardBuilder) -> None:
    manifest = shard_builder.build(SCRIPTS)
    sound(shard_builder, manifest)
    assert sorted(shard_builder.files()) == [
        "dialogues/batch-0001/_manifest.parquet",
        *sorted(
            f"dialogues/batch-0001/{name}.{ext}" for name in ("one", "two%2Fa b", "three") for ext in ("wav", "json")
        ),
    ]
    _, rows = manifest.kept()[1]
    mix = read_wav(shard_builder.files()["dialogues/batch-0001/two%2Fa b.wav"])
    settings = MoshiSettings()
    plan = plan_batch(PARTITION, SCRIPTS, None, ModelVersions("beep", "1", ""), settings).dialogues[1]
    levels = {json.loads(data)["voice"]: json.loads(data)["level_dbfs"] for data in shard_builder.voices().values()}
    pcms = [
        apply_gain(synthesize_tone(item).audio, 22_050, -23.0 - levels[item.voice], -1.0) for item in plan.utterances
    ]
    assert [item.voice for item in plan.utterances] == ["heart-low", "heart", "heart-low"]
    assert [row.start_sample for row in rows] == plan_turns(SCRIPTS[1], [measure_extent(pcm) for pcm in pcms], settings)
    for row, pcm, channel in zip(rows, pcms, (1, 0, 1), strict=True):
        assert np.array_equal(mix[row.start_sample : row.start_sample + row.sample_count, channel], pcm)


def test_a_sidecar_has_both_channels_words_sorted_in_absolute_seconds(shard_builder: ShardBuilder) -> None:
    manifest = shard_builder.build(SCRIPTS)
    alignments = json.loads(shard_builder.files()["dialogues/batch-0001/one.json"])["alignments"]
    assert [item[1][0] for item in alignments] == sorted(item[1][0] for item in alignments)
    assert [item[0] for item in alignments if item[2] == "SPEAKER_MAIN"] == ["It", "is", "on", "time", "today."]
    assert [item[0] for item in alignments if item[2] == "SPEAKER_USER"] == ["Is", "the", "ferry", "late?", "Good."]
    second = manifest.kept()[0][1][1]
    first_main = next(item for item in alignments if item[2] == "SPEAKER_MAIN")
    assert first_main[1][0] == pytest.approx(
        second.start_sample / 24_000 + second.spoken_words()[0].start_sec, abs=1e-6
    )


def test_a_second_run_speaks_nothing_and_writes_nothing(shard_builder: ShardBuilder) -> None:
    first = shard_builder.build(SCRIPTS)
    before = {path: path.stat().st_mtime_ns for path in shard_builder.folder.rglob("*")}
    again = FakeSpeaker()
    assert shard_builder.build(SCRIPTS, again) == first
    assert again.spoken_texts == []
    assert {path: path.stat().st_mtime_ns for path in shard_builder.folder.rglob("*") if "moshi" in path.parts} == {
        path: time for path, time in before.items() if "moshi" in path.parts
    }


def changed(item: Dialogue, turn: int, **changes: Any) -> Dialogue:
    turns = [*item.turns]
    turns[turn] = dataclasses.replace(turns[turn], **changes)
    return dataclasses.replace(item, turns=tuple(turns))


@pytest.mark.parametrize(
    ("edited", "told"),
    [
        (changed(SCRIPTS[0], 1, text="It is rather late."), ["It is rather late."]),
        (changed(SCRIPTS[0], 1, voice="heart"), []),  # the voice that it has anyway
        (changed(SCRIPTS[0], 1, voice="other"), ["It is on time today."]),
        (changed(SCRIPTS[0], 2, pause_before_sec=2.0), []),
        (dataclasses.replace(SCRIPTS[0], turns=SCRIPTS[0].turns[:2]), []),
        (dataclasses.replace(SCRIPTS[0], turns=(Turn("assistant", "Ahoy."), *SCRIPTS[0].turns)), ["Ahoy."]),
        (dataclasses.replace(SCRIPTS[0], turns=SCRIPTS[0].turns[::-1]), []),
        (dataclasses.replace(SCRIPTS[0], line=77), []),
    ],
)
def test_an_edit_speaks_only_what_is_new_and_ends_as_if_made_afresh(
    shard_builder: ShardBuilder, tmp_path: Any, edited: Dialogue, told: list[str]
) -> None:
    shard_builder.build(SCRIPTS)
    others = {
        name: data for name, data in shard_builder.files().items() if "one" not in name and "_manifest" not in name
    }
    speak = FakeSpeaker()
    sound(shard_builder, shard_builder.build([edited, *SCRIPTS[1:]], speak))
    assert speak.spoken_texts == told
    afresh = ShardBuilder(tmp_path / "afresh")
    afresh.build([edited, *SCRIPTS[1:]])
    assert shard_builder.files() == afresh.files()
    assert others.items() <= shard_builder.files().items()


def test_a_removed_dialogue_takes_its_files_with_it_and_a_stranger_is_swept(shard_builder: ShardBuilder) -> None:
    shard_builder.build(SCRIPTS)
    shard_builder.store.put("moshi/dialogues/batch-0001/stranger.wav", b"?")
    manifest = shard_builder.build(SCRIPTS[1:], FakeSpeaker(interrupt_after=0))
    assert not any("one" in name or "stranger" in name for name in shard_builder.files())
    assert manifest.dialogues == 2


@pytest.mark.parametrize("dies_after", [0, 1, 3, 4, 6])
def test_a_killed_run_is_resumed_and_ends_in_the_same_bytes(
    shard_builder: ShardBuilder, tmp_path: Any, dies_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice_core.stages.commit.CHECKPOINT_SEC", -1.0)
    with pytest.raises(KeyboardInterrupt):
        shard_builder.build(SCRIPTS, FakeSpeaker(dies_after))
    half = read_shard_manifest(shard_builder.store, PARTITION)
    assert half is not None
    assert not half.complete
    rest = FakeSpeaker()
    shard_builder.build(SCRIPTS, rest)
    assert len(rest.spoken_texts) == 8 - sum(len(rows) for _, rows in half.kept())
    afresh = ShardBuilder(tmp_path / "afresh")
    afresh.build(SCRIPTS)
    assert shard_builder.files() == afresh.files()


@pytest.mark.parametrize("edited", [False, True])
def test_files_that_are_newer_than_the_manifest_end_in_the_same_bytes(
    shard_builder: ShardBuilder, tmp_path: Any, edited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between putting a dialogue's files and the next checkpoint: no manifest is written on the way out."""
    scripts = SCRIPTS
    if edited:
        shard_builder.build(SCRIPTS)
        scripts = [changed(item, 1, text="It is not what it was.") for item in SCRIPTS]
    put_many = Store.put_many
    put: list[str] = []

    def killed(store: Store, objects: Mapping[str, bytes]) -> None:
        put.extend(objects)
        if len(put) == 4:  # of the second dialogue's two files one is written
            objects = dict([*objects.items()][:1])
        put_many(store, objects)
        if len(put) == 4:
            raise RuntimeError("killed")  # an Exception, for which nothing is committed

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_many", killed)
        with pytest.raises(RuntimeError, match="killed"):
            shard_builder.build(scripts)
    half = read_shard_manifest(shard_builder.store, PARTITION)
    assert half is not None
    assert not half.complete
    listed = {row.key: row.sha256 for row in half.rows}
    assert listed.get(put[1]) != sha256(shard_builder.store.get(put[1])), "the first dialogue's file is newer"
    sound(shard_builder, shard_builder.build(scripts))
    afresh = ShardBuilder(tmp_path / "afresh")
    afresh.build(scripts)
    assert shard_builder.files() == afresh.files()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminated_run_keeps_every_dialogue_that_was_spoken(shard_builder: ShardBuilder, workers: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        shard_builder.build(SCRIPTS, FakeSpeaker(interrupt_after=6), workers=workers)
    rest = FakeSpeaker()
    sound(shard_builder, shard_builder.build(SCRIPTS, rest, workers=workers))
    assert rest.spoken_texts == ["Are you there?", "Yes."]


def test_several_processes_make_the_same_bytes(shard_builder: ShardBuilder, tmp_path: Any) -> None:
    shard_builder.build(SCRIPTS, workers=2)
    other = ShardBuilder(tmp_path / "other")
    other.build(SCRIPTS)
    assert shard_builder.files() == other.files()


def test_a_killed_edit_leaves_unchanged_dialogues_usable(shard_builder: ShardBuilder) -> None:
    shard_builder.build(SCRIPTS)
    edited = [changed(SCRIPTS[0], 1, text="It is late."), SCRIPTS[1], changed(SCRIPTS[2], 1, text="No.")]
    with pytest.raises(KeyboardInterrupt):
        shard_builder.build(edited, FakeSpeaker(interrupt_after=1))
    rest = FakeSpeaker()
    sound(shard_builder, shard_builder.build(edited, rest))
    assert "What is for lunch?" not in rest.spoken_texts
    assert "Are you there?" not in rest.spoken_texts


def test_the_order_in_which_utterances_come_back_changes_nothing(shard_builder: ShardBuilder, tmp_path: Any) -> None:
    backwards = FakeSpeaker()
    backwards.reversed_order = True
    shard_builder.build(SCRIPTS, backwards)
    other = ShardBuilder(tmp_path / "other")
    other.build(SCRIPTS)
    assert shard_builder.files() == other.files()


def test_a_failed_utterance_rejects_only_its_dialogue_and_is_tried_again(shard_builder: ShardBuilder) -> None:
    bad = make_dialogue("bad", "Hello.", f"This is {FAILING_TEXT}.")
    manifest = shard_builder.build([*SCRIPTS, bad])
    sound(shard_builder, manifest)
    assert [name for name, _ in manifest.kept()] == ["one", "two/a b", "three"]
    rejects = [(row.turn, row.stage, row.reason, row.message) for row in manifest.rows if not row.kept]
    assert rejects == [
        (0, "speaking", "other_turn_failed", "turn 2 could not be made"),
        (1, "speaking", "speech_failed", "no engine can say that"),
    ]
    assert [(row.turn, row.reason) for row in manifest.first_rejects()] == [(1, "speech_failed")], "each dialogue once"
    again = FakeSpeaker()
    assert shard_builder.build([*SCRIPTS, bad], again) == manifest
    assert again.spoken_texts == ["Hello.", f"This is {FAILING_TEXT}."]


def test_a_dialogue_whose_new_version_fails_keeps_its_old_files_for_a_better_one(shard_builder: ShardBuilder) -> None:
    whole = shard_builder.build(SCRIPTS)
    before = shard_builder.files()
    failing = changed(SCRIPTS[0], 1, text=f"It is {FAILING_TEXT}.")
    manifest = shard_builder.build([failing, *SCRIPTS[1:]])
    sound(shard_builder, manifest)
    assert [name for name, _ in manifest.kept()] == ["two/a b", "three"]
    assert shard_builder.files().keys() == before.keys()
    assert shard_builder.build([failing, *SCRIPTS[1:]]) == manifest
    speak = FakeSpeaker()
    assert shard_builder.build(SCRIPTS, speak) == whole
    assert speak.spoken_texts == []
    assert shard_builder.files() == before
    shard_builder.build([failing, *SCRIPTS[1:]])
    shard_builder.build([changed(SCRIPTS[0], 1, text="It is early."), *SCRIPTS[1:]], speak)
    assert speak.spoken_texts == ["It is early."], "the other turns are cut out of the old file"
    shard_builder.build([failing, *SCRIPTS[1:]])
    shard_builder.build(SCRIPTS[1:])
    assert not any("one" in name for name in shard_builder.files()), "what has left the scripts is removed"


def test_silence_and_bad_lines_are_rejected_with_their_reasons(shard_builder: ShardBuilder) -> None:
    line = BadDialogueLine(9, "bad_json", "line 9: not JSON", "")
    manifest = shard_builder.build([SCRIPTS[0], line, make_dialogue("mute", f"A {SILENT_TEXT} one.", "What?")])
    sound(shard_builder, manifest)
    assert manifest.rejects() == {"bad_json": 1, "no_speech": 1, "other_turn_failed": 1}
    assert manifest.figures["bad_lines"] == 1
    assert [(row.line, row.message) for row in manifest.rows if row.stage == "reading"] == [(9, "line 9: not JSON")]


def test_a_file_that_was_damaged_is_made_again(shard_builder: ShardBuilder) -> None:
    whole = shard_builder.build(SCRIPTS)
    key = "moshi/dialogues/batch-0001/one.wav"
    good = shard_builder.store.get(key)
    shard_builder.store.put(key, good[:-2])
    shard_builder.build(SCRIPTS)
    assert shard_builder.store.get(key) == good
    shard_builder.store.put(key, good[:-2] + b"??")  # as long as before
    assert find_intact_files(shard_builder.store, whole) > find_intact_files(shard_builder.store, whole, verify=True)
    speak = FakeSpeaker()
    shard_builder.build([changed(SCRIPTS[0], 2, pause_before_sec=1.0), *SCRIPTS[1:]], speak)
    assert len(speak.spoken_texts) == 3, "nothing is cut out of a damaged file"
    shard_builder.build(SCRIPTS, verify=True)
    assert shard_builder.store.get(key) == good


def test_another_aligner_aligns_again_without_speaking(shard_builder: ShardBuilder) -> None:
    shard_builder.build(SCRIPTS)
    shard_builder.aligner.revision = "other"  # type: ignore[misc]
    speak = FakeSpeaker()
    manifest = shard_builder.build(SCRIPTS, speak)
    assert speak.spoken_texts == []
    assert {row.aligner for row in manifest.rows} == {"approximate other"}


def test_another_recording_of_a_voice_or_another_level_speaks_again() -> None:
    def prints(maker: ModelVersions, settings: MoshiSettings) -> tuple[str, ...]:
        return plan_batch(PARTITION, SCRIPTS, None, maker, settings).dialogues[0].fingerprints

    plain = prints(ModelVersions("beep", "1", "a"), MoshiSettings())
    assert prints(ModelVersions("beep", "1", "b"), MoshiSettings(gap_median_sec=0.3, legacy_io=True)) == plain
    recorded = prints(ModelVersions("beep", "1", "a", {"heart": "1234"}), MoshiSettings())
    assert [a == b for a, b in zip(plain, recorded, strict=True)] == [True, False, True]
    felt = [changed(SCRIPTS[0], 0, emotion="sad.wav"), *SCRIPTS[1:]]
    sad, sadder = (
        plan_batch(
            PARTITION, felt, None, ModelVersions("beep", "1", "a", {}, {"sad.wav": data}), MoshiSettings()
        ).dialogues[0]
        for data in ("1", "2")
    )
    assert [a == b for a, b in zip(sad.fingerprints, sadder.fingerprints, strict=True)] == [False, True, True]
    louder = prints(ModelVersions("beep", "1", "a"), MoshiSettings(user_level_dbfs=-20))
    assert [a == b for a, b in zip(plain, louder, strict=True)] == [False, True, False]
    assert not set(plain) & set(prints(ModelVersions("beep", "2", "a"), MoshiSettings()))


def test_the_legacy_layout_begins_on_both_channels_at_once(shard_builder: ShardBuilder) -> None:
    manifest = shard_builder.build(SCRIPTS, settings=MoshiSettings(legacy_io=True))
    sound(shard_builder, manifest)
    assert [row.start_sample for row in manifest.kept()[2][1]] == [0, 0]


def test_too_much_text_for_its_time_is_flagged(shard_builder: ShardBuilder) -> None:
    class Hasty(FakeSpeaker):
        def __call__(self, asked: Any) -> Any:
            for where, utterance in asked:
                speech = synthesize_tone(Utterance("x"))
                yield where, dataclasses.replace(speech, audio=speech.audio[:8_000])
                assert utterance

    manifest = shard_builder.build([make_dialogue("a", "One.", "word " * 12)], Hasty())
    assert [row.dense for row in manifest.rows] == [False, True]


def test_two_dialogues_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one dialogue 'one'"):
        plan_batch(PARTITION, [SCRIPTS[0], SCRIPTS[0]], None, ModelVersions("beep", "1", "a"), MoshiSettings())


def test_the_manifest_reads_back_as_it_was_written(shard_builder: ShardBuilder) -> None:
    manifest = shard_builder.build([*SCRIPTS, BadDialogueLine(9, "bad_json", "line 9: not JSON")])
    assert read_shard_manifest(shard_builder.store, PARTITION) == manifest
    assert ShardManifest.from_bytes(manifest.to_bytes()).data_version == manifest.data_version
    assert words_json(manifest.rows[0].spoken_words()) == manifest.rows[0].words
    shard_builder.store.put("moshi/dialogues/batch-0001/_manifest.parquet", b"?")
    assert read_shard_manifest(shard_builder.store, PARTITION) is None


def test_a_sidecar_of_nothing_is_still_one() -> None:
    assert json.loads(encode_sidecar([])) == {"alignments": []}


def test_a_bucket_gets_the_same_bytes_as_a_folder(shard_builder: ShardBuilder, s3_server: S3Server) -> None:
    shard_builder.build(SCRIPTS)
    expected = shard_builder.files()
    shard_builder.store = Store(s3_server.new_bucket() + "/work", s3_server.access())
    edited = [changed(SCRIPTS[0], 1, text="It is late."), *SCRIPTS[1:], make_dialogue("four", "Who?", "Me.")]
    shard_builder.build(edited)
    speak = FakeSpeaker()
    sound(shard_builder, shard_builder.build(SCRIPTS, speak))
    assert speak.spoken_texts == ["It is on time today."]
    there = {item.key: shard_builder.store.get(item.key) for item in shard_builder.store.listing("moshi")}
    assert there == {f"moshi/{name}": data for name, data in expected.items()}
