"""A pipeline of its own on the stage framework: chapters of a book, with rows that no other pipeline has."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.stages.commit import CheckpointWriter, commit_manifest
from voice_core.stages.files import FilesByKey, FileState, audit_file, check_files, list_sizes
from voice_core.stages.manifest import LazyRows, ManifestFormat, UnreadableRowsError, load_stored_manifest
from voice_core.storage.state_files import DamagedStateError, NewerStateError
from voice_core.storage.store import Store

BOOK = PartitionKey("a book", 1)
PREFIX, KEY = stage_prefix("chapters", BOOK), manifest_key("chapters", BOOK)


@dataclass(frozen=True, slots=True)
class Chapter:
    name: str
    kept: bool = True
    level_dbfs: float | None = None
    key: str = ""
    sha256: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BookManifest:
    partition: str
    complete: bool
    chapters: tuple[Chapter, ...] = ()
    drafts: tuple[Chapter, ...] = ()

    def to_bytes(self) -> bytes:
        is_draft = [False] * len(self.chapters) + [True] * len(self.drafts)
        metadata = {"partition": self.partition, "complete": self.complete}
        return FORMAT.to_bytes(metadata, [*self.chapters, *self.drafts], is_draft=is_draft)

    @classmethod
    def from_bytes(cls, data: bytes) -> "BookManifest":
        metadata, rows = FORMAT.from_bytes(data)
        marked = list(zip(rows, rows.marked("is_draft"), strict=True))
        parts = (tuple(row for row, is_draft in marked if is_draft is wanted) for wanted in (False, True))
        return cls(metadata["partition"], metadata["complete"], *parts)

    def files(self) -> FilesByKey:
        return {row.key: (row.size_bytes, row.sha256) for row in self.chapters if row.key}


FORMAT = ManifestFormat(Chapter, "book_manifest", 1, marks=["is_draft"])


def chapter(name: str, text: bytes) -> Chapter:
    return Chapter(name, key=f"{PREFIX}{name}.wav", sha256=sha256(text), size_bytes=len(text))


def parse(store: Store, key: str, data: bytes) -> BookManifest:
    return FORMAT.parse(store, key, data, str(BOOK), BookManifest.from_bytes)


def load(store: Store) -> BookManifest | None:
    return load_stored_manifest(store, KEY, parse)


def build(store: Store, texts: dict[str, bytes], stop: BaseException | None = None) -> BookManifest:
    """Write a file for each text, and commit; with `stop`, raise that after the first."""
    done: list[Chapter] = []
    checkpoint = CheckpointWriter(store, KEY, lambda: BookManifest(str(BOOK), complete=False, chapters=tuple(done)))
    checkpoint.write()
    with checkpoint:
        for name, text in texts.items():
            item = chapter(name, text)
            store.put(item.key, text)
            done.append(item)
            checkpoint.write_if_due()
            if stop is not None:
                raise stop
    manifest = BookManifest(str(BOOK), complete=True, chapters=tuple(done))
    commit_manifest(store, KEY, manifest, PREFIX, manifest.files())
    return manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "work").as_uri(), create=True)


@pytest.fixture
def texts() -> dict[str, bytes]:
    return {"one": b"first", "two": b"second"}


def test_a_manifest_is_read_as_it_was_written(store: Store, texts: dict[str, bytes]) -> None:
    written = build(store, texts)
    assert load(store) == written
    drafts = BookManifest(str(BOOK), complete=False, chapters=written.chapters, drafts=(Chapter("x", level_dbfs=-1.5),))
    assert BookManifest.from_bytes(drafts.to_bytes()) == drafts
    assert drafts.to_bytes() == drafts.to_bytes()


def test_columns_are_read_without_parsing_rows_and_damage_is_named(store: Store, texts: dict[str, bytes]) -> None:
    data = build(store, texts).to_bytes()
    assert FORMAT.from_bytes(data)[1].columns("name", "size_bytes") == [["one", "two"], [5, 6]]
    with pytest.raises(UnreadableRowsError, match="cannot be read"):
        LazyRows(Chapter, data[:100]).columns("name")


def test_damaged_foreign_and_newer_manifests_are_distinguished(
    store: Store, texts: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(store) is None
    data = build(store, texts).to_bytes()
    for bad, message in ((b"", "is empty"), (b"PAR1", "is not a manifest"), (data[:-9], "is not a manifest")):
        with pytest.raises(DamagedStateError, match=message):
            parse(store, KEY, bad)
        store.put(KEY, bad)
        assert load(store) is None, "it counts as missing"
    other = BookManifest("another book/batch-0001", complete=True).to_bytes()
    with pytest.raises(DamagedStateError, match="is the manifest of another book/batch-0001"):
        parse(store, KEY, other)
    with monkeypatch.context() as patch:
        patch.setattr(FORMAT, "version", 2)
        store.put(KEY, BookManifest(str(BOOK), complete=True).to_bytes())
    with pytest.raises(NewerStateError, match="newer version"):
        load(store)


@pytest.mark.parametrize(("stop", "listed"), [(KeyboardInterrupt(), 1), (RuntimeError(), 0)])
def test_an_interrupted_run_lists_what_is_done_and_the_next_ends_in_the_same_bytes(
    store: Store, texts: dict[str, bytes], tmp_path: Path, stop: BaseException, listed: int
) -> None:
    with pytest.raises(type(stop)):
        build(store, texts, stop)
    left = load(store)
    assert left is not None
    assert (left.complete, len(left.chapters)) == (False, listed)
    build(store, texts)
    afresh = Store((tmp_path / "afresh").as_uri(), create=True)
    build(afresh, texts)
    assert _files(store) == _files(afresh)


def test_a_commit_removes_what_it_does_not_list(store: Store, texts: dict[str, bytes]) -> None:
    build(store, texts)
    store.put(f"{PREFIX}stranger.wav", b"?")
    build(store, {"one": b"first"})
    assert set(_files(store)) == {KEY, f"{PREFIX}one.wav"}


def test_only_complete_manifests_are_committed_and_only_incomplete_ones_are_checkpoints(store: Store) -> None:
    with pytest.raises(ValueError, match="is incomplete and cannot be committed"):
        commit_manifest(store, KEY, BookManifest(str(BOOK), complete=False), PREFIX)
    with pytest.raises(ValueError, match="must be an incomplete manifest"):
        CheckpointWriter(store, KEY, lambda: BookManifest(str(BOOK), complete=True)).write()
    assert load(store) is None


@pytest.mark.parametrize("verify", [False, True])
def test_files_are_compared_by_size_and_if_wanted_by_content(store: Store, verify: bool) -> None:
    texts = {name: name.encode() * 3 for name in ("intact", "missing", "evicted", "resized", "changed")}
    manifest = build(store, texts)
    keys = {row.name: row.key for row in manifest.chapters}
    store.delete([keys["missing"], keys["evicted"]])
    store.put(keys["resized"], b"?")
    store.put(keys["changed"], b"?" * len(texts["changed"]))
    evicted = {keys["evicted"]: sha256(texts["evicted"]), keys["missing"]: "another content"}
    found = check_files(store, manifest.files(), list_sizes(store, PREFIX), evicted, verify=verify)
    changed = FileState.CHANGED if verify else FileState.INTACT
    assert {name: found[key] for name, key in keys.items()} == {
        "intact": FileState.INTACT,
        "missing": FileState.MISSING,
        "evicted": FileState.EVICTED,
        "resized": FileState.RESIZED,
        "changed": changed,
    }
    audited = dict(_audit(store, manifest, evicted))
    assert audited == {**{name: found[key] for name, key in keys.items()}, "resized": "changed", "changed": "changed"}


def _audit(store: Store, manifest: BookManifest, evicted: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for row in manifest.chapters:
        yield row.name, audit_file(store, row.key, row.sha256, lambda key, digest: evicted.get(key) == digest).state


def _files(store: Store) -> dict[str, bytes]:
    return {item.key: store.get(item.key) for item in store.listing()}
