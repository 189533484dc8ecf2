"""A batch of dialogues is made once, and after a change just what changed is made again."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from voice_assets_tests.core.moshi.conftest import FAILS, PARTITION, SILENT, Beeper, Workshop, beep, dialogue
from voice_assets_tests.servers.s3 import S3Server
from voice_core.fingerprint import sha256
from voice_core.moshi.checks import dialogues_add_up, files_are_sound
from voice_core.moshi.commit import intact_files
from voice_core.moshi.mixing import extent, levelled, read_wav
from voice_core.moshi.script import BadLine, Dialogue, Turn
from voice_core.moshi.shard_manifest import ShardManifest, read_shards, words_json
from voice_core.moshi.shards import Maker, plan_batch, sidecar_bytes
from voice_core.moshi.timing import plan_turns
from voice_core.settings import MoshiSettings
from voice_core.storage.store import Store
from voice_core.tts.base import Utterance

SCRIPTS = [
    dialogue("one", "Is the ferry late?", "It is on time today.", "Good."),
    dialogue("two/a b", "What is for lunch?", "Soup, and bread with cheese.", "Mm.", overlap_sec=1.5),
    dialogue("three", "Are you there?", "Yes.", pause_before_sec=0.7),
]
SCRIPTS[1] = Dialogue("two/a b", (*SCRIPTS[1].turns[:2], Turn("user", "Mm.", overlap_sec=1.5)))


def sound(workshop: Workshop, manifest: ShardManifest) -> None:
    for outcome in (dialogues_add_up(manifest), files_are_sound(workshop.store, manifest)):
        assert outcome.passed, outcome.message


def test_a_dialogue_becomes_stereo_with_each_utterance_on_its_channel_at_its_time(workshop: Workshop) -> None:
    manifest = workshop.build(SCRIPTS)
    sound(workshop, manifest)
    assert sorted(workshop.files()) == [
        "dialogues/batch-0001/_manifest.parquet",
        *sorted(
            f"dialogues/batch-0001/{name}.{ext}" for name in ("one", "two%2Fa b", "three") for ext in ("wav", "json")
        ),
    ]
    _, rows = manifest.kept()[1]
    mix = read_wav(workshop.files()["dialogues/batch-0001/two%2Fa b.wav"])
    settings = MoshiSettings()
    plan = plan_batch(PARTITION, SCRIPTS, None, Maker("beep", "1", ""), settings).dialogues[1]
    levels = {json.loads(data)["voice"]: json.loads(data)["level_dbfs"] for data in workshop.voices().values()}
    pcms = [levelled(beep(item).audio, 22_050, -23.0 - levels[item.voice], -1.0) for item in plan.utterances]
    assert [item.voice for item in plan.utterances] == ["heart-low", "heart", "heart-low"]
    assert [row.start_sample for row in rows] == plan_turns(SCRIPTS[1], [extent(pcm) for pcm in pcms], settings)
    for row, pcm, channel in zip(rows, pcms, (1, 0, 1), strict=True):
        assert np.array_equal(mix[row.start_sample : row.start_sample + row.sample_count, channel], pcm)


def test_a_sidecar_has_both_channels_words_sorted_in_absolute_seconds(workshop: Workshop) -> None:
    manifest = workshop.build(SCRIPTS)
    alignments = json.loads(workshop.files()["dialogues/batch-0001/one.json"])["alignments"]
    assert [item[1][0] for item in alignments] == sorted(item[1][0] for item in alignments)
    assert [item[0] for item in alignments if item[2] == "SPEAKER_MAIN"] == ["It", "is", "on", "time", "today."]
    assert [item[0] for item in alignments if item[2] == "SPEAKER_USER"] == ["Is", "the", "ferry", "late?", "Good."]
    second = manifest.kept()[0][1][1]
    first_main = next(item for item in alignments if item[2] == "SPEAKER_MAIN")
    assert first_main[1][0] == pytest.approx(
        second.start_sample / 24_000 + second.spoken_words()[0].start_sec, abs=1e-6
    )


def test_a_second_run_speaks_nothing_and_writes_nothing(workshop: Workshop) -> None:
    first = workshop.build(SCRIPTS)
    before = {path: path.stat().st_mtime_ns for path in workshop.folder.rglob("*")}
    again = Beeper()
    assert workshop.build(SCRIPTS, again) == first
    assert again.told == []
    assert {path: path.stat().st_mtime_ns for path in workshop.folder.rglob("*") if "moshi" in path.parts} == {
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
    workshop: Workshop, tmp_path: Any, edited: Dialogue, told: list[str]
) -> None:
    workshop.build(SCRIPTS)
    others = {name: data for name, data in workshop.files().items() if "one" not in name and "_manifest" not in name}
    speak = Beeper()
    sound(workshop, workshop.build([edited, *SCRIPTS[1:]], speak))
    assert speak.told == told
    afresh = Workshop(tmp_path / "afresh")
    afresh.build([edited, *SCRIPTS[1:]])
    assert workshop.files() == afresh.files()
    assert others.items() <= workshop.files().items()


def test_a_removed_dialogue_takes_its_files_with_it_and_a_stranger_is_swept(workshop: Workshop) -> None:
    workshop.build(SCRIPTS)
    workshop.store.put("moshi/dialogues/batch-0001/stranger.wav", b"?")
    manifest = workshop.build(SCRIPTS[1:], Beeper(dies_after=0))
    assert not any("one" in name or "stranger" in name for name in workshop.files())
    assert manifest.dialogues == 2


@pytest.mark.parametrize("dies_after", [0, 1, 3, 4, 6])
def test_a_killed_run_is_resumed_and_ends_in_the_same_bytes(
    workshop: Workshop, tmp_path: Any, dies_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice_core.moshi.commit._CHECKPOINT_SEC", -1.0)
    with pytest.raises(KeyboardInterrupt):
        workshop.build(SCRIPTS, Beeper(dies_after))
    half = read_shards(workshop.store, PARTITION)
    assert half is not None
    assert not half.complete
    rest = Beeper()
    workshop.build(SCRIPTS, rest)
    assert len(rest.told) == 8 - sum(len(rows) for _, rows in half.kept())
    afresh = Workshop(tmp_path / "afresh")
    afresh.build(SCRIPTS)
    assert workshop.files() == afresh.files()


@pytest.mark.parametrize("edited", [False, True])
def test_files_that_are_newer_than_the_manifest_end_in_the_same_bytes(
    workshop: Workshop, tmp_path: Any, edited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between putting a dialogue's files and the next checkpoint: no manifest is written on the way out."""
    scripts = SCRIPTS
    if edited:
        workshop.build(SCRIPTS)
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
            workshop.build(scripts)
    half = read_shards(workshop.store, PARTITION)
    assert half is not None
    assert not half.complete
    listed = {row.key: row.sha256 for row in half.rows}
    assert listed.get(put[1]) != sha256(workshop.store.get(put[1])), "the first dialogue's file is newer"
    sound(workshop, workshop.build(scripts))
    afresh = Workshop(tmp_path / "afresh")
    afresh.build(scripts)
    assert workshop.files() == afresh.files()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_asked_to_end_keeps_every_dialogue_that_was_spoken(workshop: Workshop, workers: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        workshop.build(SCRIPTS, Beeper(dies_after=6), workers=workers)
    rest = Beeper()
    sound(workshop, workshop.build(SCRIPTS, rest, workers=workers))
    assert rest.told == ["Are you there?", "Yes."]


def test_several_processes_make_the_same_bytes(workshop: Workshop, tmp_path: Any) -> None:
    workshop.build(SCRIPTS, workers=2)
    other = Workshop(tmp_path / "other")
    other.build(SCRIPTS)
    assert workshop.files() == other.files()


def test_a_killed_edit_leaves_what_is_unchanged_as_useful_as_before(workshop: Workshop) -> None:
    workshop.build(SCRIPTS)
    edited = [changed(SCRIPTS[0], 1, text="It is late."), SCRIPTS[1], changed(SCRIPTS[2], 1, text="No.")]
    with pytest.raises(KeyboardInterrupt):
        workshop.build(edited, Beeper(dies_after=1))
    rest = Beeper()
    sound(workshop, workshop.build(edited, rest))
    assert "What is for lunch?" not in rest.told
    assert "Are you there?" not in rest.told


def test_the_order_in_which_utterances_come_back_changes_nothing(workshop: Workshop, tmp_path: Any) -> None:
    backwards = Beeper()
    backwards.backwards = True
    workshop.build(SCRIPTS, backwards)
    other = Workshop(tmp_path / "other")
    other.build(SCRIPTS)
    assert workshop.files() == other.files()


def test_a_failed_utterance_costs_its_dialogue_alone_and_is_tried_again(workshop: Workshop) -> None:
    bad = dialogue("bad", "Hello.", f"This is {FAILS}.")
    manifest = workshop.build([*SCRIPTS, bad])
    sound(workshop, manifest)
    assert [name for name, _ in manifest.kept()] == ["one", "two/a b", "three"]
    rejects = [(row.turn, row.stage, row.reason, row.message) for row in manifest.rows if not row.kept]
    assert rejects == [
        (0, "speaking", "other_turn_failed", "turn 2 could not be made"),
        (1, "speaking", "speech_failed", "no engine can say that"),
    ]
    assert [(row.turn, row.reason) for row in manifest.left_out()] == [(1, "speech_failed")], "each dialogue once"
    again = Beeper()
    assert workshop.build([*SCRIPTS, bad], again) == manifest
    assert again.told == ["Hello.", f"This is {FAILS}."]


def test_a_dialogue_whose_new_version_fails_keeps_its_old_files_for_a_better_one(workshop: Workshop) -> None:
    whole = workshop.build(SCRIPTS)
    before = workshop.files()
    spoilt = changed(SCRIPTS[0], 1, text=f"It is {FAILS}.")
    manifest = workshop.build([spoilt, *SCRIPTS[1:]])
    sound(workshop, manifest)
    assert [name for name, _ in manifest.kept()] == ["two/a b", "three"]
    assert workshop.files().keys() == before.keys()
    assert workshop.build([spoilt, *SCRIPTS[1:]]) == manifest
    speak = Beeper()
    assert workshop.build(SCRIPTS, speak) == whole
    assert speak.told == []
    assert workshop.files() == before
    workshop.build([spoilt, *SCRIPTS[1:]])
    workshop.build([changed(SCRIPTS[0], 1, text="It is early."), *SCRIPTS[1:]], speak)
    assert speak.told == ["It is early."], "the other turns are cut out of the old file"
    workshop.build([spoilt, *SCRIPTS[1:]])
    workshop.build(SCRIPTS[1:])
    assert not any("one" in name for name in workshop.files()), "what has left the scripts is removed"


def test_silence_and_bad_lines_are_rejected_with_their_reasons(workshop: Workshop) -> None:
    line = BadLine(9, "bad_json", "line 9: not JSON", "")
    manifest = workshop.build([SCRIPTS[0], line, dialogue("mute", f"A {SILENT} one.", "What?")])
    sound(workshop, manifest)
    assert manifest.rejects() == {"bad_json": 1, "no_speech": 1, "other_turn_failed": 1}
    assert manifest.figures["bad_lines"] == 1
    assert [(row.line, row.message) for row in manifest.rows if row.stage == "reading"] == [(9, "line 9: not JSON")]


def test_a_file_that_was_damaged_is_made_again(workshop: Workshop) -> None:
    whole = workshop.build(SCRIPTS)
    key = "moshi/dialogues/batch-0001/one.wav"
    good = workshop.store.get(key)
    workshop.store.put(key, good[:-2])
    workshop.build(SCRIPTS)
    assert workshop.store.get(key) == good
    workshop.store.put(key, good[:-2] + b"??")  # as long as before
    assert intact_files(workshop.store, whole) > intact_files(workshop.store, whole, verify=True)
    speak = Beeper()
    workshop.build([changed(SCRIPTS[0], 2, pause_before_sec=1.0), *SCRIPTS[1:]], speak)
    assert len(speak.told) == 3, "nothing is cut out of a damaged file"
    workshop.build(SCRIPTS, verify=True)
    assert workshop.store.get(key) == good


def test_another_aligner_aligns_again_without_speaking(workshop: Workshop) -> None:
    workshop.build(SCRIPTS)
    workshop.aligner.revision = "other"  # type: ignore[misc]
    speak = Beeper()
    manifest = workshop.build(SCRIPTS, speak)
    assert speak.told == []
    assert {row.aligner for row in manifest.rows} == {"approximate other"}


def test_another_recording_of_a_voice_or_another_level_speaks_again() -> None:
    def prints(maker: Maker, settings: MoshiSettings) -> tuple[str, ...]:
        return plan_batch(PARTITION, SCRIPTS, None, maker, settings).dialogues[0].fingerprints

    plain = prints(Maker("beep", "1", "a"), MoshiSettings())
    assert prints(Maker("beep", "1", "b"), MoshiSettings(gap_median_sec=0.3, legacy_io=True)) == plain
    recorded = prints(Maker("beep", "1", "a", {"heart": "1234"}), MoshiSettings())
    assert [a == b for a, b in zip(plain, recorded, strict=True)] == [True, False, True]
    felt = [changed(SCRIPTS[0], 0, emotion="sad.wav"), *SCRIPTS[1:]]
    sad, sadder = (
        plan_batch(PARTITION, felt, None, Maker("beep", "1", "a", {}, {"sad.wav": data}), MoshiSettings()).dialogues[0]
        for data in ("1", "2")
    )
    assert [a == b for a, b in zip(sad.fingerprints, sadder.fingerprints, strict=True)] == [False, True, True]
    louder = prints(Maker("beep", "1", "a"), MoshiSettings(user_level_dbfs=-20))
    assert [a == b for a, b in zip(plain, louder, strict=True)] == [False, True, False]
    assert not set(plain) & set(prints(Maker("beep", "2", "a"), MoshiSettings()))


def test_the_legacy_layout_begins_on_both_channels_at_once(workshop: Workshop) -> None:
    manifest = workshop.build(SCRIPTS, settings=MoshiSettings(legacy_io=True))
    sound(workshop, manifest)
    assert [row.start_sample for row in manifest.kept()[2][1]] == [0, 0]


def test_too_much_text_for_its_time_is_flagged(workshop: Workshop) -> None:
    class Hasty(Beeper):
        def __call__(self, asked: Any) -> Any:
            for where, utterance in asked:
                speech = beep(Utterance("x"))
                yield where, dataclasses.replace(speech, audio=speech.audio[:8_000])
                assert utterance

    manifest = workshop.build([dialogue("a", "One.", "word " * 12)], Hasty())
    assert [row.dense for row in manifest.rows] == [False, True]


def test_two_dialogues_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one dialogue 'one'"):
        plan_batch(PARTITION, [SCRIPTS[0], SCRIPTS[0]], None, Maker("beep", "1", "a"), MoshiSettings())


def test_the_manifest_reads_back_as_it_was_written(workshop: Workshop) -> None:
    manifest = workshop.build([*SCRIPTS, BadLine(9, "bad_json", "line 9: not JSON")])
    assert read_shards(workshop.store, PARTITION) == manifest
    assert ShardManifest.from_bytes(manifest.to_bytes()).data_version == manifest.data_version
    assert words_json(manifest.rows[0].spoken_words()) == manifest.rows[0].words
    workshop.store.put("moshi/dialogues/batch-0001/_manifest.parquet", b"?")
    assert read_shards(workshop.store, PARTITION) is None


def test_a_sidecar_of_nothing_is_still_one() -> None:
    assert json.loads(sidecar_bytes([])) == {"alignments": []}


def test_a_bucket_gets_the_same_bytes_as_a_folder(workshop: Workshop, s3_server: S3Server) -> None:
    workshop.build(SCRIPTS)
    expected = workshop.files()
    workshop.store = Store(s3_server.new_bucket() + "/work", s3_server.access())
    edited = [changed(SCRIPTS[0], 1, text="It is late."), *SCRIPTS[1:], dialogue("four", "Who?", "Me.")]
    workshop.build(edited)
    speak = Beeper()
    sound(workshop, workshop.build(SCRIPTS, speak))
    assert speak.told == ["It is on time today."]
    there = {item.key: workshop.store.get(item.key) for item in workshop.store.listing("moshi")}
    assert there == {f"moshi/{name}": data for name, data in expected.items()}
