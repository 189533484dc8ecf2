"""Local files with several writers, killed writers, and the order of writes to disk."""

import os
import signal
from pathlib import Path

import pytest

from voice_assets_tests.processes import read_output_line, run_program
from voice_assets_tests.soak.rounds.two_writers import write_and_read
from voice_core.storage import local_files, store
from voice_core.storage.local_files import create_part_file, write_file
from voice_core.storage.object_info import INVALID_KEY
from voice_core.storage.store import Store

_WRITES = """
import sys
from voice_core.storage.object_info import INVALID_KEY
from voice_core.storage.store import Store
with Store(sys.argv[1], create=True).create(sys.argv[2]) as path:
    path.write_bytes(b"half")
    print("half", flush=True)
    sys.stdin.read()
"""


def test_readers_see_whole_objects_while_several_processes_put_the_same_keys(tmp_path: Path) -> None:
    assert write_and_read(tmp_path.as_uri(), writers=2, puts=300) == []


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("key", ["a/b.bin", "a/with#1.bin", "a/" + "n" * 255])
def test_the_part_file_of_a_killed_writer_is_removed_by_the_next_put_delete_or_cleanup(
    key: str, tmp_path: Path
) -> None:
    here = Store(tmp_path.as_uri(), create=True)
    name = key.removeprefix("a/")
    for repair, left in (
        (lambda: here.put(key, b"new"), [name]),
        (lambda: here.delete([key]), []),
        (here.remove_partial_files, [name]),
    ):
        here.put(key, b"old")
        with run_program(_WRITES, here.url, key) as process:
            assert read_output_line(process) == "half"
            assert len(names(tmp_path)) == 2
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert [item.key for item in here.listing()] == [key]
        repair()
        assert names(tmp_path) == left


def test_the_part_file_of_a_running_writer_is_kept(tmp_path: Path) -> None:
    here = Store(tmp_path.as_uri(), create=True)
    with here.create("k") as path:
        path.write_bytes(b"first")
        assert here.remove_partial_files() == 0
        here.put("k", b"second")
        here.delete(["k", "other"])
        (tmp_path / "odd\nname").write_bytes(b"")
        assert [(item.key, item.unusable) for item in here.listing()] == [("odd\nname", INVALID_KEY)]
        with here.create("k") as other:
            assert other != path
            other.write_bytes(b"third")
        assert here.get("k") == b"third"
    assert here.get("k") == b"first"
    assert names(tmp_path) == ["k", "odd\nname"]


def test_files_with_names_similar_to_part_files_are_never_removed(tmp_path: Path) -> None:
    for name in ("episode#12", "x.part", "a#b.part#0", "x.part#0 copy"):
        (tmp_path / name).write_bytes(b"mine")
    before = names(tmp_path)
    assert Store(tmp_path.as_uri(), create=True).remove_partial_files() == 0
    assert names(tmp_path) == before


def test_a_part_file_that_is_a_hard_link_to_the_finished_file_does_not_damage_it(tmp_path: Path) -> None:
    """A writer that is killed right after a put with `if_absent` leaves such a file."""
    path = tmp_path / "k"
    path.write_bytes(b"whole")
    os.link(path, tmp_path / "k.part#0")
    with create_part_file(path) as part:
        part.path.write_bytes(b"new")
        assert path.read_bytes() == b"whole"
    assert names(tmp_path) == ["k"]


def test_a_file_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_file(path, b"one")
    write_file(path, b"two")
    assert names(tmp_path) == ["page.html"]
    assert path.read_bytes() == b"two"


def test_a_put_and_all_earlier_ones_are_on_disk_before_it_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Store(tmp_path.as_uri(), create=True)
    calls: list[tuple[str, list[str]]] = []

    def note(what: str) -> None:
        def noted(folder: Path) -> None:
            calls.append((what, names(tmp_path)))
            getattr(local_files, what)(folder)

        monkeypatch.setattr(store, what, noted)

    note("sync_file_system")
    note("sync_folder")
    here.put_many({"a": b"1", "b": b"2"})
    assert calls == []
    here.put("manifest", b"a b")
    assert calls == [
        ("sync_file_system", ["a", "b", "manifest.part#0"]),
        ("sync_folder", ["a", "b", "manifest"]),
    ]
