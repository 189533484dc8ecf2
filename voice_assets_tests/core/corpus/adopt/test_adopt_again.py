"""Adoptions after others, after builds, and after one that was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from voice_assets_tests.core.corpus.adopt.segment_cache import SegmentCache, read_segments_manifest, reasons_by_index
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.s3 import S3Server
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.corpus.ingest import batches
from voice_core.corpus.ingest.batch_model import Adoption, Batch, Recording
from voice_core.corpus.manifest import Entry
from voice_core.corpus.segment import segment_stage
from voice_core.layout import PartitionKey
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_store import copy
from voice_core.storage.store import Store


def test_a_second_adoption_reads_nothing(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    assert cache.adopt().files_read == 3
    before = corpus.files()
    for path in cache.folder.rglob("*.npz"):  # with another content under the same name nobody would notice
        times = path.stat()
        path.write_bytes(b"x" * times.st_size)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = cache.adopt()
    assert (again.files_read, again.adopted) == (0, 3)
    assert corpus.files() == before


def test_a_recording_that_comes_later_is_not_cut_a_second_time(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    cache.adopt()
    corpus.build(card=False)
    corpus.add_recording("video1", channel="zad")
    found = corpus.discover()
    assert (found.new, found.changed) == (0, ())
    assert [(stray.key, stray.reason) for stray in found.listing.strays] == [
        ("zad/video1.wav", f"segments of this recording were adopted from {cache.folder.as_uri()}")
    ]
    before = corpus.files("segments")
    corpus.build(card=False)
    assert corpus.files("segments") == before


def test_segments_of_a_recording_that_is_here_already_are_left_out(corpus: Corpus, cache: SegmentCache) -> None:
    corpus.add_recording("video1", channel="zad")
    corpus.snapshot()
    cache.recording("video1")
    report = cache.adopt()
    assert report.left_out == {"the recording is in zad/batch-0001 and is cut there": 3}
    assert (report.adopted, report.objects) == (0, 3)


def test_files_that_were_added_repaired_or_lost_are_handled_by_the_next_run(
    corpus: Corpus, cache: SegmentCache
) -> None:
    cache.recording("video1")
    broken = cache.path("video1", 1)
    good = broken.read_bytes()
    broken.write_bytes(b"")
    cache.adopt()
    assert reasons_by_index(read_segments_manifest(corpus)) == {1: "unreadable"}
    broken.write_bytes(good)
    cache.write("video1", 3)
    cache.path("video1", 0).unlink()  # what was adopted of it stays
    report = cache.adopt()
    assert (report.files_read, report.files_written) == (3, 2)
    assert [entry.index for entry in read_segments_manifest(corpus).kept()] == [0, 1, 2, 3]

    corpus.path(read_segments_manifest(corpus).entries[2].key).unlink()
    segment_stage.build_segments(corpus.raw, corpus.work, PartitionKey("zad", 1), corpus.settings)
    assert reasons_by_index(read_segments_manifest(corpus)) == {2: "file_lost"}
    cache.adopt()
    assert reasons_by_index(read_segments_manifest(corpus)) == {}
    corpus.assert_manifest_valid(read_segments_manifest(corpus))


def test_a_file_that_is_broken_now_takes_its_segment_away(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    cache.adopt()
    cache.path("video1", 1).write_bytes(b"broken")
    cache.adopt()
    assert reasons_by_index(read_segments_manifest(corpus)) == {1: "unreadable"}
    assert len(corpus.files("segments")) == 3  # two segments and the manifest


def test_the_same_recording_from_another_url_is_adopted_only_with_replace(
    corpus: Corpus, cache: SegmentCache, tmp_path: Path
) -> None:
    cache.recording("video1")
    cache.adopt()
    other = SegmentCache(corpus, tmp_path / "other")
    other.recording("video1", count=2, tone="glad")
    assert list(other.adopt().left_out) == [
        f"it was adopted from {cache.folder.as_uri()}; use --replace to adopt these files instead"
    ]
    assert other.adopt(replace=True).adopted == 2
    assert [entry.tone for entry in read_segments_manifest(corpus).entries] == ["glad", "glad"]


_PROGRAM = """
import sys
from pathlib import Path
from voice_core.corpus.adopt import batch
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.settings import Settings
from voice_core.storage.store import Store
batch._SAVE_SEC = 0.0
settings = Settings(work_url=sys.argv[2], workers=1, batch={"max_recordings": 5})
adopt(Store(Path(sys.argv[1]).as_uri()), Store(settings.work_url, create=True), settings, AdoptOptions())
"""


def _count(folder: Path) -> int:
    return sum(name.endswith(".npz") for _, _, names in os.walk(folder) for name in names)


def test_a_killed_adoption_resumes_and_ends_in_the_same_bytes(
    corpus: Corpus, cache: SegmentCache, tmp_path: Path
) -> None:
    for name in "abcdefgh":
        cache.recording(name, count=4)

    def run(work: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _PROGRAM, str(cache.folder), str(work)])

    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    assert run(quiet).wait() == 0
    for files in (3, 15, 26):
        process = run(killed)
        while process.poll() is None and _count(killed / "segments") < files:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run(killed).wait() == 0
    contents = files_below(quiet)
    assert files_below(killed) == contents
    assert len([key for key in contents if key.endswith(".npz")]) == 32


def test_an_unfinished_adoption_says_what_to_do(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1")
    cache.adopt()
    partition = PartitionKey("zad", 1)
    unfinished = Recording("zad", "video2", "zad/video2_seg_*.npz", adopted=Adoption("s3://old/cache"))
    batch = batches.read_batch(corpus.work, partition)
    batches.replace_batch(corpus.work, Batch("zad", 1, False, (*batch.recordings, unfinished)), batch)
    segment_stage.build_segments(corpus.raw, corpus.work, partition, corpus.settings)
    row: Entry = next(entry for entry in read_segments_manifest(corpus).entries if entry.audio_id == "video2")
    assert row.reason == "not_adopted_yet"
    assert "voice adopt s3://old/cache" in row.message
    assert not segment_stage.is_current(corpus.work, batches.read_batch(corpus.work, partition), corpus.settings)


def test_a_file_that_cannot_be_read_just_now_is_tried_again(
    corpus: Corpus, cache: SegmentCache, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    cache.recording("video1")
    bucket = s3_server.new_bucket()
    copy(cache.store, Store(bucket, s3_server.access()), CopyOptions(record=False))
    source = Store(bucket, s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, path="video1_seg_1")
    report = adopt(source, corpus.work, corpus.settings, AdoptOptions())
    assert report.rejected == {("adopt", "not_read"): 1}
    s3_proxy.clear_faults()
    report = adopt(source, corpus.work, corpus.settings, AdoptOptions())
    assert (report.adopted, report.files_written) == (3, 1)
    assert reasons_by_index(read_segments_manifest(corpus)) == {}
