"""Segment files of other programs become batches like our own, and nothing of them is lost silently."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voice_assets_tests.core.corpus.world import RATE, World, babble
from voice_assets_tests.servers.faulty import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.audio import to_float, to_pcm16
from voice_core.codecs import load_codec
from voice_core.copy_plan import CopyOptions
from voice_core.copying import copy
from voice_core.corpus import adopt_recording, batches, checks, coding, segmenting
from voice_core.corpus.adopt import AdoptOptions, adopt
from voice_core.corpus.adopt_batch import AdoptReport
from voice_core.corpus.batches import read_batches
from voice_core.corpus.forget import forget
from voice_core.corpus.manifest import Entry, Manifest
from voice_core.corpus.segment_files import load
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey
from voice_core.store import Store

MELVQ = load_codec("melvq")


class Cache:
    """A folder of segment files, as scripts write them: float32, compressed."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        folder.mkdir(parents=True)

    @property
    def store(self) -> Store:
        return Store(self.folder.as_uri())

    def path(self, audio_id: str, index: int, channel: str = "zad") -> Path:
        return self.folder / channel / f"{audio_id}_seg_{index}.npz"

    def write(
        self,
        audio_id: str,
        index: int,
        /,
        *,
        channel: str = "zad",
        seconds: float = 1.5,
        compressed: bool = True,
        pcm: bool = False,
        with_codes: bool = False,
        **fields: Any,
    ) -> Path:
        """A good file, with some fields other than usual; a field that is None is not there."""
        audio: Any = babble(seconds, seed=index + sum(audio_id.encode()))
        codes: Any = MELVQ.encode([to_float(to_pcm16(audio))])[0].astype(np.int64) if with_codes else []
        content: dict[str, Any] = {
            "audio": to_pcm16(audio) if pcm else audio,
            "codes": codes,
            "text": f"Line {index} of {audio_id}, one of several.",
            "speaker_id": "salma",
            "gender": "female",
            "dialect": "najdi",
            "tone": "calm",
            "duration_sec": seconds,
            "audio_id": audio_id,
            **fields,
        }
        content = {name: value for name, value in content.items() if value is not None}
        path = self.path(audio_id, index, channel)
        path.parent.mkdir(parents=True, exist_ok=True)
        (np.savez_compressed if compressed else np.savez)(path, **content)
        return path

    def recording(self, audio_id: str, count: int = 3, **more: Any) -> None:
        for index in range(count):
            self.write(audio_id, index, **more)

    def adopt(self, **options: Any) -> AdoptReport:
        return adopt(self.store, self.world.work, self.world.settings, AdoptOptions(**options))


@pytest.fixture
def cache(world: World, tmp_path: Path) -> Cache:
    return Cache(world, tmp_path / "segments_cache")


def _manifest(world: World, channel: str = "zad", number: int = 1) -> Manifest:
    return world.segments(channel, number)


def _reasons(manifest: Manifest) -> dict[int, str]:
    return {entry.index: entry.reason for entry in manifest.entries if entry.reason}


def _sound(world: World, manifest: Manifest) -> None:
    for outcome in (
        checks.seconds_add_up(manifest),
        checks.files_intact(world.work, [(entry.key, entry.sha256) for entry in manifest.files()]),
        checks.texts_present(manifest),
        checks.no_overlap(manifest),
    ):
        assert outcome.passed, outcome.message


def test_adopted_segments_are_built_to_rows_like_our_own(world: World, cache: Cache) -> None:
    cache.recording("video1")
    cache.recording("video2", channel="atheer")
    report = cache.adopt()
    assert (report.adopted, report.recordings, report.objects) == (6, 2, 6)
    assert [str(key) for key in report.partitions] == ["atheer/batch-0001", "zad/batch-0001"]
    manifest = _manifest(world)
    _sound(world, manifest)
    assert segmenting.is_current(world.work, read_batches(world.work)[1], world.settings)
    assert [entry.kept for entry in manifest.entries] == [True] * 3
    assert all(entry.snr_db is not None and entry.speaker_id == "salma" for entry in manifest.entries)

    world.build()
    assert world.codec.encoded == 6
    rows = world.segments("zad").recordings[0]
    assert (rows.raw_key, rows.status) == ("zad/video1_seg_*.npz", "ok")
    before = world.files()
    world.build()
    assert world.codec.encoded == 6
    assert world.files() == before


def test_a_second_adoption_reads_nothing(world: World, cache: Cache) -> None:
    cache.recording("video1")
    assert cache.adopt().files_read == 3
    before = world.files()
    for path in cache.folder.rglob("*.npz"):  # with another content under the same name nobody would notice
        times = path.stat()
        path.write_bytes(b"x" * times.st_size)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = cache.adopt()
    assert (again.files_read, again.adopted) == (0, 3)
    assert world.files() == before


def test_files_keep_their_bytes_unless_the_house_form_holds_the_same(world: World, cache: Cache) -> None:
    floats = cache.write("video1", 0)
    rounded = babble(1.5, seed=1)
    cache.write("video1", 1, audio=to_float(to_pcm16(rounded)))
    cache.write("video1", 2, pcm=True)
    cache.adopt()
    stored = [world.path(entry.key).read_bytes() for entry in _manifest(world).entries]
    assert stored[0] == floats.read_bytes()
    with zipfile.ZipFile(world.path(_manifest(world).entries[1].key)) as archive:
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
    assert np.array_equal(load(stored[1], "").audio, to_pcm16(rounded))
    for index in (1, 2):
        with np.load(world.path(_manifest(world).entries[index].key)) as arrays:
            assert arrays["audio"].dtype == np.int16

    cache.adopt(form="int16")
    with np.load(world.path(_manifest(world).entries[0].key)) as arrays:
        assert arrays["audio"].dtype == np.int16
        assert np.array_equal(arrays["audio"], load(stored[0], "").audio)


def test_a_malformed_file_is_rejected_with_its_reason_and_the_rest_is_adopted(world: World, cache: Cache) -> None:
    cache.write("v", 0)
    whole = cache.write("v", 1)
    whole.write_bytes(whole.read_bytes()[:5000])
    np.savez(cache.write("v", 2), audio=np.array([{"a": 1}], dtype=object))
    cache.write("v", 3, gender=None)
    cache.write("v", 4, audio=np.zeros(36_000, np.uint8))
    cache.write("v", 5, audio=np.empty(0, np.float32))
    cache.write("v", 6, audio=np.full(36_000, np.nan, np.float32))
    cache.write("v", 7, text="  ")
    cache.write("v", 8, audio=babble(1.5, 16_000))
    cache.write("v", 9, duration_sec=7.0)
    cache.write("v", 10, duration_sec=float("nan"))
    cache.write("v", 11, audio_id="another")
    cache.write("v", 12, text="NUL \x00 in it")
    cache.write("v", 13, speaker_id="\ud800")
    cache.path("v", 14).write_bytes(b"")
    cache.write("v", 15, audio=np.zeros((2, 18_000), np.float32))
    shutil.copy(cache.path("v", 0), cache.folder / "zad" / "v_seg_00.npz")
    report = cache.adopt()
    manifest = _manifest(world)
    _sound(world, manifest)
    assert _reasons(manifest) == {
        0: "duplicate", 1: "unreadable", 2: "unreadable", 3: "unreadable", 4: "unreadable", 5: "no_audio",
        6: "unreadable", 7: "empty_text", 8: "other_sample_rate", 9: "duration_differs", 10: "bad_duration",
        11: "other_audio_id", 12: "bad_text", 13: "bad_metadata", 14: "unreadable", 15: "unreadable",
    }  # fmt: skip
    assert [entry.index for entry in manifest.kept()] == [0]
    rate = next(entry for entry in manifest.entries if entry.reason == "other_sample_rate")
    assert (rate.value, rate.threshold) == (16_000.0, 24_000.0)
    assert "lacks gender" in next(entry.message for entry in manifest.entries if entry.index == 3)
    assert (report.adopted, report.rejected.total(), report.objects) == (1, 16, 17)
    assert manifest.recordings[0].status == "damaged"
    world.build()
    assert cache.adopt().files_read == 0


def test_every_object_is_answered_for(world: World, cache: Cache) -> None:
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


def test_files_without_a_folder_need_a_channel(world: World, cache: Cache) -> None:
    cache.write("video1", 0, channel="")
    with pytest.raises(ValueError, match="--channel"):
        cache.adopt()
    assert cache.adopt(channel="News TV").adopted == 1
    assert [str(batch.partition) for batch in read_batches(world.work)] == ["News TV/batch-0001"]


def test_codes_are_taken_over_when_the_caller_says_whose_they_are(world: World, cache: Cache) -> None:
    cache.recording("video1", with_codes=True)
    cache.write("video1", 3)
    codes = load(cache.path("video1", 1).read_bytes(), "").codes
    cache.adopt(codec="melvq", revision=MELVQ.revision)
    partition = PartitionKey("zad", 1)
    report = coding.build_codes(world.work, partition, MELVQ, world.settings)
    assert report.segments_encoded == 1
    stored = load(world.path("coded/zad/batch-0001/video1_seg_1.npz").read_bytes(), "")
    assert np.array_equal(stored.codes, codes)
    assert checks.codes_valid(world.work, report.manifest, MELVQ).passed
    assert coding.build_codes(world.work, partition, MELVQ, world.settings).segments_encoded == 0

    other = coding.build_codes(world.work, partition, world.codec, world.settings)
    assert other.segments_encoded == 4


def test_codes_of_nobody_knows_what_are_made_anew(world: World, cache: Cache) -> None:
    cache.recording("video1", with_codes=True)
    cache.adopt()
    assert coding.build_codes(world.work, PartitionKey("zad", 1), MELVQ, world.settings).segments_encoded == 3
    with pytest.raises(ValueError, match=MELVQ.revision):
        cache.adopt(codec="melvq")
    with pytest.raises(ValueError, match="Known: melvq"):
        cache.adopt(codec="nobody", revision="1")


def test_codes_that_cannot_be_the_codecs_are_rejected(world: World, cache: Cache) -> None:
    cache.write("v", 0, codes=np.arange(74))
    cache.write("v", 1, codes=np.arange(75) + 70_000)
    cache.write("v", 2, codes=np.full(75, 7))
    cache.write("v", 3, codes=np.arange(75).reshape(1, 1, 75))
    cache.write("v", 4, codes=np.linspace(0, 1, 75))
    cache.write("v", 5, codes=np.arange(75) + 2**32)
    cache.adopt(codec="melvq", revision=MELVQ.revision)
    assert _reasons(_manifest(world)) == {
        0: "codes_do_not_fit", 1: "codes_do_not_fit", 2: "codes_do_not_fit", 4: "unreadable", 5: "unreadable",
    }  # fmt: skip
    cache.adopt()
    assert _reasons(_manifest(world)) == {4: "unreadable", 5: "unreadable"}


def test_a_file_that_is_too_large_for_a_segment_is_not_read(
    world: World, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopt_recording, "MOST_BYTES", 200_000)
    cache.recording("video1", count=2)
    cache.write("video1", 2, seconds=9.0)
    cache.adopt()
    assert _reasons(_manifest(world)) == {2: "too_large"}
    assert cache.adopt().files_read == 0


def test_the_rules_judge_adopted_segments_and_change_their_mind_without_the_source(world: World, cache: Cache) -> None:
    cache.recording("video1")
    cache.write("video1", 3, seconds=0.4, text="Yes, so.")
    cache.adopt()
    assert _reasons(_manifest(world)) == {3: "too_short"}
    shutil.rmtree(cache.folder)
    world.set(rules={"min_duration_sec": 0.3})
    segmenting.build_segments(world.raw, world.work, PartitionKey("zad", 1), world.settings)
    assert _reasons(_manifest(world)) == {}


def test_batches_of_adopted_recordings_have_the_usual_limits_and_no_others_in_them(world: World, cache: Cache) -> None:
    world.set(batch={"max_recordings": 2})
    world.record("own", channel="zad")
    world.build(card=False)
    for name in ("a", "b", "c"):
        cache.recording(name, count=1)
    cache.adopt()
    world.record("later", channel="zad")
    world.snapshot()
    dealt = {batch.number: [item.audio_id for item in batch.recordings] for batch in read_batches(world.work)}
    assert dealt == {1: ["own", "later"], 2: ["a", "b"], 3: ["c"]}
    cache.recording("d", count=1)
    cache.adopt()
    assert [item.audio_id for item in read_batches(world.work)[2].recordings] == ["c", "d"]


def test_batches_are_full_by_hours_too(world: World, cache: Cache) -> None:
    world.set(batch={"max_hours": 7 / 3600})
    for name in "abcd":
        cache.recording(name, count=3)
    cache.adopt()
    found = read_batches(world.work)
    assert [len(batch.recordings) for batch in found] == [2, 2]
    assert [round(batch.hours * 3600, 1) for batch in found] == [9.0, 9.0]


def test_a_recording_that_comes_later_is_not_cut_a_second_time(world: World, cache: Cache) -> None:
    cache.recording("video1")
    cache.adopt()
    world.build(card=False)
    world.record("video1", channel="zad")
    found = world.discover()
    assert (found.new, found.changed) == (0, ())
    assert [(stray.key, stray.reason) for stray in found.listing.strays] == [
        ("zad/video1.wav", f"segments of this recording were adopted from {cache.folder.as_uri()}")
    ]
    before = world.files("segments")
    world.build(card=False)
    assert world.files("segments") == before


def test_segments_of_a_recording_that_is_here_already_are_left_out(world: World, cache: Cache) -> None:
    world.record("video1", channel="zad")
    world.snapshot()
    cache.recording("video1")
    report = cache.adopt()
    assert report.left_out == {"the recording itself is in zad/batch-0001, and is cut there": 3}
    assert (report.adopted, report.objects) == (0, 3)


def test_an_adopted_recording_can_be_forgotten(world: World, cache: Cache) -> None:
    cache.recording("video1")
    cache.recording("video2")
    cache.adopt()
    world.build(card=False)
    forget(world.work, world.settings, "video1", when="2026-01-01", why="asked to")
    world.build(card=False)
    assert {entry.audio_id for entry in _manifest(world).entries} == {"video2"}
    assert not [key for key in world.files() if "video1_seg" in key]
    assert cache.adopt().left_out == {"the recording was forgotten": 3}


def test_what_was_added_mended_or_lost_is_taken_in_by_the_next_run(world: World, cache: Cache) -> None:
    cache.recording("video1")
    broken = cache.path("video1", 1)
    good = broken.read_bytes()
    broken.write_bytes(b"")
    cache.adopt()
    assert _reasons(_manifest(world)) == {1: "unreadable"}
    broken.write_bytes(good)
    cache.write("video1", 3)
    cache.path("video1", 0).unlink()  # what was adopted of it stays
    report = cache.adopt()
    assert (report.files_read, report.files_written) == (3, 2)
    assert [entry.index for entry in _manifest(world).kept()] == [0, 1, 2, 3]

    world.path(_manifest(world).entries[2].key).unlink()
    segmenting.build_segments(world.raw, world.work, PartitionKey("zad", 1), world.settings)
    assert _reasons(_manifest(world)) == {2: "file_lost"}
    cache.adopt()
    assert _reasons(_manifest(world)) == {}
    _sound(world, _manifest(world))


def test_a_file_that_is_broken_now_takes_its_segment_away(world: World, cache: Cache) -> None:
    cache.recording("video1")
    cache.adopt()
    cache.path("video1", 1).write_bytes(b"broken")
    cache.adopt()
    assert _reasons(_manifest(world)) == {1: "unreadable"}
    assert len(world.files("segments")) == 3  # two segments and the manifest


def test_the_same_recording_from_another_place_is_only_taken_when_asked(
    world: World, cache: Cache, tmp_path: Path
) -> None:
    cache.recording("video1")
    cache.adopt()
    other = Cache(world, tmp_path / "other")
    other.recording("video1", count=2, tone="glad")
    assert list(other.adopt().left_out) == [
        f"it was adopted from {cache.folder.as_uri()}; --replace takes these files instead"
    ]
    assert other.adopt(replace=True).adopted == 2
    assert [entry.tone for entry in _manifest(world).entries] == ["glad", "glad"]


_PROGRAM = """
import sys
from pathlib import Path
from voice_core.corpus import adopt_batch
from voice_core.corpus.adopt import AdoptOptions, adopt
from voice_core.settings import Settings
from voice_core.store import Store
adopt_batch._SAVE_SEC = 0.0
settings = Settings(work_url=sys.argv[2], workers=1, batch={"max_recordings": 5})
adopt(Store(Path(sys.argv[1]).as_uri()), Store(settings.work_url, create=True), settings, AdoptOptions())
"""


def _count(folder: Path) -> int:
    return sum(name.endswith(".npz") for _, _, names in os.walk(folder) for name in names)


def test_an_adoption_that_is_killed_goes_on_and_ends_in_the_same_bytes(
    world: World, cache: Cache, tmp_path: Path
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
    contents = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (quiet, killed)
    ]
    assert contents[0] == contents[1]
    assert Counter(path.suffix for path in contents[0])[".npz"] == 32


def test_an_unfinished_adoption_says_what_to_do(world: World, cache: Cache) -> None:
    cache.recording("video1")
    cache.adopt()
    partition = PartitionKey("zad", 1)
    unfinished = batches.Recording("zad", "video2", "zad/video2_seg_*.npz", adopted=batches.Adoption("s3://old/cache"))
    batch = batches.read_batch(world.work, partition)
    batches.replace_batch(world.work, batches.Batch("zad", 1, False, (*batch.recordings, unfinished)), batch)
    segmenting.build_segments(world.raw, world.work, partition, world.settings)
    row: Entry = next(entry for entry in _manifest(world).entries if entry.audio_id == "video2")
    assert row.reason == "not_adopted_yet"
    assert "voice adopt s3://old/cache" in row.message
    assert not segmenting.is_current(world.work, batches.read_batch(world.work, partition), world.settings)


def test_an_adopted_row_has_no_times_since_nobody_knows_them(world: World, cache: Cache) -> None:
    import pyarrow.parquet as pq

    cache.recording("video1")
    cache.adopt()
    world.build(card=False)
    rows = pq.read_table(next(world.work_dir.rglob("data/zad/*.parquet"))).to_pylist()
    assert {(row["start_sec"], row["end_sec"], row["raw_sha256"]) for row in rows} == {(None, None, "")}
    assert {row["duration_sec"] for row in rows} == {1.5}
    assert world.settings.cut.sample_rate_hz == RATE


def test_a_bucket_is_adopted_into_another_as_a_folder_is(
    world: World, cache: Cache, s3_server: S3Server, gcs_server: GcsServer
) -> None:
    cache.recording("video1")
    cache.recording("video2", channel="أثير")
    cache.adopt()
    url = gcs_server.new_bucket()
    gcs_server.upload_folder(url, cache.folder)
    work = Store(s3_server.new_bucket(), s3_server.access())
    source = Store(url, gcs_server.access())
    for files_read in (6, 0):
        assert adopt(source, work, world.settings, AdoptOptions()).files_read == files_read
        found = {item.key: sha256(work.get(item.key)) for item in work.listing("segments")}
        assert found == world.files("segments")


def test_a_file_that_cannot_be_read_just_now_is_tried_again(
    world: World, cache: Cache, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    cache.recording("video1")
    bucket = s3_server.new_bucket()
    copy(cache.store, Store(bucket, s3_server.access()), CopyOptions(record=False))
    source = Store(bucket, s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, path="video1_seg_1")
    report = adopt(source, world.work, world.settings, AdoptOptions())
    assert report.rejected == {("adopt", "not_read"): 1}
    s3_proxy.behave()
    report = adopt(source, world.work, world.settings, AdoptOptions())
    assert (report.adopted, report.files_written) == (3, 1)
    assert _reasons(_manifest(world)) == {}
