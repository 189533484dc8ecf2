"""Dialogue scripts through Dagster: the sensor, the assets, and what the trainer's own reader makes of the result."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import soundfile

from resources.corpus import CorpusResource
from voice_assets.definitions import definitions
from voice_assets.defs.moshi.sensors import new_dialogues_sensor
from voice_core.settings import Settings


class Studio:
    """A folder of scripts, a work root, and the definitions over them."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.scripts, self.work, self.instance = folder / "scripts", folder / "work", instance
        self.scripts.mkdir()
        self.cursor: str | None = None

    def write(self, file: str, *dialogues: object) -> None:
        text = "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in dialogues)
        (self.scripts / file).write_text(text, "utf-8")

    def tick(self) -> list[str]:
        """The batches that the sensor asks for."""
        settings = Settings.load()
        sensor = new_dialogues_sensor(settings, dg.DefaultSensorStatus.STOPPED)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"corpus": CorpusResource()}
        ) as context:
            result = sensor(context)
        if isinstance(result, dg.SkipReason):
            return []
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return [request.partition_key or "" for request in result.run_requests or []]

    def speak(self, partition: str) -> dg.ExecuteInProcessResult:
        job = definitions(Settings.load()).resolve_job_def("speak_dialogues")
        return job.execute_in_process(instance=self.instance, partition_key=partition, raise_on_error=False)

    def finish(self) -> dg.ExecuteInProcessResult:
        job = definitions(Settings.load()).resolve_job_def("finish_moshi")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("VOICE_MOSHI__SCRIPTS_URL", str(tmp_path / "scripts"))
    monkeypatch.setenv("VOICE_WORK_URL", str(tmp_path / "work"))
    monkeypatch.setenv("VOICE_MOSHI__BATCH_DIALOGUES", "2")
    with dg.instance_for_test() as instance:
        yield Studio(tmp_path, instance)


def talk(name: str, answer: str = "It came in this morning.") -> dict[str, object]:
    turns = [
        {"role": "user", "text": "Is the boat back in the harbour?"},
        {"role": "assistant", "text": answer},
        {"role": "user", "text": "Good, thank you."},
    ]
    return {"id": name, "turns": turns}


def spoken(result: dg.ExecuteInProcessResult) -> int:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey("moshi_shards")]
    return int(event.materialization.metadata["utterances_spoken"].value)  # type: ignore[arg-type]


def test_scripts_become_shards_and_a_changed_turn_is_the_only_one_spoken_again(studio: Studio) -> None:
    studio.write("a.jsonl", talk("one"), '{"id": "broken"', talk("two"), talk("three"))
    assert studio.tick() == ["dialogues/batch-0001", "dialogues/batch-0002"]
    assert studio.tick() == []
    results = [studio.speak(key) for key in ("dialogues/batch-0001", "dialogues/batch-0002")]
    assert [spoken(result) for result in results] == [6, 3]
    failed = {check.check_name for check in results[0].get_asset_check_evaluations() if not check.passed}
    assert failed == {"lines_are_dialogues", "nothing_rejected"}  # the broken line, twice told, as warnings
    assert studio.finish().success
    folder = studio.work / "moshi" / "dialogues"
    lines = [json.loads(line) for line in (folder / "dialogues.jsonl").read_text("utf-8").splitlines()]
    assert [set(line) for line in lines] == [{"path", "duration"}] * 3
    for line in lines:
        info = soundfile.info(folder / line["path"])
        assert (info.channels, info.samplerate, info.frames / info.samplerate) == (2, 24_000, line["duration"])

    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.wav"))}
    studio.write("a.jsonl", talk("one"), '{"id": "broken"', talk("two", "Not yet, I am afraid."), talk("three"))
    assert studio.tick() == ["dialogues/batch-0001"]
    assert spoken(studio.speak("dialogues/batch-0001")) == 1
    changed = [path.name for path, data in before.items() if path.read_bytes() != data]
    assert changed == ["two.wav"]


def test_the_sensor_asks_for_no_more_than_a_tick_may_and_goes_on_with_the_next(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_AUTOMATION__MAX_RUNS_PER_TICK", "2")
    studio.write("a.jsonl", *(talk(f"d{number}") for number in range(6)))
    assert studio.tick() == ["dialogues/batch-0001", "dialogues/batch-0002"]
    assert studio.tick() == ["dialogues/batch-0003"]
    assert studio.tick() == []


def test_a_file_that_is_spoilt_fails_the_check_and_verify_mends_it(studio: Studio) -> None:
    studio.write("a.jsonl", talk("one"))
    [key] = studio.tick()
    studio.speak(key)
    path = studio.work / "moshi" / "dialogues" / "batch-0001" / "one.wav"
    good = path.read_bytes()
    middle = len(good) // 2
    path.write_bytes(good[:middle] + b"\x55" * 100 + good[middle + 100 :])
    result = studio.speak(key)
    assert "files_are_sound" in {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    job = definitions(Settings.load()).resolve_job_def("speak_dialogues")
    config = {"ops": {"moshi_shards": {"config": {"verify": True}}}}
    assert job.execute_in_process(instance=studio.instance, partition_key=key, run_config=config).success
    assert path.read_bytes() == good
