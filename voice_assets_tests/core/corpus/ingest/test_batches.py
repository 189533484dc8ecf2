import json
import os
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.corpus.small_corpus import World, lines_for
from voice_core.audio.decoding import AudioInfo
from voice_core.corpus.forget import forget
from voice_core.corpus.ingest import batches, discovery
from voice_core.corpus.ingest.batches import Batch, Recording, assign, parse_batch
from voice_core.layout import PartitionKey
from voice_core.settings import BatchSettings, Settings
from voice_core.storage.state_files import NewerStateError
from voice_core.storage.store import Store


def recordings(names: Iterable[str], hours: float = 0.1, channel: str = "news") -> list[Recording]:
    info = AudioInfo("wav", "pcm_s16le", 24_000, 1, hours * 3600)
    return [Recording(channel, name, f"{channel}/{name}.wav", info) for name in names]


def limits(count: int = 3, hours: float = 100.0) -> Settings:
    return Settings(batch=BatchSettings(max_recordings=count, max_hours=hours))


def shape(made: Iterable[Batch]) -> list[tuple[str, list[str], bool]]:
    return [(str(batch.partition), [item.audio_id for item in batch.recordings], batch.sealed) for batch in made]


def merged(old: Iterable[Batch], changed: Iterable[Batch]) -> list[Batch]:
    by_partition = {batch.partition: batch for batch in (*old, *changed)}
    return [by_partition[partition] for partition in sorted(by_partition)]


def test_a_batch_is_sealed_when_it_holds_enough_recordings_and_the_next_one_opens() -> None:
    made = assign([], recordings("abcde"), limits(2))
    assert shape(made) == [
        ("news/batch-0001", ["a", "b"], True),
        ("news/batch-0002", ["c", "d"], True),
        ("news/batch-0003", ["e"], False),
    ]


def test_a_batch_is_sealed_when_it_holds_enough_hours() -> None:
    made = assign([], recordings("abcde", hours=4.0), limits(100, hours=7.5))
    assert [(ids, sealed) for _, ids, sealed in shape(made)] == [(["a", "b"], True), (["c", "d"], True), (["e"], False)]


def test_new_recordings_go_to_the_open_batch_and_leave_the_rest_alone() -> None:
    first = assign([], recordings("mnop"), limits(3))
    changed = assign(first, recordings("ab"), limits(3))
    assert shape(changed) == [("news/batch-0002", ["p", "a", "b"], True)]


def test_a_sealed_batch_stays_sealed_when_the_limits_grow() -> None:
    first = assign([], recordings("ab"), limits(2))
    assert shape(assign(first, recordings("c"), limits(50))) == [("news/batch-0002", ["c"], False)]


def test_channels_have_batches_of_their_own() -> None:
    made = assign([], [*recordings("a", channel="one"), *recordings("a", channel="two")], limits())
    assert [str(batch.partition) for batch in made] == ["one/batch-0001", "two/batch-0001"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=6), st.sampled_from(["a", "b"]))
def test_assignment_only_ever_appends(steps: list[tuple[int, int]], channel: str) -> None:
    made: list[Batch] = []
    number = 0
    for count, most in steps:
        names = [f"{(number + i) * 7919 % 1000:03d}" for i in range(count)]
        number += count
        after = merged(made, assign(made, recordings(names, channel=channel), limits(most)))
        for old, new in zip(made, after, strict=False):
            assert new.recordings[: len(old.recordings)] == old.recordings
            assert new == old or not old.sealed
        made = after
    everybody = [item.audio_id for batch in made for item in batch.recordings]
    assert len(everybody) == len(set(everybody)) == number
    assert [batch.number for batch in made] == list(range(1, len(made) + 1))
    assert all(batch.sealed for batch in made[:-1])


def test_a_batch_is_read_back_as_it_was_written(world: World) -> None:
    world.record("a")
    (batch,) = world.snapshot()
    assert parse_batch(Store("memory://"), batch.partition, batch.to_bytes()) == batch
    assert batches.read_batch(world.work, batch.partition) == batch


def test_a_partition_that_was_never_discovered_says_what_to_run(world: World) -> None:
    with pytest.raises(LookupError, match="voice build"):
        batches.read_batch(world.work, PartitionKey("news", 7))


def test_discovery_finds_recordings_and_says_what_is_none(world: World) -> None:
    world.record("a")
    world.record("b", extension=".flac")
    world.transcribe("orphan", [])
    (world.raw_dir / "news" / "notes.txt").write_text("x")
    (world.raw_dir / "README").write_text("x")
    (world.raw_dir / "loose.wav").write_bytes(b"x")
    found = world.discover()
    assert sorted(found.listing.recordings) == [("news", "a"), ("news", "b")]
    assert found.new == 2
    assert {stray.key: stray.reason.split()[0] for stray in found.listing.strays} == {
        "README": "does", "loose.wav": "does", "news/notes.txt": ".txt", "news/orphan.json": "a",
    }  # fmt: skip
    assert world.discover().new == 0


def test_of_several_audio_files_of_one_id_the_first_listed_format_wins(world: World) -> None:
    world.record("a", 2.0, extension=".wav")
    world.record("a", 2.0, extension=".flac")
    found = world.discover().listing.recordings["news", "a"]
    assert found.audio.key == "news/a.flac"
    assert [other.key for other in found.others] == ["news/a.wav"]


def test_only_the_channels_that_are_asked_for_are_read(world: World) -> None:
    world.record("a", 2.0)
    world.record("b", 2.0, channel="other")
    world.set(channels=("other",))
    assert [str(batch.partition) for batch in world.discover().batches] == ["other/batch-0001"]


def test_a_forgotten_recording_never_returns(world: World) -> None:
    world.record("a", 2.0)
    world.record("b", 2.0)
    world.snapshot()
    forget.forget(world.work, "news/a", when="today", why="asked")
    assert world.discover().changed == (PartitionKey("news", 1),)
    (batch,) = world.snapshot()
    assert [item.audio_id for item in batch.recordings] == ["b"]
    world.record("a", 3.0)
    found = world.discover()
    assert found.new == 0
    assert found.changed == ()
    assert forget.find_recording(world.work, "a").forgotten_at == "today"


HOSTILE = {
    "spaces": " two  spaces ",
    "Arabic": "نشرة الأخبار",
    "long": "x" * 240,
    "nested": "2024/05/monday",
    "long-nested": "/".join(["y" * 100] * 3),
    "dots": "a..b",
    "many dots": "...b...",
    "percent": "50%2F",
    "comma": "one, two",
    "tilde": "~root",
    "glob": "a*b?[c]",
    "segment": "a_seg_1",
    "hash": "a#b",
}


@pytest.mark.parametrize("audio_id", HOSTILE.values(), ids=HOSTILE)
def test_a_recording_with_a_hostile_id_goes_through_like_any_other(world: World, audio_id: str) -> None:
    world.record(audio_id, 4.0, lines_for(4.0, "plain"))
    batch = world.snapshot()[0]
    assert [item.audio_id for item in batch.recordings] == [audio_id]
    assert world.discover().changed == ()
    report = world.segment()
    assert [entry.kept for entry in report.manifest.entries if entry.kind == "line"] == [True, True]
    assert report.manifest.recordings[0].status == "ok"
    for entry in report.manifest.files():
        assert world.path(entry.key).is_file()
        assert world.path(entry.key).parent == world.work_dir / "segments" / "news" / "batch-0001"
    assert world.segment().recordings_decoded == 0
    forget.forget(world.work, audio_id, when="today", why="asked")
    assert world.segment().manifest.entries == ()


@pytest.mark.parametrize("name", [b"new\nline.wav", b"latin-\xe9.wav"], ids=["control character", "not UTF-8"])
def test_a_file_name_that_the_store_cannot_hold_does_not_hide_the_other_recordings(world: World, name: bytes) -> None:
    world.record("a", 2.0)
    with open(os.path.join(os.fsencode(world.raw_dir), b"news", name), "wb") as out:
        out.write(world.audio_path("a").read_bytes())
    assert ("news", "a") in world.discover().listing.recordings


def test_a_channel_with_a_hostile_name_goes_through_like_any_other(world: World) -> None:
    world.record("a", 2.0, channel="News, World 50% أثير")
    (batch,) = world.snapshot()
    assert batch.channel == "News, World 50% أثير"
    assert "," not in str(batch.partition)
    assert batches.list_partitions(world.work) == [batch.partition]
    assert world.segment(batch.partition.channel).manifest.kept()


def test_a_snapshot_notes_what_changed_and_reads_nothing_else(world: World) -> None:
    lines = world.record("a")
    world.record("b")
    (before,) = world.snapshot()
    assert world.discover().changed == ()
    assert world.snapshot() == [before]

    world.transcribe("a", lines[:1])
    assert world.discover().changed == (PartitionKey("news", 1),)
    (after,) = world.snapshot()
    assert after.recordings[0].transcript_sha256 != before.recordings[0].transcript_sha256
    assert after.recordings[1] == before.recordings[1]
    assert world.discover().changed == ()

    world.record("b", 8.0)
    assert world.discover().changed == (PartitionKey("news", 1),)
    (last,) = world.snapshot()
    assert last.recordings[0] == after.recordings[0]
    assert last.recordings[1].duration_sec == 8.0
    assert world.discover().changed == ()


def test_a_transcript_that_comes_later_is_noticed(world: World) -> None:
    lines = world.record("a")
    world.transcript_path("a").unlink()
    assert world.snapshot()[0].recordings[0].transcript is None
    world.transcribe("a", lines)
    assert world.discover().changed == (PartitionKey("news", 1),)
    assert world.snapshot()[0].recordings[0].transcript is not None
    assert world.discover().changed == ()


@pytest.mark.parametrize("name", ["a.JSON", "a.Srt"])
def test_a_transcript_may_have_its_extension_in_capitals(world: World, name: str) -> None:
    world.record("a")
    os.rename(world.transcript_path("a"), world.raw_dir / "news" / name)
    (batch,) = world.snapshot()
    assert world.discover().changed == ()
    assert batch.recordings[0].transcript is not None


def test_a_second_file_of_the_same_recording_does_not_leave_its_batch_changed_forever(world: World) -> None:
    world.record("a", extension=".wav")
    world.snapshot()
    world.record("a", extension=".flac")
    world.snapshot()
    assert world.discover().changed == ()


def test_a_recording_replaced_by_another_format_is_the_same_recording(world: World) -> None:
    world.record("a", extension=".wav")
    world.snapshot()
    world.audio_path("a").unlink()
    world.record("a", extension=".flac")
    assert world.discover().new == 0
    (batch,) = world.snapshot()
    assert (batch.recordings[0].key, batch.recordings[0].vanished) == ("news/a.flac", False)
    assert world.discover().changed == ()


def test_a_recording_that_vanished_is_marked_and_comes_back(world: World) -> None:
    world.record("a")
    world.snapshot()
    data = world.audio_path("a").read_bytes()
    world.audio_path("a").unlink()
    assert world.discover().changed == (PartitionKey("news", 1),)
    assert world.snapshot()[0].recordings[0].vanished
    assert world.discover().changed == ()
    world.audio_path("a").write_bytes(data)
    assert world.discover().changed == (PartitionKey("news", 1),)
    assert not world.snapshot()[0].recordings[0].vanished


def test_a_file_that_is_no_audio_is_assigned_with_the_decoders_message(world: World) -> None:
    world.audio_path("a").parent.mkdir()
    world.audio_path("a").write_bytes(b"no audio" * 100)
    (batch,) = world.snapshot()
    assert batch.recordings[0].unreadable
    assert batch.hours == 0
    assert world.discover().changed == ()


def test_formats_and_hours_are_counted(world: World) -> None:
    world.record("a", 3.6)
    world.record("b", 3.6, extension=".flac")
    (batch,) = world.snapshot()
    assert batch.formats() == {"flac 24000 Hz, 1 ch": 1, "pcm_s16le 24000 Hz, 1 ch": 1}
    assert batch.hours == pytest.approx(0.002)


def test_a_batch_file_of_a_newer_version_is_refused(world: World) -> None:
    value = {**json.loads(Batch("news", 1).to_bytes()), "version": 99}
    with pytest.raises(NewerStateError, match=r"batches/news/batch-0001.json was written by a newer version"):
        parse_batch(world.work, PartitionKey("news", 1), json.dumps(value).encode())


def test_discovery_and_snapshots_work_on_a_store_that_is_not_a_folder(world: World) -> None:
    world.record("a")
    raw, work = Store("memory:///"), Store("memory:///")
    for path in world.raw_dir.rglob("*.*"):
        raw.put(str(path.relative_to(world.raw_dir)), path.read_bytes())
    found = discovery.discover(raw, work, world.settings)
    assert found.batches[0].recordings[0].duration_sec == 6.0
    batch = batches.snapshot(raw, work, PartitionKey("news", 1), world.settings)
    assert batch.recordings[0].transcript_sha256
