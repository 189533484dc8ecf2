"""What is left of a forgotten recording, and of everything else, in work roots of all kinds."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from voice_assets_tests.core.corpus.forget.leftovers import find_leftovers
from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_assets_tests.files import files_below
from voice_core.corpus.checks import files_intact, rows_match
from voice_core.corpus.dataset.card import read_card_settings
from voice_core.corpus.dataset.dataset_record import read_dataset_record
from voice_core.corpus.dataset.rows_stage import list_parquet_files, read_dataset_manifest
from voice_core.corpus.evicted import read_evicted
from voice_core.corpus.forget.forget import (
    ForgetTarget,
    clear_pending,
    find_forget_target,
    mark_forgotten,
    remove_recording,
)
from voice_core.corpus.forget.search import RecordingName, find_references
from voice_core.corpus.retention import evict
from voice_core.layout import PartitionKey
from voice_core.settings import CardSettings
from voice_core.storage.store import Store

TWO = "number-two"
NEWS = PartitionKey("news", 1)
STEP = 7  # soak/rounds/killed_forget.py kills a process at any moment
MARK = "Xylophone"  # stands in every text of the recording, and nowhere else


def lines(name: str) -> list[dict[str, Any]]:
    more = {"text": f"{MARK} is said.", "tone": f"{MARK} tone", "speaker_id": f"{MARK} Smith"} if name == TWO else {}
    return [line | more for line in make_lines(6, name)]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three recordings of one channel and one of another, in the datasets "voice" and "other"; never written to."""
    corpus = Corpus(tmp_path_factory.mktemp("forgetting"))
    for name in ("one", TWO, "three"):
        corpus.add_recording(name, 6, lines(name))
    corpus.add_recording("far-away", 6, channel="talk")
    of_other = {"split": {"test_fraction": 0.9}, "card": {"licence": "cc-by-4.0", "sources": "Our own."}}
    corpus.set(dataset="other", **of_other)
    corpus.build()
    corpus.set(
        dataset="voice",
        split={"test_fraction": 0.0, "speaker_scope": "channel"},
        card={"licence": "other", "sources": ""},
    )
    corpus.build()
    return corpus


@pytest.fixture
def corpus(built: Corpus, tmp_path: Path) -> Corpus:
    """A copy of it, to do things to."""
    corpus = Corpus(tmp_path)
    shutil.copytree(built.raw_dir, corpus.raw_dir, dirs_exist_ok=True)
    shutil.copytree(built.work_dir, corpus.work_dir)
    corpus.set(split=built.settings.split.model_dump())
    return corpus


def forgotten(corpus: Corpus) -> RecordingName:
    name = mark_forgotten(corpus.work, TWO, when="2030-01-01", why="")
    remove_recording(corpus.work, name, corpus.settings)
    return name


def left(corpus: Corpus) -> list[str]:
    return find_leftovers(corpus.work_dir, TWO, MARK)


def sound(corpus: Corpus, dataset: str) -> set[str]:
    """Check that a dataset is whole; returns the recordings that have rows in it."""
    settings = corpus.settings.model_copy(update={"dataset": dataset})
    names = set()
    for partition in (NEWS, PartitionKey("talk", 1)):
        manifest = read_dataset_manifest(corpus.work, partition, settings)
        assert manifest is not None
        assert manifest.complete
        assert rows_match(corpus.work, manifest).passed
        assert files_intact(corpus.work, list_parquet_files(manifest)).passed
        names |= {entry.audio_id for entry in manifest.kept()}
    commit = read_dataset_record(corpus.work, settings)
    assert commit is not None
    assert files_intact(corpus.work, [(item["key"], item["sha256"]) for item in commit["files"]]).passed
    return names


def test_before_it_is_forgotten_a_recording_is_found_everywhere(corpus: Corpus) -> None:
    found = find_references(corpus.work, RecordingName("news", TWO))
    assert set(left(corpus)) - {f"datasets/{name}/README.md" for name in ("voice", "other")} <= found.found.keys()
    assert found.datasets == {"voice", "other"}
    assert found.partitions == {NEWS}
    assert not found.unreadable


@pytest.mark.parametrize(
    "changes",
    [{}, {"codec": "none"}, {"channels": ("talk",)}, {"dataset": "a-third"}, {"split": {"test_fraction": 0.0}}],
    ids=["the same", "no codec", "another channel", "another dataset", "another split"],
)
def test_a_recording_is_removed_from_every_dataset_whatever_the_settings_are(
    corpus: Corpus, changes: dict[str, Any]
) -> None:
    corpus.set(**changes)
    name = forgotten(corpus)
    assert left(corpus) == []
    assert find_references(corpus.work, name).found == {}
    for dataset in ("voice", "other"):
        assert sound(corpus, dataset) == {"one", "three", "far-away"}


def test_the_other_recordings_stay_as_they_are_and_new_ones_come_into_no_other_dataset(corpus: Corpus) -> None:
    before = corpus.files()
    corpus.add_recording("four", 6)
    forgotten(corpus)
    after = corpus.files()
    assert {key for key in after if "four" in key} == set()
    changed = {key for key in before if before[key] != after.get(key)}
    assert not {key for key in changed if "/talk/" in key or "one_seg" in key or "three_seg" in key}
    card = read_card_settings(corpus.path("datasets/other/README.md").read_text("utf-8"), "other")
    assert card == CardSettings(licence="cc-by-4.0", sources="Our own.")


def test_a_card_that_an_older_version_wrote_keeps_its_licence_and_sources(corpus: Corpus) -> None:
    path = corpus.path("datasets/other/dataset.json")
    commit = json.loads(path.read_text("utf-8"))
    del commit["card_settings"]
    path.write_text(json.dumps(commit), "utf-8")
    forgotten(corpus)
    card = read_card_settings(corpus.path("datasets/other/README.md").read_text("utf-8"), "other")
    assert card == CardSettings(licence="cc-by-4.0", sources="Our own.")


def test_the_rows_that_stay_are_those_that_a_build_writes(corpus: Corpus) -> None:
    forgotten(corpus)
    rows = {key: digest for key, digest in corpus.files("datasets/voice").items() if key.endswith(".parquet")}
    corpus.build()
    after = corpus.files("datasets/voice")
    assert {key: after[key] for key in rows if "/manifests/" not in key} == {
        key: digest for key, digest in rows.items() if "/manifests/" not in key
    }
    assert corpus.status().finished
    assert left(corpus) == []


def test_removing_again_after_a_build_changes_nothing(corpus: Corpus) -> None:
    name = forgotten(corpus)
    corpus.build()
    before = corpus.files()
    remove_recording(corpus.work, name, corpus.settings)
    assert corpus.files() == before


def test_rows_are_removed_from_files_of_many_row_groups(corpus: Corpus) -> None:
    for name in ("five", "six"):
        corpus.add_recording(name, 90)
    corpus.build()
    forgotten(corpus)
    before = corpus.files("datasets/voice/data")
    assert sound(corpus, "voice") == {"one", "three", "far-away", "five", "six"}
    key = next(key for key in before if "news" in key and "train" in key)
    parquet = pq.ParquetFile(io.BytesIO(corpus.work.get(key)))
    sizes = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
    assert all(size == 64 for size in sizes[:-1])
    corpus.build()
    assert corpus.files("datasets/voice/data") == before


@pytest.mark.parametrize("stage", ["segments", "coded", "datasets"])
def test_what_was_freed_is_not_rebuilt(corpus: Corpus, stage: str) -> None:
    corpus.build()  # the copied recordings have another identity
    stages = ["segments", "coded", "datasets"][: ["segments", "coded", "datasets"].index(stage) + 1]
    for one in stages:
        for plan in evict.plan_eviction(corpus.work, corpus.status().partitions, [one], corpus.settings, force=True):
            assert not plan.refusal
            evict.evict_files(corpus.work, plan, corpus.settings)
    forgotten(corpus)
    assert left(corpus) == []
    for place in ("segments", "coded", "datasets/voice"):
        assert not [key for key in read_evicted(corpus.work, place, NEWS) if f"{TWO}_seg" in key]
    corpus.build()
    assert left(corpus) == []
    assert sound(corpus, "voice") == {"one", "three", "far-away"}


def test_half_files_of_killed_processes_go_too(corpus: Corpus) -> None:
    leftovers = [
        f"segments/news/batch-0001/{TWO}_seg_1.npz.part",
        "segments/news/batch-0001/_manifest.parquet.part",
        "datasets/other/data/news/batch-0001.train.parquet.part",
        "datasets/other/manifests/news/batch-0001.parquet.part",
        "batches/news/batch-0001.json.part",
    ]
    for key in leftovers:
        corpus.path(key).write_text(f"half of {MARK}", "utf-8")
    forgotten(corpus)
    assert left(corpus) == []
    assert not [key for key in leftovers if corpus.path(key).exists()]


def test_a_parquet_file_that_no_manifest_lists_is_searched_too(corpus: Corpus) -> None:
    stray = corpus.path("datasets/voice/neutts/news/batch-0007.train.parquet")
    stray.write_bytes(corpus.path("datasets/voice/neutts/news/batch-0001.train.parquet").read_bytes())
    forgotten(corpus)
    assert left(corpus) == []


def test_a_copy_of_a_segment_file_in_another_folder_is_removed_too(corpus: Corpus) -> None:
    (corpus.work_dir / "mine").mkdir()
    corpus.path(f"mine/{TWO}_seg_0.npz").write_bytes(
        corpus.path(f"segments/news/batch-0001/{TWO}_seg_0.npz").read_bytes()
    )
    forgotten(corpus)
    assert left(corpus) == []


def test_the_only_recording_of_a_batch_can_be_forgotten(corpus: Corpus) -> None:
    name = mark_forgotten(corpus.work, "talk/far-away", when="2030-01-01", why="")
    remove_recording(corpus.work, name, corpus.settings)
    assert find_leftovers(corpus.work_dir, "far-away") == []
    corpus.build()
    assert corpus.status().finished


def test_a_damaged_file_of_rows_is_removed_and_made_again(corpus: Corpus) -> None:
    path = corpus.path("datasets/voice/data/news/batch-0001.train.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    name = forgotten(corpus)
    assert left(corpus) == []
    assert not find_references(corpus.work, name).unreadable
    corpus.build()
    assert sound(corpus, "voice") == {"one", "three", "far-away"}


def test_what_cannot_be_searched_is_named(corpus: Corpus) -> None:
    name = forgotten(corpus)
    corpus.path("datasets/other/splits.json").write_text("{", "utf-8")
    assert list(find_references(corpus.work, name).unreadable) == ["datasets/other/splits.json"]


def test_files_that_only_resemble_a_batch_are_named_and_stop_nothing(corpus: Corpus) -> None:
    copies = {
        "batches/news/batch-0000.json": "batches/news/batch-0001.json",
        "batches/news/batch-1.json": "batches/news/batch-0001.json",
        "batches/news/batch-20301231.json": "batches/news/batch-0001.json",
        "datasets/voice/data/news/batch-0000.train.parquet": "datasets/voice/data/news/batch-0001.train.parquet",
        "datasets/voice/pairs/news/batch-0000.train.parquet": "datasets/voice/pairs/news/batch-0001.train.parquet",
        "x/batch-0000.y": "batches/news/batch-0001.json",
    }
    for copy, key in copies.items():
        corpus.path(copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(corpus.path(key), corpus.path(copy))
    name = mark_forgotten(corpus.work, "one", when="2030-01-01", why="")  # the other one has no pairs
    remove_recording(corpus.work, name, corpus.settings)
    found = find_references(corpus.work, name)
    assert sorted(found.unreadable) == [key for key in copies if key.startswith("batches/")]
    assert all("not the name of a batch file" in why for why in found.unreadable.values())
    assert sorted(found.found) == [key for key in copies if key.startswith("datasets/")]


class BreaksOffError(Exception):
    pass


class FragileStore(Store):
    """Breaks off before one of its changes, as a killed process does; with `after`, behind it."""

    def __init__(self, url: str, at: int, *, after: bool = False) -> None:
        super().__init__(url, create=True)
        self.changes, self._at, self._after = 0, at, after

    def _change(self, make: Callable[[], Any]) -> Any:
        self.changes += 1
        if self.changes == self._at and not self._after:
            raise BreaksOffError
        result = make()
        if self.changes == self._at:
            raise BreaksOffError
        return result

    def put(self, key: str, data: bytes, **options: Any) -> Any:
        if key.startswith("locks/"):
            return super().put(key, data, **options)
        return self._change(lambda: Store.put(self, key, data, **options))

    def delete(self, keys: Any) -> None:
        for key in list(keys):
            self._change(lambda key=key: Store.delete(self, [key]))  # type: ignore[misc]


def interrupted(corpus: Corpus) -> Iterator[int]:
    """Removals that break off a few changes later each time, until one comes to its end."""
    for at in range(1, 500, STEP):
        yield at
        store = FragileStore(corpus.settings.work_url, at)
        try:
            remove_recording(store, mark_forgotten(store, TWO, when="2030-01-01", why=""), corpus.settings)
        except BreaksOffError:
            continue
        return


def test_a_removal_that_broke_off_is_finished_by_the_next_one(corpus: Corpus) -> None:
    saved = {path: path.read_bytes() for path in corpus.work_dir.rglob("*") if path.is_file()}
    clear_pending(corpus.work, forgotten(corpus))
    wanted = corpus.files()
    number = 0
    for number in interrupted(corpus):
        if number > 1:  # what the last one left is finished
            wish = find_forget_target(corpus.work, TWO)
            clear_pending(corpus.work, finish(corpus, wish))
            assert corpus.files() == wanted, f"broken off at change {number - STEP}"
        for path in corpus.work_dir.rglob("*"):
            if path.is_file():
                path.unlink()
        for path, data in saved.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    assert number > 20


def finish(corpus: Corpus, wish: ForgetTarget) -> RecordingName:
    name = mark_forgotten(corpus.work, wish, when="2030-01-01", why="")
    remove_recording(corpus.work, name, corpus.settings)
    return name


def test_recordings_with_the_same_id_elsewhere_and_with_odd_names_stay(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    for name, channel in (("one", "news"), ("one", "talk"), ("interview.part2", "news"), ("two", "news")):
        corpus.add_recording(name, 6, channel=channel)
    corpus.build()
    (corpus.work_dir / "segments" / "news" / "batch-0001" / "one_seg_0.npz.part").write_bytes(b"half")
    before = files_below(corpus.work_dir)
    name = mark_forgotten(corpus.work, "news/one", when="2030-01-01", why="")
    places = remove_recording(corpus.work, name, corpus.settings)
    assert places["partitions"] == ["news/batch-0001"]
    after = files_below(corpus.work_dir)
    mine = {key for key in before if "/talk/" in key or "interview.part2" in key}
    assert len(mine) > 10
    assert {key: after.get(key) for key in mine} == {key: before[key] for key in mine}
    assert not [key for key in after if "news/batch-0001/one_seg" in key]
    assert not find_references(corpus.work, name).found


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null"])
def test_damaged_splits_and_cards_keep_no_recording(corpus: Corpus, content: bytes) -> None:
    for key in ("datasets/voice/splits.json", "datasets/other/README.md", "datasets/other/dataset.json"):
        (corpus.work_dir / key).write_bytes(content)
    forgotten(corpus)
    corpus.build()
    assert left(corpus) == []
    assert sound(corpus, "voice") == {"one", "three", "far-away"}
