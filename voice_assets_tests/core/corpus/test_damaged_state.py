"""Damaged state files cause no loss of data: they are rebuilt or reported, and unknown files are ignored."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.damaged_corpus import (
    WorkRootSnapshot,
    allowed_outcome,
    build_stale,
    corpus_commands,
    create_finished_corpus,
)
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.damage import COPIED, DamageCase, find_faults
from voice_core.corpus.ingest import discovery
from voice_core.corpus.ingest.batches import read_batch
from voice_core.corpus.ingest.tombstones import read_tombstone, read_tombstones
from voice_core.corpus.manifest import SCHEMA_VERSION, Manifest
from voice_core.corpus.status import StageState
from voice_core.layout import PartitionKey
from voice_core.storage.state_files import DamagedStateError, NewerStateError, parse_state, read_state
from voice_core.storage.store import Store

FIRST, SECOND = "news/batch-0001", "news/batch-0002"
WORST = [
    DamageCase(f"batches/{FIRST}.json", "truncated"),
    DamageCase(f"batches/{FIRST}.json", "deleted"),
    DamageCase(f"batches/{SECOND}.json", "emptied"),
    DamageCase(f"batches/{FIRST}.json", COPIED),
    DamageCase(f"batches/{FIRST}.contents.json", "replaced by []"),
    DamageCase("datasets/voice/splits.json", "emptied"),
    DamageCase("datasets/voice/splits.json", "deleted"),
    DamageCase("datasets/voice/dataset.json", "replaced by []"),
    DamageCase(f"datasets/voice/manifests/{FIRST}.pairs.json", "truncated"),
    DamageCase("datasets/voice/README.md", "deleted"),
    DamageCase(f"datasets/voice/pairs/{FIRST}.train.parquet", "truncated"),
    DamageCase(f"freed/segments/{FIRST}.json", "replaced by {}"),
    DamageCase(f"segments/{FIRST}/_manifest.parquet", "truncated"),
    DamageCase(f"segments/{SECOND}/_manifest.parquet", "deleted"),
    DamageCase(f"segments/{SECOND}/e_seg_0.npz", "deleted"),
    DamageCase("tombstones/news/b.json", "emptied"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, WorkRootSnapshot]:
    corpus = create_finished_corpus(tmp_path_factory.mktemp("finished"))
    return corpus, WorkRootSnapshot(corpus)


@pytest.fixture
def built(finished: tuple[Corpus, WorkRootSnapshot]) -> Iterator[Corpus]:
    corpus, snapshot = finished
    yield corpus
    snapshot.restore()


@pytest.mark.parametrize("case", WORST, ids=lambda case: f"{case.key} {case.damage}")
def test_a_damaged_file_is_made_again_or_named_and_nothing_is_lost(built: Corpus, case: DamageCase) -> None:
    may_fail, may_change = allowed_outcome(case)
    assert find_faults(case, built.work_dir, corpus_commands(built), may_fail=may_fail, may_change=may_change) == []


def test_a_plan_makes_a_damaged_batch_again_in_memory_only(built: Corpus) -> None:
    path = built.path(f"batches/{FIRST}.json")
    path.write_bytes(b"{")
    found = discovery.discover(built.raw, built.work, built.settings, read_only=True)
    assert [item.audio_id for item in found.batches[0].recordings] == ["a", "c"]
    assert path.read_bytes() == b"{"


def test_files_of_a_newer_version_are_refused_and_not_made_again(built: Corpus) -> None:
    newer = built.path(f"batches/{FIRST}.json"), built.path("datasets/voice/splits.json")
    for path in newer:
        before = path.read_bytes()
        path.write_text(json.dumps({**json.loads(before), "version": 99}))
        with pytest.raises(NewerStateError, match=rf"{path.name} was written by a newer version"):
            build_stale(built)
        path.write_bytes(before)
    manifest = built.path(f"coded/{FIRST}/_manifest.parquet")
    data = manifest.read_bytes()
    manifest.write_bytes(_with_schema(data, SCHEMA_VERSION + 1))
    with pytest.raises(NewerStateError, match=r"coded/news/batch-0001/_manifest.parquet was written by a newer"):
        built.status()


def _with_schema(data: bytes, version: int) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voice_core.corpus.manifest.FORMAT.version", version)
        return Manifest.from_bytes(data).to_bytes()


def test_unknown_files_among_the_batches_are_reported_and_ignored(built: Corpus) -> None:
    for name in (".DS_Store", "news/batch-0001.json.bak", "news/batch-0001 (copy).json", "news/notes.json"):
        built.path(f"batches/{name}").write_bytes(b"?")
    shutil.copytree(built.path("batches/news"), built.path("batches/news (copy)"))
    found = built.discover()
    strays = {stray.key.partition("/work/")[2] for stray in found.listing.strays}
    assert {f"batches/{FIRST} (copy).json", "batches/.DS_Store", "batches/news/notes.json"} <= strays
    assert f"batches/news (copy)/{Path(FIRST).name}.json" in strays
    assert [str(batch.partition) for batch in found.batches] == [FIRST, SECOND]
    assert built.status().finished


def test_held_out_recordings_are_recovered_from_the_rows_if_the_splits_are_missing(two_recordings: Corpus) -> None:
    two_recordings.build()
    path = two_recordings.path("datasets/voice/splits.json")
    (by_hash,) = two_recordings.assign_splits().test
    earlier = ({("news", "a"), ("news", "b")} - {by_hash}).pop()
    two_recordings.add_recording("c")
    value = json.loads(path.read_bytes())
    path.write_text(
        json.dumps({**value, "inputs": "", "test": [earlier]})
    )  # held out earlier, when its hash was the lowest
    build_stale(two_recordings)
    held_out, files = two_recordings.assign_splits().test, two_recordings.files()
    assert earlier in held_out
    for damage in (path.unlink, lambda: path.write_bytes(b"")):
        damage()
        build_stale(two_recordings)
        assert two_recordings.assign_splits().test == held_out
        assert two_recordings.files() == files


def test_a_damaged_tombstone_names_itself_and_what_to_write(built: Corpus) -> None:
    built.path("tombstones/news/b.json").write_bytes(b"")
    with pytest.raises(DamagedStateError, match=r'tombstones/news/b.json is empty.*write \{"channel"'):
        read_tombstones(built.work)
    with pytest.raises(DamagedStateError, match=r'tombstones/news/b.json is empty.*write \{"channel"'):
        read_tombstone(built.work, "news", "b")
    built.path("tombstones/news/b.json").write_text('{"channel": "news", "audio_id": "b"}')
    assert built.status().finished


def test_a_batch_whose_manifests_are_damaged_too_is_named(built: Corpus) -> None:
    for stage in ("segments", "coded"):
        built.path(f"{stage}/{FIRST}/_manifest.parquet").write_bytes(b"?")
    built.path(f"datasets/voice/manifests/{FIRST}.parquet").write_bytes(b"?")
    built.path(f"batches/{FIRST}.json").write_bytes(b"?")
    with pytest.raises(DamagedStateError, match=r"batches/news/batch-0001.json .* no manifest .* Restore it"):
        built.status()


def test_missing_and_shortened_files_are_seen_without_reading_them(built: Corpus) -> None:
    files = built.files()
    coded, rows = built.path(f"coded/{SECOND}"), built.path(f"datasets/voice/data/{SECOND}.train.parquet")
    for name in ("d_seg_0.npz", "d_seg_1.npz"):
        (coded / name).unlink()
    rows.write_bytes(rows.read_bytes()[:-1])
    first, second = built.status().partitions
    assert first.reasons == {}
    assert second.reasons == {
        "coded_segments": "2 files are missing",
        "voice_dataset": "1 file differs in size from the committed file",
    }
    assert (second.segments, second.coded, second.pairs) == (StageState.CURRENT, StageState.STALE, StageState.STALE)
    build_stale(built)
    assert built.files() == files


def test_freed_files_count_as_there(built: Corpus) -> None:
    assert built.status().partitions[0].segments is StageState.FREED
    built.path(f"freed/segments/{FIRST}.json").unlink()
    assert built.status().partitions[0].reasons == {"segments": "4 files are missing"}


def test_a_state_file_of_another_shape_says_where(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri())
    for data, why in (
        (b"", "is empty"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "has an unexpected structure"),
        (b'{"a": 1}', "has an unexpected structure: a: Input should be a valid string"),
    ):
        with pytest.raises(DamagedStateError, match=rf"/some/key.json {why}"):
            parse_state(store, "some/key.json", data, dict[str, str])
    assert read_state(store, "some/key.json", dict[str, str]) is None
    with pytest.raises(LookupError, match="there is no batch"):
        read_batch(store, PartitionKey("news", 1))
