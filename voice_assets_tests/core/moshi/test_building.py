"""A build over all batches: what is refused before it, and what it leaves when it is broken off."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_core.audio import Pcm16
from voice_core.moshi.aligning import Alignment, ApproximateAligner
from voice_core.moshi.building import build, deal_scripts, read_scripts
from voice_core.moshi.checks import lists_are_sound
from voice_core.moshi.records import ShardManifest, dialogue_partition, read_shards
from voice_core.moshi.script import BadLine, Dialogue
from voice_core.settings import ConfigurationError, MoshiSettings, Settings, SpeechSettings
from voice_core.store import Store
from voice_core.synthesis import SynthesisOptions

KILLS = "deadly"
SERIAL = SynthesisOptions(backend="serial")


class Place:
    """A folder of scripts and a work root."""

    def __init__(self, folder: Path) -> None:
        (folder / "scripts").mkdir()
        self.folder = folder / "scripts"
        self.scripts = Store(self.folder.as_uri())
        self.work = Store((folder / "work").as_uri(), create=True)
        moshi = MoshiSettings(batch_dialogues=2, eval_fraction=0)
        self.settings = Settings(moshi=moshi, speech=SpeechSettings(engine="noise"), workers=2)

    def write(self, file: str, **texts: str) -> None:
        lines = [{"id": name, "user": text, "assistant": f"You said: {text}"} for name, text in texts.items()]
        (self.folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def with_moshi(self, **changes: object) -> Settings:
        return self.settings.model_copy(update={"moshi": self.settings.moshi.model_copy(update=changes)})

    def manifests(self) -> Iterator[ShardManifest]:
        found = (read_shards(self.work, dialogue_partition("dialogues", n)) for n in range(1, 9))
        return (item for item in found if item is not None)

    def files(self) -> dict[str, bytes]:
        return {item.key: self.work.get(item.key) for item in self.work.listing() if not item.key.startswith("locks")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.write("a.jsonl", one="Hello there.", two="What is it?", three="Is it late?", four="Who knows.")
    return made


class Deadly(ApproximateAligner):
    """Its process is killed over a certain text, as one that takes too much memory is."""

    def align(self, pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Alignment:
        if KILLS in text:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().align(pcm, sample_rate_hz, text, language)


def test_a_killed_worker_costs_its_batch_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voice_core.moshi.building.load_aligner", lambda settings: Deadly())
    place.write("a.jsonl", one="Hello.", two=f"A {KILLS} word.", three="Is it late?", four="Who knows.")
    report = build(place.scripts, place.work, place.settings, SynthesisOptions(backend="thread"))
    assert report.failures.keys() == {"dialogues/batch-0001"}
    assert "was killed, most likely for want of memory" in report.failures["dialogues/batch-0001"]
    assert report.lists.rows == 2
    assert report.lists.incomplete == ("dialogues/batch-0001",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"assistant_voice": "haert"}, "moshi.assistant_voice is 'haert'"), ({"aligner": "pocketsphinx"}, "aligner is")],
)
def test_what_would_fail_every_dialogue_is_refused_before_anything_is_touched(
    place: Place, wrong: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pocketsphinx", None)
    build(place.scripts, place.work, place.settings, SERIAL)
    before = place.files()
    settings = place.with_moshi(**wrong).model_copy(update={"speech": SpeechSettings(engine="hibari")})
    place.write("a.jsonl", one="Hello there.", five="Something new.")
    with pytest.raises(ConfigurationError, match=message):
        build(place.scripts, place.work, settings, SERIAL)
    assert place.files() == before


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_lists_of_a_build_that_is_broken_off_name_only_what_is_there(
    place: Place, end: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    from voice_core.moshi import building

    build(place.scripts, place.work, place.settings, SERIAL)
    place.write("a.jsonl", two="What is it?", three="Is it later?", four="Who knows.")  # "one" is removed
    build_shards = building.build_shards

    def broken_off(work: Store, partition: object, *rest: object, **more: object) -> object:
        if str(partition).endswith("2"):
            raise end
        return build_shards(work, partition, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(building, "build_shards", broken_off)
    with pytest.raises(end):
        build(place.scripts, place.work, place.settings, SERIAL)
    assert "moshi/dialogues/batch-0001/one.wav" not in place.files()
    outcome = lists_are_sound(place.work, place.manifests(), place.settings.moshi)
    assert outcome.passed, outcome.message


def test_ids_are_told_apart_over_files_and_a_named_file_is_read_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("b.jsonl", two="Again?", five="Another.")
    found = list(read_scripts(place.scripts))
    assert [item.id for item in found if isinstance(item, Dialogue)] == ["one", "two", "three", "four", "five"]
    [bad] = [item for item in found if isinstance(item, BadLine)]
    assert (bad.reason, bad.line) == ("duplicate_id", 1)
    assert bad.message == "b.jsonl, line 1: the id 'two' stands in a.jsonl, too; ids name files"
    monkeypatch.setattr(Store, "listing", lambda store, prefix="": pytest.fail("it lists the folder"))
    assert [item.id for item in read_scripts(place.scripts, ["b.jsonl"])] == ["two", "five"]
    assert [item.id for item in read_scripts(place.scripts, ["b.jsonl"], most=1)] == ["two"]


def test_a_file_of_a_folder_does_not_take_the_folders_place(place: Place) -> None:
    place.write("b.jsonl", five="Another.")
    deal_scripts(place.scripts, place.work, place.settings)
    with pytest.raises(
        ConfigurationError, match=r"is made of file://.*/scripts, .* those of file://.*/scripts/b.jsonl"
    ):
        deal_scripts(place.scripts, place.work, place.settings, only=("b.jsonl",))
