"""A sensor on a folder of input files, whatever a pipeline makes of them."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from resources.corpus import CorpusResource
from voice_assets.code_location import STEPS, CodeLocation, loading
from voice_assets.inbox import Inbox, InboxPartitions, InboxTick, inbox_definitions, inbox_sensor
from voice_core.settings import Settings

Assign = Callable[[InboxTick], tuple[dict[str, str], str]]


def list_notes(tick: InboxTick) -> tuple[dict[str, str], str]:
    notes = {item.key: item.identity for item in tick.folder.listing()}
    return notes, f"{len(notes)} notes"


def fail(tick: InboxTick) -> tuple[dict[str, str], str]:
    raise ValueError("refused: correct-horse-battery")


def notes_inbox(folder: str, assign: Assign = list_notes) -> Inbox:
    return Inbox(
        sensor="new_notes",
        description="Lists a folder of notes.",
        variable="NOTES_URL",
        url=lambda settings: folder,
        contents="notes",
        noun="note",
        suffixes=(".txt",),
        partitions=InboxPartitions("note", ["notes"], "build_notes", "notes", "notes", lambda event: ""),
        assign=assign,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VOICE_WORK_URL", str(tmp_path / "work"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("A note.")
    return (tmp_path / "notes").as_uri()


def tick(inbox: Inbox, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    sensor = inbox_sensor(inbox, Settings.load(), dg.DefaultSensorStatus.STOPPED)
    resources = {"corpus": CorpusResource()}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        found = sensor(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_a_file_is_requested_once_two_ticks_have_seen_it(folder: str) -> None:
    with dg.instance_for_test() as instance:
        first = tick(notes_inbox(folder), instance)
        assert isinstance(first, dg.SensorResult)
        assert first.run_requests == []
        second = tick(notes_inbox(folder), instance, first.cursor)
        assert isinstance(second, dg.SensorResult)
        assert [request.partition_key for request in second.run_requests or []] == ["a.txt"]
        assert instance.get_dynamic_partitions("note") == ["a.txt"]


def test_without_a_folder_the_sensor_names_the_variable(folder: str) -> None:
    with dg.instance_for_test() as instance:
        found = tick(notes_inbox(""), instance)
    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == "NOTES_URL is not set: there is no folder of notes"


def test_an_error_has_no_secrets(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "correct-horse-battery")
    with dg.instance_for_test() as instance:
        first = tick(notes_inbox(folder, fail), instance)
        assert isinstance(first, dg.SensorResult)
        with pytest.raises(ValueError, match="refused: ") as caught:
            tick(notes_inbox(folder, fail), instance, first.cursor)
    assert "correct-horse-battery" not in str(caught.value)


@pytest.mark.parametrize(("steps", "names"), [(STEPS, ["new_notes"]), (("ingest",), [])])
def test_a_code_location_without_the_step_has_no_sensor(steps: tuple[str, ...], names: list[str]) -> None:
    with loading(CodeLocation(Settings.load(), frozenset(steps))):  # type: ignore[arg-type]  # literals
        found = inbox_definitions(notes_inbox("x"), step="speak")
    assert [sensor.name for sensor in found.sensors or ()] == names
