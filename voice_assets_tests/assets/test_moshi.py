"""Dialogue scripts through Dagster: the sensor, the assets, and what the trainer's own reader makes of the result."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import soundfile

from resources.corpus import CorpusResource
from voice_assets.definitions import build_definitions
from voice_assets.defs.moshi.sensors import DIALOGUE_INBOX
from voice_assets.inbox import inbox_sensor
from voice_core.settings import Settings


class MoshiPipeline:
    """A folder of scripts, a work root, and the definitions over them."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.scripts, self.work, self.instance = folder / "scripts", folder / "work", instance
        self.scripts.mkdir()
        self.cursor: str | None = None
        self.run_keys: list[str | None] = []

    def write(self, file: str, *dialogues: object) -> None:
        text = "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in dialogues)
        (self.scripts / file).write_text(text, "utf-8")

    def ticks(self) -> list[str]:
        """The batches that it asks for when files have come to rest: two looks show the same."""
        return self.tick() + self.tick()

    def tick(self) -> list[str]:
        """The batches that the sensor asks for."""
        settings = Settings.load()
        sensor = inbox_sensor(DIALOGUE_INBOX, settings, dg.DefaultSensorStatus.STOPPED)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"corpus": CorpusResource()}
        ) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        requests = result.run_requests or []
        self.run_keys += [request.run_key for request in requests]
        return [request.partition_key or "" for request in requests]

    def speak(self, partition: str) -> dg.ExecuteInProcessResult:
        job = build_definitions(Settings.load()).resolve_job_def("speak_dialogues")
        return job.execute_in_process(instance=self.instance, partition_key=partition, raise_on_error=False)

    def finish(self) -> dg.ExecuteInProcessResult:
        job = build_definitions(Settings.load()).resolve_job_def("finish_moshi")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)


@pytest.fixture
def moshi_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MoshiPipeline]:
    monkeypatch.setenv("VOICE_MOSHI__SCRIPTS_URL", str(tmp_path / "scripts"))
    monkeypatch.setenv("VOICE_WORK_URL", str(tmp_path / "work"))
    monkeypatch.setenv("VOICE_MOSHI__BATCH_DIALOGUES", "2")
    monkeypatch.setenv("VOICE_MOSHI__RECOGNISER", "none")  # which takes seconds to load
    with dg.instance_for_test() as instance:
        yield MoshiPipeline(tmp_path, instance)


def talk(name: str, answer: str = "It came in this morning.") -> dict[str, object]:
    turns = [
        {"role": "user", "text": "Is the boat back in the harbour?"},
        {"role": "assistant", "text": answer},
        {"role": "user", "text": "Good, thank you."},
    ]
    return {"id": name, "turns": turns}


def metadata(result: dg.ExecuteInProcessResult, what: str) -> Any:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey("moshi_shards")]
    return event.materialization.metadata[what]


def spoken(result: dg.ExecuteInProcessResult) -> int:
    return int(metadata(result, "utterances_spoken").value)


def test_scripts_become_shards_and_a_changed_turn_is_the_only_one_spoken_again(moshi_pipeline: MoshiPipeline) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"), '{"id": "broken"', talk("two"), talk("three"))
    assert moshi_pipeline.ticks() == ["dialogues/batch-0001", "dialogues/batch-0002"]
    assert moshi_pipeline.ticks() == []
    results = [moshi_pipeline.speak(key) for key in ("dialogues/batch-0001", "dialogues/batch-0002")]
    assert [spoken(result) for result in results] == [6, 3]
    assert [metadata(result, "voices_measured").value for result in results] == [2, 0]
    voices = [record.data for record in metadata(results[0], "voice_levels").records]
    assert [(item["role"], item["voice"], item["turns"]) for item in voices] == [
        ("user", "heart-low", 4),
        ("assistant", "heart", 2),
    ]
    assert all(abs(item["mean_level_dbfs"] + 23.0) < 2.0 for item in voices)
    assert {item["held_back_by_peak_limit"] for item in voices} == {0}
    failed = {check.check_name for check in results[0].get_asset_check_evaluations() if not check.passed}
    assert failed == {"lines_are_dialogues", "nothing_rejected"}  # the broken line, twice told, as warnings
    assert moshi_pipeline.finish().success
    folder = moshi_pipeline.work / "moshi" / "dialogues"
    lines = [json.loads(line) for line in (folder / "dialogues.jsonl").read_text("utf-8").splitlines()]
    assert [set(line) for line in lines] == [{"path", "duration"}] * 3
    for line in lines:
        info = soundfile.info(folder / line["path"])
        assert (info.channels, info.samplerate, info.frames / info.samplerate) == (2, 24_000, line["duration"])

    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.wav"))}
    moshi_pipeline.write("a.jsonl", talk("one"), '{"id": "broken"', talk("two", "Not yet, I am afraid."), talk("three"))
    assert moshi_pipeline.ticks() == ["dialogues/batch-0001"]
    assert spoken(moshi_pipeline.speak("dialogues/batch-0001")) == 1
    changed = [path.name for path, data in before.items() if path.read_bytes() != data]
    assert changed == ["two.wav"]


def test_the_speech_is_checked_by_a_recogniser(moshi_pipeline: MoshiPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_MOSHI__RECOGNISER", "pocketsphinx")
    moshi_pipeline.write("a.jsonl", talk("one"))
    [key] = moshi_pipeline.ticks()
    said = {}
    for engine in ("hibari", "noise"):
        monkeypatch.setenv("VOICE_SPEECH__ENGINE", engine)
        checks = moshi_pipeline.speak(key).get_asset_check_evaluations()
        [said[engine]] = [check for check in checks if check.check_name == "speech_says_its_text"]
    assert (said["hibari"].passed, said["noise"].passed) == (True, False)
    assert "turn 1: 'Is the boat back in the harbour?' was recognised as" in (said["noise"].description or "")


def test_the_sensor_requests_no_more_than_the_limit_of_a_tick_and_continues_with_the_next(
    moshi_pipeline: MoshiPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_AUTOMATION__MAX_RUNS_PER_TICK", "2")
    moshi_pipeline.write("a.jsonl", *(talk(f"d{number}") for number in range(6)))
    assert moshi_pipeline.ticks() == ["dialogues/batch-0001", "dialogues/batch-0002"]
    assert moshi_pipeline.tick() == ["dialogues/batch-0003"]
    assert moshi_pipeline.tick() == []


def test_a_file_that_is_still_being_copied_is_not_assigned(moshi_pipeline: MoshiPipeline) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"))
    assert moshi_pipeline.tick() == []
    moshi_pipeline.write("a.jsonl", talk("one"), talk("two"))
    assert moshi_pipeline.tick() == []
    assert not (moshi_pipeline.work / "dialogues").exists()
    assert moshi_pipeline.tick() == ["dialogues/batch-0001"]


def test_a_file_that_is_edited_and_restored_is_requested_both_times(moshi_pipeline: MoshiPipeline) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"))
    [key] = moshi_pipeline.ticks()
    moshi_pipeline.speak(key)
    path = moshi_pipeline.work / "moshi" / "dialogues" / "batch-0001" / "one.wav"
    first = path.read_bytes()
    for answer in ("Not yet.", "It came in this morning."):
        moshi_pipeline.write("a.jsonl", talk("one", answer))
        assert moshi_pipeline.ticks() == [key]
        moshi_pipeline.speak(key)
    assert path.read_bytes() == first
    assert len(set(moshi_pipeline.run_keys)) == 3, "Dagster passes over a request whose key it knows"
    moshi_pipeline.write("a.jsonl", talk("one", "Not yet."))
    assert moshi_pipeline.ticks() == [key]
    moshi_pipeline.write("a.jsonl", talk("one"))  # before that was spoken
    assert moshi_pipeline.ticks() == []
    moshi_pipeline.speak(key)
    assert moshi_pipeline.ticks() == []


def test_a_run_that_failed_is_requested_again_at_growing_intervals(
    moshi_pipeline: MoshiPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"))
    [key] = moshi_pipeline.ticks()
    now = time.time()
    monkeypatch.setenv("VOICE_SPEECH__ENGINE", "indextts2")  # of which there are no weights
    assert not moshi_pipeline.speak(key).success
    for minutes, asked in ((1, []), (16, [key]), (17, []), (16 + 31, [key])):
        clock = SimpleNamespace(time=lambda at=now + 60 * minutes: at)
        monkeypatch.setattr("voice_assets.inbox.time", clock)
        assert moshi_pipeline.tick() == asked, minutes
    assert len(set(moshi_pipeline.run_keys)) == 3


def test_a_batch_that_is_in_a_run_is_not_requested(moshi_pipeline: MoshiPipeline) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"), talk("two"), talk("three"))
    moshi_pipeline.instance.add_dynamic_partitions("dialogue_batch", ["dialogues/batch-0001"])
    tags = {"dagster/partition": "dialogues/batch-0001"}
    moshi_pipeline.instance.add_run(
        dg.DagsterRun(job_name="speak_dialogues", run_id="1" * 8, status=dg.DagsterRunStatus.STARTED, tags=tags)
    )
    assert moshi_pipeline.ticks() == ["dialogues/batch-0002"]


def test_a_batch_of_recordings_with_the_same_key_does_not_count(moshi_pipeline: MoshiPipeline) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"))
    tags = {"dagster/partition": "dialogues/batch-0001"}
    moshi_pipeline.instance.add_run(
        dg.DagsterRun(job_name="ingest_batch", status=dg.DagsterRunStatus.STARTED, tags=tags)
    )
    assert moshi_pipeline.ticks() == ["dialogues/batch-0001"]


def test_a_batch_that_is_left_out_of_the_lists_fails_a_check(moshi_pipeline: MoshiPipeline) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"), talk("two"), talk("three"))
    first, _ = moshi_pipeline.ticks()
    moshi_pipeline.speak(first)
    failed = [check for check in moshi_pipeline.finish().get_asset_check_evaluations() if not check.passed]
    assert [(check.check_name, check.severity) for check in failed] == [
        ("batches_are_finished", dg.AssetCheckSeverity.WARN)
    ]
    assert "dialogues/batch-0002 is not finished" in (failed[0].description or "")


def test_a_corrupt_file_fails_the_check_and_verify_repairs_it(moshi_pipeline: MoshiPipeline) -> None:
    moshi_pipeline.write("a.jsonl", talk("one"))
    [key] = moshi_pipeline.ticks()
    moshi_pipeline.speak(key)
    path = moshi_pipeline.work / "moshi" / "dialogues" / "batch-0001" / "one.wav"
    good = path.read_bytes()
    middle = len(good) // 2
    path.write_bytes(good[:middle] + b"\x55" * 100 + good[middle + 100 :])
    result = moshi_pipeline.speak(key)
    assert "files_are_sound" in {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    job = build_definitions(Settings.load()).resolve_job_def("speak_dialogues")
    config = {"ops": {"moshi_shards": {"config": {"verify": True}}}}
    assert job.execute_in_process(instance=moshi_pipeline.instance, partition_key=key, run_config=config).success
    assert path.read_bytes() == good
