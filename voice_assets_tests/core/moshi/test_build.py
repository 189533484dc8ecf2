"""Batches of dialogues, spoken by an engine to which a change of voice costs."""

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.moshi.conftest import make_dialogue
from voice_assets_tests.core.tts import fake_indextts
from voice_assets_tests.files import files_below
from voice_core.compute.gpu_lock import read_gpu_holders
from voice_core.layout import stage_prefix
from voice_core.moshi import build
from voice_core.moshi.batch_plan import ModelVersions, plan_batch
from voice_core.moshi.batches import DialogueSource, assign_dialogues
from voice_core.moshi.dialogue_assembly import LEVEL_UNKNOWN
from voice_core.moshi.script import Dialogue, Turn
from voice_core.moshi.shard_manifest import dialogue_partition
from voice_core.moshi.synthesis_types import SPOKEN, TurnIndex, UtteranceIndex
from voice_core.moshi.voice_checks import hash_recordings
from voice_core.recognition.aligners import ApproximateAligner
from voice_core.settings import MoshiSettings, Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions
from voice_core.synthesis.speech_cache import SpeechCache
from voice_core.synthesis.types import Backend
from voice_core.synthesis.voice_levels import SENTENCES, CalibrationSentence, VoiceLevels
from voice_core.tts.indextts2 import IndexTTS2Engine

every_backend = pytest.mark.parametrize("backend", ["serial", "thread", "process"])


class IndexTts2Build:
    """Two recorded voices, scripts for them, and what the package was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._notes = fake_indextts.install_everywhere(monkeypatch, folder)
        voices = {name: str(folder / f"{name}.wav") for name in ("anna", "ben")}
        for name, path in voices.items():
            Path(path).write_bytes(name.encode())
        self.settings = Settings.load(
            speech={"engine": "indextts2"},
            indextts2={"model_dir": str(fake_indextts.checkpoint(folder / "weights")), "voices": voices},
            moshi={"assistant_voice": "anna", "user_voice": "ben", "aligner": "approximate"},
            workers=1,
        )
        self.work = Store((folder / "work").as_uri(), create=True)

    def write_batches(self, dialogues: list[Dialogue], most: int = 200) -> list[Any]:
        return assign_dialogues(self.work, "dialogues", dialogues, most, DialogueSource("test")).partitions

    def speak(self, backend: Backend = "serial", number: int = 1) -> build.ShardReport:
        options = SynthesisOptions(backend, workers=1)
        return build.build_shards(self.work, dialogue_partition("dialogues", number), self.settings, options)

    def notes(self, what: str) -> list[str]:
        """Since the last time."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [line.split(" ", 2)[-1] for line in lines if line.split(" ")[1] == what]

    def forget(self) -> None:
        self._notes.unlink()

    def files(self, folder: str) -> dict[str, bytes]:
        return files_below(self.folder / "work" / folder)


@pytest.fixture
def indextts2_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IndexTts2Build:
    return IndexTts2Build(tmp_path, monkeypatch)


def with_moshi(settings: Settings, changes: dict[str, Any]) -> Settings:
    return settings.model_copy(update={"moshi": MoshiSettings(**{**settings.moshi.model_dump(), **changes})})


def talks(count: int) -> list[Dialogue]:
    return [
        make_dialogue(f"d{number}", f"Is it {number}?", "It is.", f"Not {number + 1}?", "No.")
        for number in range(count)
    ]


@every_backend
def test_each_voice_of_a_batch_is_computed_once(indextts2_build: IndexTts2Build, backend: Backend) -> None:
    indextts2_build.write_batches(talks(40))
    report = indextts2_build.speak(backend)
    assert (report.spoken, report.voices_measured) == (160, 2)
    assert len(indextts2_build.notes("text")) == report.stats.utterances == report.stats.total == 160 + 2 * 3
    assert sorted(indextts2_build.notes("voice")) == ["anna", "ben"]
    assert report.stats.voice_switches == 2
    assert len(indextts2_build.notes("made")) == 1
    assert indextts2_build.files("moshi_spoken") == {}


@every_backend
def test_the_engine_is_loaded_once_for_all_batches_and_continues_with_its_voice(
    indextts2_build: IndexTts2Build, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = str(tmp_path / "locks")
    monkeypatch.setattr("voice_core.tts.indextts2.engine._gpus", lambda _: {"GPU-0": "cpu"})
    holding: list[bool] = []
    build_shards = build.build_shards

    def looking(*given: Any, **named: Any) -> Any:
        report = build_shards(*given, **named)
        holding.append(read_gpu_holders(locks)["GPU-0"] is not None)
        return report

    monkeypatch.setattr(build, "build_shards", looking)
    lines = [f'{{"id": "d{n}", "user": "Is it {n}?", "assistant": "It is."}}\n' for n in range(9)]
    (tmp_path / "talks.jsonl").write_text("".join(lines))
    settings = Settings(**{**indextts2_build.settings.model_dump(), "gpu_lock_dir": locks})
    settings = with_moshi(settings, {"batch_dialogues": 3})
    report = build.build(
        Store(tmp_path.as_uri()),
        indextts2_build.work,
        settings,
        SynthesisOptions(backend, workers=1),
        only=("talks.jsonl",),
    )
    assert (report.failures, report.spoken, report.lists.rows) == ({}, 18, 9)
    assert report.voices_measured == 2, "by the first batch, for all"
    assert len(indextts2_build.notes("made")) == 1
    assert indextts2_build.notes("voice") in (["anna", "ben", "anna", "ben"], ["ben", "anna", "ben", "anna"])
    assert holding == [True, True, True]
    assert read_gpu_holders(locks) == {"GPU-0": None}


def test_memory_holds_no_batch_though_no_dialogue_is_complete_before_it_is_half_done(
    indextts2_build: IndexTts2Build,
) -> None:
    text = "This is a rather long sentence that takes its time to be said in full"
    script = [make_dialogue(f"d{number}", f"{text} {number}.", f"{text} again.") for number in range(60)]
    indextts2_build.write_batches(script[:1])
    indextts2_build.speak()  # which imports much
    indextts2_build.write_batches(script)
    tracemalloc.start()
    report = indextts2_build.speak()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    spoken = report.stats.speech_sec * 22_050 * 4
    assert spoken > 30e6
    assert peak < spoken / 3


@pytest.mark.parametrize("spoken", [1, 4, 12, 15])  # amid the sentences that measure a voice, and after them
def test_nothing_that_was_spoken_before_an_interruption_is_spoken_again(
    indextts2_build: IndexTts2Build, spoken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indextts2_build.write_batches(talks(5))
    speak, left = IndexTTS2Engine.speak, spoken + 1

    def interrupted(engine: IndexTTS2Engine, utterance: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return speak(engine, utterance)

    monkeypatch.setattr(IndexTTS2Engine, "speak", interrupted)
    with pytest.raises(KeyboardInterrupt):
        indextts2_build.speak()
    assert len(indextts2_build.files("moshi_spoken")) == spoken
    assert len(indextts2_build.files("moshi_voices")) == (spoken > 3) + (spoken > 15)
    indextts2_build.speak()
    told = Counter(indextts2_build.notes("text"))
    assert [told.pop(sentence) for sentence in SENTENCES["en"]] == [2, 2, 2], "each voice once"
    assert set(told.values()) == {1, 5}  # "It is." and "No." are in each of five
    assert told.total() == 20
    assert indextts2_build.files("moshi_spoken") == {}
    (tmp_path / "afresh").mkdir()
    afresh = IndexTts2Build(tmp_path / "afresh", monkeypatch)
    afresh.write_batches(talks(5))
    afresh.speak()
    assert indextts2_build.files("moshi") == afresh.files("moshi")
    assert indextts2_build.files("moshi_voices") == afresh.files("moshi_voices")


def test_what_was_spoken_for_voices_that_cannot_be_measured_is_kept(indextts2_build: IndexTts2Build) -> None:
    indextts2_build.write_batches(talks(3))
    hard = {"level_text": "Bite your tongue."}
    indextts2_build.settings, plain = with_moshi(indextts2_build.settings, hard), indextts2_build.settings
    report = indextts2_build.speak()
    assert (report.spoken, report.voices_measured) == (12, 0)
    assert report.manifest.rejects() == {LEVEL_UNKNOWN: 12}
    assert len(indextts2_build.files("moshi_spoken")) == 12
    indextts2_build.forget()
    assert indextts2_build.speak().spoken == 0
    assert set(indextts2_build.notes("text")) == {"Bite your tongue."}
    indextts2_build.settings = plain
    indextts2_build.forget()
    assert len(indextts2_build.speak().manifest.kept()) == 3
    assert sorted(indextts2_build.notes("text")) == sorted(2 * SENTENCES["en"])
    assert indextts2_build.files("moshi_spoken") == {}


def test_no_dialogue_waits_in_memory_for_a_level(indextts2_build: IndexTts2Build) -> None:
    """All is spoken, and then levels are to be measured: dialogues stay on disk until those of their voices are."""
    partition, moshi = dialogue_partition("dialogues", 1), indextts2_build.settings.moshi
    engine = IndexTTS2Engine(indextts2_build.settings.indextts2)
    items = [*talks(9), Dialogue("alone", (Turn("user", "Is it I?", "ben"), Turn("assistant", "It is I.", "ben")))]
    maker = ModelVersions.from_models(engine, ApproximateAligner(), *hash_recordings(engine, items, moshi))
    plan = plan_batch(partition, items, None, maker, moshi)
    cache = SpeechCache(indextts2_build.work, stage_prefix(SPOKEN, partition), maker.speech_source)
    requested: list[UtteranceIndex] = []

    def say(asked: Any) -> Any:
        for where, utterance in asked:
            requested.append(where)
            yield where, engine.speak(utterance)

    turns = plan.to_speak()
    assert len([*cache.speak_missing(turns, say)]) == len(requested) == 38
    levels = VoiceLevels(indextts2_build.work, plan.to_calibrate()).missing_utterances
    requested.clear()
    said = [(len(requested), where) for where, _ in cache.speak_missing([*levels, *turns], say)]
    voices = (3, "ben"), (6, "anna")
    sentences = [(count, CalibrationSentence(voice, number)) for count, voice in voices for number in range(3)]
    assert said[:5] == [*sentences[:3], (3, TurnIndex(9, 0)), (3, TurnIndex(9, 1))], "ben's come first"
    assert said[5:8] == sentences[3:]
    assert [where for at, where in said[8:] if at == 6] == [where for where, _ in turns[:-2]]


def test_of_a_dialogue_that_failed_only_what_failed_is_spoken_again(indextts2_build: IndexTts2Build) -> None:
    indextts2_build.write_batches([*talks(3), make_dialogue("bad", "Are you there?", "Bite your tongue")])
    assert len(indextts2_build.speak().manifest.kept()) == 3
    assert len(indextts2_build.files("moshi_spoken")) == 1
    indextts2_build.forget()
    again = indextts2_build.speak()
    assert indextts2_build.notes("text") == ["Bite your tongue"]
    assert (again.stats.utterances, again.stats.failures) == (0, 1)
    indextts2_build.write_batches(talks(3))
    indextts2_build.speak()
    assert indextts2_build.files("moshi_spoken") == {}


def test_corrupt_speech_of_an_interrupted_run_is_removed_and_reported(indextts2_build: IndexTts2Build) -> None:
    indextts2_build.write_batches([make_dialogue("bad", "Are you there?", "Bite your tongue")])
    indextts2_build.speak()
    [name] = indextts2_build.files("moshi_spoken")
    (indextts2_build.folder / "work" / "moshi_spoken" / name).write_bytes(b"?")
    with pytest.raises(ValueError, match="was corrupt and is removed: run the same command again"):
        indextts2_build.speak()
    indextts2_build.speak()
    assert len(indextts2_build.files("moshi_spoken")) == 1


def test_another_recording_is_spoken_again(indextts2_build: IndexTts2Build) -> None:
    indextts2_build.write_batches([make_dialogue("bad", "Are you there?", "Bite your tongue")])
    indextts2_build.speak()
    (indextts2_build.folder / "ben.wav").write_bytes(b"ben, hoarse")
    indextts2_build.forget()
    indextts2_build.speak()
    assert "Are you there?" in indextts2_build.notes("text")


@pytest.mark.parametrize(
    ("cores", "backend", "workers", "beside"),
    [
        (1, "auto", 0, 1),
        (2, "auto", 0, 2),
        (4, "auto", 0, 2),
        (16, "auto", 0, 8),
        (16, "auto", 3, 3),
        (16, "serial", 0, 1),
    ],
)
def test_half_of_the_cores_align_and_mix_by_default(
    cores: int, backend: Backend, workers: int, beside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "physical_cores", lambda: cores)
    studio = build.open_engine_pool(Settings(workers=workers), SynthesisOptions(backend))
    assert studio.options.postprocess_workers == beside
    assert (
        build.open_engine_pool(Settings(), SynthesisOptions(backend, postprocess_workers=7)).options.postprocess_workers
        == 7
    )
