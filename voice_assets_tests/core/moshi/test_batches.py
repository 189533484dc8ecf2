import json
from pathlib import Path

import pytest

from voice_core.moshi.batches import list_batches, read_bad_lines, read_batch, update_batches
from voice_core.moshi.script import Dialogue, Turn
from voice_core.settings import MoshiSettings
from voice_core.store import Store

SETTINGS = MoshiSettings(name="talks", batch_dialogues=3)


class Scripts:
    """A folder of dialogue files and a work root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "scripts"
        self.folder.mkdir()
        self.scripts = Store(self.folder.as_uri())
        self.work = Store((folder / "work").as_uri(), create=True)

    def write(self, file: str, *lines: object) -> None:
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (self.folder / file).write_text(text, "utf-8")

    def update(self, most: int | None = None):
        return update_batches(self.scripts, self.work, SETTINGS, most=most)

    def ids(self) -> list[list[str]]:
        return [
            [dialogue.id for dialogue in read_batch(self.work, "talks", batch)]
            for batch in list_batches(self.work, "talks")
        ]


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def line(name: str, text: str = "Hello there.") -> dict[str, str]:
    return {"id": name, "user_text": text, "assistant_text": "Good day."}


def test_dialogues_fill_batches_in_the_order_of_the_files(scripts: Scripts) -> None:
    scripts.write("b.jsonl", line("b1"), line("b2"))
    scripts.write("a.jsonl", *(line(f"a{n}") for n in range(5)))
    scripts.write("notes.txt", "not a script")
    found = scripts.update()
    assert scripts.ids() == [["a0", "a1", "a2"], ["a3", "a4", "b1"], ["b2"]]
    assert (found.dialogues, found.new, found.corrected, found.removed, found.bad) == (7, 7, 0, 0, ())
    assert found.batches == found.changed == ("batch-0001", "batch-0002", "batch-0003")
    assert read_batch(scripts.work, "talks", "batch-0003") == [
        Dialogue("b2", (Turn("user", "Hello there."), Turn("assistant", "Good day.")))
    ]


def test_a_second_look_writes_nothing(scripts: Scripts) -> None:
    scripts.write("a.jsonl", *(line(f"a{n}") for n in range(5)))
    scripts.update()
    assert scripts.update().changed == ()


def test_one_corrected_line_changes_one_batch_and_moves_nobody(scripts: Scripts) -> None:
    scripts.write("a.jsonl", *(line(f"a{n}") for n in range(5)))
    scripts.update()
    scripts.write("a.jsonl", line("new"), *(line(f"a{n}", "Hi." if n == 1 else "Hello there.") for n in range(5)))
    found = scripts.update()
    assert scripts.ids() == [["a0", "a1", "a2"], ["a3", "a4", "new"]]
    assert (found.new, found.corrected, found.changed) == (1, 1, ("batch-0001", "batch-0002"))
    assert read_batch(scripts.work, "talks", "batch-0001")[1].turns[0].text == "Hi."


def test_a_dialogue_that_left_its_file_leaves_its_batch(scripts: Scripts) -> None:
    scripts.write("a.jsonl", *(line(f"a{n}") for n in range(4)))
    scripts.update()
    scripts.write("a.jsonl", line("a0"), line("a2"), line("a3"))
    found = scripts.update()
    assert scripts.ids() == [["a0", "a2"], ["a3"]]
    assert (found.removed, found.changed) == (1, ("batch-0001",))


def test_a_line_that_became_unreadable_costs_nothing_that_was_there(scripts: Scripts) -> None:
    scripts.write("a.jsonl", *(line(f"a{n}") for n in range(3)))
    scripts.update()
    for broken in ('{"id": "a1", "user_text"', {"id": "a1", "user_text": "", "assistant_text": "x"}):
        scripts.write("a.jsonl", line("a0"), broken, line("a2"))
        found = scripts.update()
        assert scripts.ids() == [["a0", "a1", "a2"]]
        assert found.changed == ()
        assert [(item.file, item.line) for item in read_bad_lines(scripts.work, "talks")] == [("a.jsonl", 2)]
    scripts.write("a.jsonl", line("a0"), line("a1"), line("a2"))
    assert scripts.update().bad == ()
    assert read_bad_lines(scripts.work, "talks") == []


def test_an_id_that_two_files_have_is_taken_from_the_first(scripts: Scripts) -> None:
    scripts.write("a.jsonl", line("same", "First."))
    scripts.write("b.jsonl", line("other"), line("same", "Second."))
    [bad] = scripts.update().bad
    assert (bad.file, bad.line, bad.reason, bad.id) == ("b.jsonl", 2, "duplicate_id", "same")
    assert read_batch(scripts.work, "talks", "batch-0001")[0].turns[0].text == "First."


def test_most_counts_dialogues_and_removes_none(scripts: Scripts) -> None:
    scripts.write("a.jsonl", *(line(f"a{n}") for n in range(5)))
    assert scripts.update(most=2).dialogues == 2
    assert scripts.ids() == [["a0", "a1"]]
    assert scripts.update().dialogues == 5
    assert scripts.update(most=1).removed == 0
    assert scripts.ids() == [["a0", "a1", "a2"], ["a3", "a4"]]
