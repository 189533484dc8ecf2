"""A voice has one gain: two voices come out equally loud, and what one of them says softly stays softer."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.moshi.conftest import (
    FAILING_TEXT,
    PARTITION,
    SILENT_TEXT,
    FakeSpeaker,
    ShardBuilder,
    make_dialogue,
)
from voice_assets_tests.core.moshi.fake_engine import FakeEngineSpec
from voice_core.moshi.batch_plan import ModelVersions, plan_batch
from voice_core.moshi.batches import DialogueSource, assign_dialogues
from voice_core.moshi.build import ShardReport, build_shards
from voice_core.moshi.checks import dialogues_add_up, files_are_sound
from voice_core.moshi.dialogue_assembly import LEVEL_UNKNOWN
from voice_core.moshi.script import Dialogue, Turn
from voice_core.moshi.shard_manifest import TurnRow, dialogue_partition
from voice_core.moshi.synthesis_types import TurnIndex
from voice_core.settings import MoshiSettings, Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisFailure, SynthesisOptions
from voice_core.synthesis.types import Backend
from voice_core.synthesis.voice_levels import SENTENCES, Calibration, read_level, store_level

SCRIPTS = [
    make_dialogue("one", "Is the ferry late?", "It is on time today.", "Good."),
    make_dialogue("two", "Are you there?", "Yes."),
]
LOUDNESS = ("near", "far")


class LevelsBuild:
    """A work root, and the choir that sings in it; the user is 12 dB farther away than the assistant."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.work = Store((folder / "work").as_uri(), create=True)
        voices = {"assistant_voice": "near", "user_voice": "far"}
        self.settings = Settings.load(moshi={**voices, "aligner": "approximate"}, workers=1)

    def write_batches(self, dialogues: list[Dialogue], most: int = 200) -> None:
        assign_dialogues(self.work, "dialogues", dialogues, most, DialogueSource("test"))

    def build(self, number: int = 1, backend: Backend = "serial", **options: Any) -> ShardReport:
        engine = FakeEngineSpec("choir", {"folder": str(self.folder), **options}, 0.1, thread_safe=True)
        how = SynthesisOptions(backend, workers=1 if backend == "serial" else 2)
        return build_shards(self.work, dialogue_partition("dialogues", number), self.settings, how, engine)

    def notes(self) -> list[str]:
        """Since the last time."""
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def files(self) -> dict[str, bytes]:
        root = self.folder / "work"
        paths = [path for path in root.rglob("*") if path.is_file() and "locks" not in path.parts]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def levels_build(tmp_path: Path) -> LevelsBuild:
    return LevelsBuild(tmp_path / "hall")


def talk(name: str, *emotions: str) -> Dialogue:
    """The user begins."""
    roles = ("user", "assistant")
    texts = ("Is the ferry late again?", "It is on time today.", "Good, then I will wait here.", "Mind the gulls.")
    turns = [
        Turn(roles[at % 2], f"{text} {name}", emotion=emotion)  # type: ignore[arg-type]
        for at, (text, emotion) in enumerate(zip(texts, emotions or ("",) * 4, strict=True))
    ]
    return Dialogue(name, tuple(turns))


def mean_level(rows: list[TurnRow]) -> float:
    return sum(row.level_dbfs or 0.0 for row in rows) / len(rows)


def test_voices_come_out_equally_loud_and_soft_utterances_stay_softer(levels_build: LevelsBuild) -> None:
    levels_build.write_batches([talk(f"d{number}", "", "", "soft", "soft") for number in range(8)])
    report = levels_build.build()
    assert (report.spoken, report.voices_measured, report.stats.total) == (32, 2, 32 + 2 * 3)
    rows = [row for row in report.manifest.rows if row.kept]
    plain, soft = (
        {voice: mean_level([row for row in rows if (row.emotion, row.voice) == (felt, voice)]) for voice in LOUDNESS}
        for felt in ("", "soft")
    )
    for voice in LOUDNESS:
        assert plain[voice] == pytest.approx(-23.0, abs=0.7)
        assert plain[voice] - soft[voice] == pytest.approx(9.0, abs=0.7)
    assert plain["near"] == pytest.approx(plain["far"], abs=1.0)
    assert soft["near"] == pytest.approx(soft["far"], abs=1.0)
    told = [(item.role, item.voice, item.turns, item.peak_limited) for item in report.manifest.voices()]
    assert told == [("assistant", "near", 16, 0), ("user", "far", 16, 0)]
    assert report.manifest.voices()[0].mean_level_dbfs == pytest.approx(-27.5, abs=0.7)


def test_utterances_that_the_peak_limit_attenuates_are_counted_and_keep_their_length(levels_build: LevelsBuild) -> None:
    levels_build.write_batches([talk("d", "", "", "sudden", "soft")])
    report = levels_build.build()
    assert [row.peak_limited for row in report.manifest.rows] == [False, False, True, False]
    assert files_are_sound(levels_build.work, report.manifest).passed
    assert {item.voice: item.peak_limited for item in report.manifest.voices()} == {"near": 0, "far": 1}
    levels_build.write_batches([talk("d", "", "", "sudden", "")])
    assert [row.peak_limited for row in levels_build.build().manifest.rows] == [False, False, True, False], (
        "cut back or not"
    )


def test_backends_and_the_order_of_batches_change_nothing(tmp_path: Path) -> None:
    made = []
    for backend, order in (("serial", (1, 2, 3)), ("thread", (3, 1, 2)), ("process", (2, 3, 1))):
        levels_build = LevelsBuild(tmp_path / backend)
        levels_build.write_batches([talk(f"d{number}", "", "sudden", "soft", "") for number in range(9)], most=3)
        assert [levels_build.build(number, backend).voices_measured for number in order] == [2, 0, 0]  # type: ignore[arg-type]
        made.append(levels_build.files())
    assert len([key for key in made[0] if key.startswith("moshi_voices/")]) == 2
    assert made[0] == made[1] == made[2]


def test_the_stored_level_names_its_voice(levels_build: LevelsBuild) -> None:
    levels_build.write_batches([talk("d")])
    levels_build.build()
    for key, data in levels_build.files().items():
        if key.startswith("moshi_voices/"):
            about = json.loads(data)
            level = about.pop("level_dbfs")
            assert round(level, 2) == level
            assert about.pop("voice") in LOUDNESS
            assert about == {
                "engine": "choir",
                "revision": "1",
                "recording": "",
                "language": "en",
                "sentences": list(SENTENCES["en"]),
                "sentences_measured": 3,
                "version": 1,
            }


def test_a_changed_turn_is_all_that_is_spoken(levels_build: LevelsBuild) -> None:
    levels_build.write_batches([talk("a"), talk("b")])
    levels_build.build()
    levels_build.notes()
    edited = talk("b")
    levels_build.write_batches([talk("a"), Dialogue("b", (*edited.turns[:3], Turn("assistant", "Mind the seals.")))])
    report = levels_build.build()
    assert levels_build.notes() == ["near: Mind the seals."]
    assert (report.spoken, report.voices_measured) == (1, 0)


def test_where_nothing_is_spoken_nothing_is_measured(shard_builder: ShardBuilder) -> None:
    shard_builder.build(SCRIPTS)
    shard_builder.store.delete([f"moshi_voices/{name}" for name in shard_builder.voices()])
    for items in (SCRIPTS, SCRIPTS[:1], [dataclasses.replace(SCRIPTS[0], turns=SCRIPTS[0].turns[:2])]):
        speak = FakeSpeaker()
        shard_builder.build(items, speak)
        assert speak.spoken_texts == speak.measured_voices == []
    assert shard_builder.voices() == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_killed_once_voices_are_measured_does_not_measure_them_again(
    shard_builder: ShardBuilder, tmp_path: Path, workers: int
) -> None:
    first = FakeSpeaker(interrupt_after=0)
    with pytest.raises(KeyboardInterrupt):
        shard_builder.build(SCRIPTS, first, workers=workers)
    assert first.measured_voices == ["heart-low"] * 3 + ["heart"] * 3
    rest = FakeSpeaker()
    shard_builder.build(SCRIPTS, rest, workers=workers)
    assert rest.measured_voices == []
    afresh = ShardBuilder(tmp_path / "afresh")
    afresh.build(SCRIPTS)
    assert (shard_builder.files(), shard_builder.voices()) == (afresh.files(), afresh.voices())


@pytest.mark.parametrize("corrupt", [b"", b"{", b"[]", b"3", b'{"level_dbfs": "x"}', b'{"level_dbfs": NaN}', b"\xff"])
def test_a_level_that_cannot_be_read_is_measured_again(shard_builder: ShardBuilder, corrupt: bytes) -> None:
    shard_builder.build(SCRIPTS)
    before = shard_builder.voices()
    for name in before:
        shard_builder.store.put(f"moshi_voices/{name}", corrupt)
    speak = FakeSpeaker()
    shard_builder.build([*SCRIPTS, make_dialogue("three", "Who?", "Me.")], speak)
    assert (speak.spoken_texts, len(speak.measured_voices)) == (["Who?", "Me."], 6)
    assert shard_builder.voices() == before


def test_of_two_that_measure_a_voice_at_once_the_first_counts(shard_builder: ShardBuilder) -> None:
    voice = Calibration("beep", "1", "heart", "", "en", SENTENCES["en"])
    assert store_level(shard_builder.store, voice, -20.5, 3) == -20.5
    assert store_level(shard_builder.store, voice, -20.75, 3) == -20.5
    assert read_level(shard_builder.store, voice) == -20.5
    shard_builder.store.put(voice.key, b"?")
    assert store_level(shard_builder.store, voice, -21.0, 3) == -21.0
    assert read_level(shard_builder.store, voice) == -21.0


def test_a_voice_is_spoken_again_after_any_change_of_how_its_level_is_measured() -> None:
    def prints(maker: ModelVersions, **settings: Any) -> tuple[tuple[str, ...], set[str]]:
        plan = plan_batch(PARTITION, SCRIPTS, None, maker, MoshiSettings(**settings))
        return plan.dialogues[0].fingerprints, {item.key for item in plan.calibrations.values()}

    plain = prints(ModelVersions("beep", "1", "a"))
    assert prints(ModelVersions("beep", "1", "b"), seed=0, user_level_dbfs=-23.0) == plain
    assert prints(ModelVersions("beep", "1", "a"), level_text="\n".join(SENTENCES["en"]) + "\n") == plain
    assert prints(ModelVersions("beep", "1", "a"), seed=1)[1] == plain[1], "seeds are fixed"
    for other in (
        prints(ModelVersions("beep", "2", "a")),
        prints(ModelVersions("beep", "1", "a"), language="zh"),
        prints(ModelVersions("beep", "1", "a"), level_text="Hello."),
        prints(ModelVersions("beep", "1", "a", {"heart": "1234", "heart-low": "5678"})),
    ):
        assert not {*other[0], *other[1]} & {*plain[0], *plain[1]}
    recorded = prints(ModelVersions("beep", "1", "a", {"heart": "1234"}))
    assert [a == b for a, b in zip(plain[0], recorded[0], strict=True)] == [True, False, True]


def test_a_voice_that_cannot_be_measured_rejects_only_its_dialogues_and_is_tried_again(
    levels_build: LevelsBuild, tmp_path: Path
) -> None:
    alone = Dialogue("alone", (Turn("user", "Is anybody here?", "near"), Turn("assistant", "Nobody.")))
    levels_build.write_batches([talk("both"), alone])
    manifest = levels_build.build(mute=("far",)).manifest
    assert [name for name, _ in manifest.kept()] == ["alone"]
    assert manifest.rejects() == {LEVEL_UNKNOWN: 2, "other_turn_failed": 2}
    [told] = {row.message for row in manifest.rows if row.reason == LEVEL_UNKNOWN}
    assert told.startswith("the level of the voice 'far' could not be measured: far has no breath for this")
    assert dialogues_add_up(manifest).passed
    levels_build.notes()
    report = levels_build.build()
    assert (len(report.manifest.kept()), report.spoken, report.voices_measured) == (2, 4, 1)
    assert not [line for line in levels_build.notes() if line == f"near: {SENTENCES['en'][0]}"]
    afresh = LevelsBuild(tmp_path / "afresh")
    afresh.write_batches([talk("both"), alone])
    afresh.build()
    assert levels_build.files() == afresh.files()


def test_a_turn_that_fails_by_itself_says_so_though_its_voice_has_no_level(shard_builder: ShardBuilder) -> None:
    class Hoarse(FakeSpeaker):
        def __call__(self, asked: Any) -> Any:
            for where, said in super().__call__(asked):
                yield where, said if isinstance(where, TurnIndex) else SynthesisFailure("failed", "it is hoarse")

    manifest = shard_builder.build(
        [make_dialogue("a", f"It is {FAILING_TEXT}.", f"A {SILENT_TEXT} one.", "Good.")], Hoarse()
    )
    assert [row.reason for row in manifest.rows] == ["speech_failed", "no_speech", LEVEL_UNKNOWN]
    assert shard_builder.voices() == {}


def test_of_sentences_that_fail_in_part_the_others_make_the_level(levels_build: LevelsBuild) -> None:
    levels_build.write_batches([talk("d")])
    assert len(levels_build.build(muffled=("far",)).manifest.kept()) == 1
    stored = [json.loads(data) for key, data in levels_build.files().items() if key.startswith("moshi_voices/")]
    assert {item["voice"]: item["sentences_measured"] for item in stored} == {"near": 3, "far": 2}
    levels_build.write_batches([talk("d"), talk("e")])
    assert levels_build.build().voices_measured == 0
