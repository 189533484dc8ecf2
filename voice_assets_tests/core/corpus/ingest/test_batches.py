import dataclasses
import json
import os
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_core.audio.header import AudioInfo
from voice_core.corpus.forget import forget
from voice_core.corpus.ingest import batches, discovery, snapshot
from voice_core.corpus.ingest.batch_model import Batch, Recording, assign_to_batches
from voice_core.corpus.ingest.batches import parse_batch
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
    made = assign_to_batches([], recordings("abcde"), limits(2))
    assert shape(made) == [
        ("news/batch-0001", ["a", "b"], True),
        ("news/batch-0002", ["c", "d"], True),
        ("news/batch-0003", ["e"], False),
    ]


def test_a_batch_is_sealed_when_it_holds_enough_hours() -> None:
    made = assign_to_batches([], recordings("abcde", hours=4.0), limits(100, hours=7.5))
    assert [(ids, sealed) for _, ids, sealed in shape(made)] == [(["a", "b"], True), (["c", "d"], True), (["e"], False)]


def test_new_recordings_go_to_the_open_batch_and_leave_the_rest_alone() -> None:
    first = assign_to_batches([], recordings("mnop"), limits(3))
    changed = assign_to_batches(first, recordings("ab"), limits(3))
    assert shape(changed) == [("news/batch-0002", ["p", "a", "b"], True)]


def test_a_sealed_batch_stays_sealed_when_the_limits_grow() -> None:
    first = assign_to_batches([], recordings("ab"), limits(2))
    assert shape(assign_to_batches(first, recordings("c"), limits(50))) == [("news/batch-0002", ["c"], False)]


def test_channels_have_separate_batches() -> None:
    made = assign_to_batches([], [*recordings("a", channel="one"), *recordings("a", channel="two")], limits())
    assert [str(batch.partition) for batch in made] == ["one/batch-0001", "two/batch-0001"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=6), st.sampled_from(["a", "b"]))
@settings(deadline=None)
def test_assignment_only_ever_appends(steps: list[tuple[int, int]], channel: str) -> None:
    made: list[Batch] = []
    number = 0
    for count, most in steps:
        names = [f"{(number + i) * 7919 % 1000:03d}" for i in range(count)]
        number += count
        after = merged(made, assign_to_batches(made, recordings(names, channel=channel), limits(most)))
        for old, new in zip(made, after, strict=False):
            assert new.recordings[: len(old.recordings)] == old.recordings
            assert new == old or not old.sealed
        made = after
    assigned = [item.audio_id for batch in made for item in batch.recordings]
    assert len(assigned) == len(set(assigned)) == number
    assert [batch.number for batch in made] == list(range(1, len(made) + 1))
    assert all(batch.sealed for batch in made[:-1])


def test_a_batch_is_read_back_as_it_was_written(corpus: Corpus) -> None:
    corpus.add_recording("a")
    (batch,) = corpus.snapshot()
    assert parse_batch(Store("memory://"), batch.partition, batch.to_bytes()) == batch
    assert batches.read_batch(corpus.work, batch.partition) == batch


def test_a_change_of_a_batch_that_another_process_writes_meanwhile_is_applied_to_what_it_wrote(corpus: Corpus) -> None:
    batches.write_batch(corpus.work, Batch("news", 1, recordings=tuple(recordings("ab"))))
    other = iter(recordings("c"))

    def seal(batch: Batch) -> Batch:
        for recording in other:
            grown = dataclasses.replace(batch, recordings=(*batch.recordings, recording))
            batches.replace_batch(corpus.work, grown, batch)
        return dataclasses.replace(batch, sealed=True)

    stored = batches.update_batch(corpus.work, PartitionKey("news", 1), seal)
    assert batches.read_batch(corpus.work, PartitionKey("news", 1)) == stored
    assert shape([stored]) == [("news/batch-0001", ["a", "b", "c"], True)]


def test_a_partition_that_was_never_discovered_says_what_to_run(corpus: Corpus) -> None:
    with pytest.raises(LookupError, match="voice build"):
        batches.read_batch(corpus.work, PartitionKey("news", 7))


def test_discovery_finds_recordings_and_reports_other_files(corpus: Corpus) -> None:
    corpus.add_recording("a")
    corpus.add_recording("b", extension=".flac")
    corpus.write_transcript("orphan", [])
    (corpus.raw_dir / "news" / "notes.txt").write_text("x")
    (corpus.raw_dir / "README").write_text("x")
    (corpus.raw_dir / "loose.wav").write_bytes(b"x")
    found = corpus.discover()
    assert sorted(found.listing.recordings) == [("news", "a"), ("news", "b")]
    assert found.new == 2
    assert {stray.key: stray.reason.split()[0] for stray in found.listing.strays} == {
        "README": "its", "loose.wav": "its", "news/notes.txt": ".txt", "news/orphan.json": "a",
    }  # fmt: skip
    assert corpus.discover().new == 0


def test_of_several_audio_files_of_one_id_the_first_listed_format_wins(corpus: Corpus) -> None:
    corpus.add_recording("a", 2.0, extension=".wav")
    corpus.add_recording("a", 2.0, extension=".flac")
    found = corpus.discover().listing.recordings["news", "a"]
    assert found.audio.key == "news/a.flac"
    assert [other.key for other in found.others] == ["news/a.wav"]


def test_only_the_configured_channels_are_read(corpus: Corpus) -> None:
    corpus.add_recording("a", 2.0)
    corpus.add_recording("b", 2.0, channel="other")
    corpus.set(channels=("other",))
    assert [str(batch.partition) for batch in corpus.discover().batches] == ["other/batch-0001"]


def test_a_forgotten_recording_never_returns(corpus: Corpus) -> None:
    corpus.add_recording("a", 2.0)
    corpus.add_recording("b", 2.0)
    corpus.snapshot()
    forget.mark_forgotten(corpus.work, "news/a", when="today", why="asked")
    assert corpus.discover().changed == (PartitionKey("news", 1),)
    (batch,) = corpus.snapshot()
    assert [item.audio_id for item in batch.recordings] == ["b"]
    corpus.add_recording("a", 3.0)
    found = corpus.discover()
    assert found.new == 0
    assert found.changed == ()
    assert forget.find_forget_target(corpus.work, "a").forgotten_at == "today"


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
def test_a_recording_with_a_hostile_id_goes_through_like_any_other(corpus: Corpus, audio_id: str) -> None:
    corpus.add_recording(audio_id, 4.0, make_lines(4.0, "plain"))
    batch = corpus.snapshot()[0]
    assert [item.audio_id for item in batch.recordings] == [audio_id]
    assert corpus.discover().changed == ()
    report = corpus.segment()
    assert [entry.kept for entry in report.manifest.entries if entry.kind == "line"] == [True, True]
    assert report.manifest.recordings[0].status == "ok"
    for entry in report.manifest.files():
        assert corpus.path(entry.key).is_file()
        assert corpus.path(entry.key).parent == corpus.work_dir / "segments" / "news" / "batch-0001"
    assert corpus.segment().recordings_decoded == 0
    forget.mark_forgotten(corpus.work, audio_id, when="today", why="asked")
    assert corpus.segment().manifest.entries == ()


@pytest.mark.parametrize("name", [b"new\nline.wav", b"latin-\xe9.wav"], ids=["control character", "not UTF-8"])
def test_a_file_name_that_the_store_cannot_hold_does_not_hide_the_other_recordings(corpus: Corpus, name: bytes) -> None:
    corpus.add_recording("a", 2.0)
    with open(os.path.join(os.fsencode(corpus.raw_dir), b"news", name), "wb") as out:
        out.write(corpus.audio_path("a").read_bytes())
    assert ("news", "a") in corpus.discover().listing.recordings


def test_a_channel_with_a_hostile_name_goes_through_like_any_other(corpus: Corpus) -> None:
    corpus.add_recording("a", 2.0, channel="News, World 50% أثير")
    (batch,) = corpus.snapshot()
    assert batch.channel == "News, World 50% أثير"
    assert "," not in str(batch.partition)
    assert batches.list_partitions(corpus.work) == [batch.partition]
    assert corpus.segment(batch.partition.channel).manifest.kept()


def test_a_snapshot_notes_what_changed_and_reads_nothing_else(corpus: Corpus) -> None:
    lines = corpus.add_recording("a")
    corpus.add_recording("b")
    (before,) = corpus.snapshot()
    assert corpus.discover().changed == ()
    assert corpus.snapshot() == [before]

    corpus.write_transcript("a", lines[:1])
    assert corpus.discover().changed == (PartitionKey("news", 1),)
    (after,) = corpus.snapshot()
    assert after.recordings[0].transcript_sha256 != before.recordings[0].transcript_sha256
    assert after.recordings[1] == before.recordings[1]
    assert corpus.discover().changed == ()

    corpus.add_recording("b", 8.0)
    assert corpus.discover().changed == (PartitionKey("news", 1),)
    (last,) = corpus.snapshot()
    assert last.recordings[0] == after.recordings[0]
    assert last.recordings[1].duration_sec == 8.0
    assert corpus.discover().changed == ()


def test_a_transcript_that_comes_later_is_noticed(corpus: Corpus) -> None:
    lines = corpus.add_recording("a")
    corpus.transcript_path("a").unlink()
    assert corpus.snapshot()[0].recordings[0].transcript is None
    corpus.write_transcript("a", lines)
    assert corpus.discover().changed == (PartitionKey("news", 1),)
    assert corpus.snapshot()[0].recordings[0].transcript is not None
    assert corpus.discover().changed == ()


@pytest.mark.parametrize("name", ["a.JSON", "a.Srt"])
def test_a_transcript_may_have_its_extension_in_capitals(corpus: Corpus, name: str) -> None:
    corpus.add_recording("a")
    os.rename(corpus.transcript_path("a"), corpus.raw_dir / "news" / name)
    (batch,) = corpus.snapshot()
    assert corpus.discover().changed == ()
    assert batch.recordings[0].transcript is not None


def test_a_second_file_of_the_same_recording_does_not_leave_its_batch_changed_forever(corpus: Corpus) -> None:
    corpus.add_recording("a", extension=".wav")
    corpus.snapshot()
    corpus.add_recording("a", extension=".flac")
    corpus.snapshot()
    assert corpus.discover().changed == ()


def test_a_recording_replaced_by_another_format_is_the_same_recording(corpus: Corpus) -> None:
    corpus.add_recording("a", extension=".wav")
    corpus.snapshot()
    corpus.audio_path("a").unlink()
    corpus.add_recording("a", extension=".flac")
    assert corpus.discover().new == 0
    (batch,) = corpus.snapshot()
    assert (batch.recordings[0].key, batch.recordings[0].vanished) == ("news/a.flac", False)
    assert corpus.discover().changed == ()


def test_a_recording_that_vanished_is_marked_and_comes_back(corpus: Corpus) -> None:
    corpus.add_recording("a")
    corpus.snapshot()
    data = corpus.audio_path("a").read_bytes()
    corpus.audio_path("a").unlink()
    assert corpus.discover().changed == (PartitionKey("news", 1),)
    assert corpus.snapshot()[0].recordings[0].vanished
    assert corpus.discover().changed == ()
    corpus.audio_path("a").write_bytes(data)
    assert corpus.discover().changed == (PartitionKey("news", 1),)
    assert not corpus.snapshot()[0].recordings[0].vanished


def test_a_file_that_is_not_audio_is_assigned_with_the_decoders_message(corpus: Corpus) -> None:
    corpus.audio_path("a").parent.mkdir()
    corpus.audio_path("a").write_bytes(b"no audio" * 100)
    (batch,) = corpus.snapshot()
    assert batch.recordings[0].unreadable
    assert batch.hours == 0
    assert corpus.discover().changed == ()


def test_formats_and_hours_are_counted(corpus: Corpus) -> None:
    corpus.add_recording("a", 3.6)
    corpus.add_recording("b", 3.6, extension=".flac")
    (batch,) = corpus.snapshot()
    assert batch.formats() == {"flac 24000 Hz, 1 ch": 1, "pcm_s16le 24000 Hz, 1 ch": 1}
    assert batch.hours == pytest.approx(0.002)


def test_a_batch_file_of_a_newer_version_is_refused(corpus: Corpus) -> None:
    value = {**json.loads(Batch("news", 1).to_bytes()), "version": 99}
    with pytest.raises(NewerStateError, match=r"batches/news/batch-0001.json was written by a newer version"):
        parse_batch(corpus.work, PartitionKey("news", 1), json.dumps(value).encode())


def test_discovery_and_snapshots_work_on_a_store_that_is_not_a_folder(corpus: Corpus) -> None:
    corpus.add_recording("a")
    raw, work = Store("memory:///"), Store("memory:///")
    for path in corpus.raw_dir.rglob("*.*"):
        raw.put(str(path.relative_to(corpus.raw_dir)), path.read_bytes())
    found = discovery.discover(raw, work, corpus.settings)
    assert found.batches[0].recordings[0].duration_sec == 6.0
    batch = snapshot.snapshot_batch(raw, work, PartitionKey("news", 1), corpus.settings)
    assert batch.recordings[0].transcript_sha256
