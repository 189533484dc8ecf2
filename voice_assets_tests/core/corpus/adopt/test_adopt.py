"""Segment files of other programs become batches like our own, and nothing of them is lost silently."""

import shutil

import pytest

from voice_assets_tests.core.corpus.adopt.segment_cache import SegmentCache, read_segments_manifest, reasons_by_index
from voice_assets_tests.core.corpus.small_corpus import RATE, Corpus
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.corpus.forget.forget import mark_forgotten
from voice_core.corpus.ingest.batches import read_batches
from voice_core.corpus.segment import segment_stage
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey
from voice_core.storage.store import Store


def test_adopted_segments_are_built_to_rows_like_our_own(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    cache.recording("video2", channel="atheer")
    report = cache.adopt()
    assert (report.adopted, report.recordings, report.objects) == (6, 2, 6)
    assert [str(key) for key in report.partitions] == ["atheer/batch-0001", "zad/batch-0001"]
    manifest = read_segments_manifest(corpus)
    corpus.assert_manifest_valid(manifest)
    assert segment_stage.is_current(corpus.work, read_batches(corpus.work)[1], corpus.settings)
    assert [entry.kept for entry in manifest.entries] == [True] * 3
    assert all(entry.snr_db is not None and entry.speaker_id == "salma" for entry in manifest.entries)

    corpus.build()
    assert corpus.codec.encoded == 6
    rows = corpus.segments("zad").recordings[0]
    assert (rows.raw_key, rows.status) == ("zad/video1_seg_*.npz", "ok")
    before = corpus.files()
    corpus.build()
    assert corpus.codec.encoded == 6
    assert corpus.files() == before


def test_every_object_is_accounted_for(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    for name in ("notes.txt", "zad/video1.npz", "zad/video1_seg_x.npz", "zad/deeper/video9_seg_0.npz"):
        path = cache.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    report = cache.adopt()
    assert sorted(stray.key for stray in report.strays) == [
        "notes.txt", "zad/deeper/video9_seg_0.npz", "zad/video1.npz", "zad/video1_seg_x.npz",
    ]  # fmt: skip
    assert report.objects == 7


def test_files_without_a_folder_need_a_channel(corpus: Corpus, cache: SegmentCache) -> None:
    cache.write("video1", 0, channel="")
    with pytest.raises(ValueError, match="--channel"):
        cache.adopt()
    assert cache.adopt(channel="News TV").adopted == 1
    assert [str(batch.partition) for batch in read_batches(corpus.work)] == ["News TV/batch-0001"]


def test_changed_rules_filter_adopted_segments_again_without_the_source(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    cache.write("video1", 3, seconds=0.4, text="Yes, so.")
    cache.adopt()
    assert reasons_by_index(read_segments_manifest(corpus)) == {3: "too_short"}
    shutil.rmtree(cache.folder)
    corpus.set(rules={"min_duration_sec": 0.3})
    segment_stage.build_segments(corpus.raw, corpus.work, PartitionKey("zad", 1), corpus.settings)
    assert reasons_by_index(read_segments_manifest(corpus)) == {}


def test_batches_of_adopted_recordings_have_the_usual_limits_and_no_others_in_them(
    corpus: Corpus, cache: SegmentCache
) -> None:
    corpus.set(batch={"max_recordings": 2})
    corpus.add_recording("own", channel="zad")
    corpus.build(card=False)
    for name in ("a", "b", "c"):
        cache.recording(name, count=1)
    cache.adopt()
    corpus.add_recording("later", channel="zad")
    corpus.snapshot()
    dealt = {batch.number: [item.audio_id for item in batch.recordings] for batch in read_batches(corpus.work)}
    assert dealt == {1: ["own", "later"], 2: ["a", "b"], 3: ["c"]}
    cache.recording("d", count=1)
    cache.adopt()
    assert [item.audio_id for item in read_batches(corpus.work)[2].recordings] == ["c", "d"]


def test_batches_are_full_by_hours_too(corpus: Corpus, cache: SegmentCache) -> None:
    corpus.set(batch={"max_hours": 7 / 3600})
    for name in "abcd":
        cache.recording(name, count=3)
    cache.adopt()
    found = read_batches(corpus.work)
    assert [len(batch.recordings) for batch in found] == [2, 2]
    assert [round(batch.hours * 3600, 1) for batch in found] == [9.0, 9.0]


def test_an_adopted_recording_can_be_forgotten(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    cache.recording("video2")
    cache.adopt()
    corpus.build(card=False)
    mark_forgotten(corpus.work, "video1", when="2026-01-01", why="asked to")
    corpus.build(card=False)
    assert {entry.audio_id for entry in read_segments_manifest(corpus).entries} == {"video2"}
    assert not [key for key in corpus.files() if "video1_seg" in key]
    assert cache.adopt().left_out == {"the recording was forgotten": 3}


def test_an_adopted_row_has_no_times_since_they_are_unknown(corpus: Corpus, cache: SegmentCache) -> None:
    import pyarrow.parquet as pq

    cache.recording("video1")
    cache.adopt()
    corpus.build(card=False)
    rows = pq.read_table(next(corpus.work_dir.rglob("data/zad/*.parquet"))).to_pylist()
    assert {(row["start_sec"], row["end_sec"], row["raw_sha256"]) for row in rows} == {(None, None, "")}
    assert {row["duration_sec"] for row in rows} == {1.5}
    assert corpus.settings.cut.sample_rate_hz == RATE


def test_a_bucket_is_adopted_into_another_as_a_folder_is(
    corpus: Corpus, cache: SegmentCache, s3_server: S3Server, gcs_server: GcsServer
) -> None:
    cache.recording("video1")
    cache.recording("video2", channel="أثير")
    cache.adopt()
    url = gcs_server.new_bucket()
    gcs_server.upload_folder(url, cache.folder)
    work = Store(s3_server.new_bucket(), s3_server.access())
    source = Store(url, gcs_server.access())
    for files_read in (6, 0):
        assert adopt(source, work, corpus.settings, AdoptOptions()).files_read == files_read
        found = {item.key: sha256(work.get(item.key)) for item in work.listing("segments")}
        assert found == corpus.files("segments")
