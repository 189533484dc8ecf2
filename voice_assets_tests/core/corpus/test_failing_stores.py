"""Stores that fail for a while, deny one object, return outdated listings, or contain unusual names."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudCorpus, without_batch_records
from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.concurrent_builds import build_concurrently
from voice_assets_tests.soak.fault_injection import inject_random_faults
from voice_core.corpus.ingest.batches import list_partitions, read_batch
from voice_core.corpus.segment import cut_recording as cut_module
from voice_core.corpus.segment import segment_stage
from voice_core.corpus.segment.cut_recording import cut_recording
from voice_core.layout import PartitionKey
from voice_core.storage.store import AccessDeniedError, StoreError

PARTITION = PartitionKey("news", 1)
HOSTILE = ["a b", "x%2Fy", "أخبار الاثنين", "q?z#w&=+", "deep/er/one", "n" * 200, "..dots..", "C:\\x"]


@pytest.fixture
def cloud(tmp_path: Path, s3_server: S3Server, s3_proxy: FaultyProxy) -> CloudCorpus:
    """Two recordings on S3, reached through a proxy, not built yet."""
    access, direct = s3_server.access(s3_proxy.url), s3_server.access()
    buckets = Buckets(s3_server.new_bucket(), f"{s3_server.new_bucket()}/work", access, access, direct, direct)
    corpus = CloudCorpus(tmp_path, buckets)
    corpus.add_recording("a", 4.0)
    corpus.add_recording("b", 4.0)
    corpus.upload()
    return corpus


def on_disk(corpus: CloudCorpus, folder: Path) -> Corpus:
    """The same recordings on local disk, built."""
    folder.mkdir()
    local = Corpus(folder)
    shutil.copytree(corpus.raw_dir, local.raw_dir, dirs_exist_ok=True)
    local.build()
    return local


@pytest.mark.parametrize("seed", range(3))
def test_a_build_with_transient_store_errors_ends_in_the_bytes_of_one_on_local_disk(
    seed: int, cloud: CloudCorpus, s3_proxy: FaultyProxy, tmp_path: Path
) -> None:
    inject_random_faults(s3_proxy, seed)
    cloud.build()
    assert without_batch_records(cloud.files()) == without_batch_records(on_disk(cloud, tmp_path / "local").files())
    assert not cloud.files("locks/")


def test_a_recording_that_is_denied_is_reported_and_tried_again_and_the_others_are_built(
    cloud: CloudCorpus, s3_proxy: FaultyProxy
) -> None:
    s3_proxy.answer(403, "AccessDenied", times=0, path=r"/news/a\.wav")
    cloud.build()
    manifest = cloud.segments()
    denied, fine = manifest.recordings
    assert (denied.status, fine.status) == ("unreachable", "ok")
    assert "a.wav" in denied.message
    assert "access denied" in denied.message
    assert {entry.audio_id for entry in manifest.kept()} == {"b"}
    assert not segment_stage.is_current(cloud.work, read_batch(cloud.work, PARTITION), cloud.settings)
    s3_proxy.clear_faults()
    cloud.build()
    assert {entry.audio_id for entry in cloud.segments().kept()} == {"a", "b"}


def test_a_transcript_that_is_denied_rejects_only_its_recording(cloud: CloudCorpus, s3_proxy: FaultyProxy) -> None:
    s3_proxy.answer(403, "AccessDenied", times=0, path=r"/news/a\.json")
    cloud.build()
    denied, fine = cloud.segments().recordings
    assert denied.status != "ok"
    assert "a.json" in denied.message
    assert fine.status == "ok"
    s3_proxy.clear_faults()
    cloud.build()
    assert {entry.audio_id for entry in cloud.segments().kept()} == {"a", "b"}


def test_what_was_cut_before_stays_while_its_recording_cannot_be_read(
    cloud: CloudCorpus, s3_proxy: FaultyProxy
) -> None:
    cloud.build()
    before = cloud.files("segments/")
    cloud.write_transcript("a", [*make_lines(4.0, "a")[:1], {**make_lines(4.0, "a")[1], "text": "Corrected, at last."}])
    cloud.upload()
    s3_proxy.answer(403, "AccessDenied", times=0, method="GET", path=r"/news/a\.wav")
    report = cloud.segment()
    assert report.manifest.recordings[0].status == "unreachable"
    assert "its earlier segments are kept" in report.manifest.recordings[0].message
    assert {key: digest for key, digest in cloud.files("segments/").items() if key.endswith(".npz")} == {
        key: digest for key, digest in before.items() if key.endswith(".npz")
    }
    s3_proxy.clear_faults()
    assert cloud.segment().segments_cut == 1
    assert "Corrected, at last." in [entry.text for entry in cloud.segments().kept()]


def test_a_file_that_may_not_be_written_rejects_only_its_recording(cloud: CloudCorpus, s3_proxy: FaultyProxy) -> None:
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT", path=r"/segments/.*/a_seg_1\.npz")
    cloud.build()
    denied, fine = cloud.segments().recordings
    assert (denied.status, fine.status) == ("unreachable", "ok")
    assert "a_seg_1.npz" in denied.message
    s3_proxy.clear_faults()
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT", path=r"/coded/.*/a_seg_0\.npz")
    cloud.segment()
    rejected = [entry for entry in cloud.encode().manifest.entries if entry.reason == "not_written"]
    assert [(entry.audio_id, entry.index) for entry in rejected] == [("a", 0)]
    s3_proxy.clear_faults()
    assert cloud.encode().segments_encoded == 1


def test_a_bucket_that_may_not_be_written_to_is_one_clear_error(cloud: CloudCorpus, s3_proxy: FaultyProxy) -> None:
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT")
    with pytest.raises(AccessDeniedError, match=r"batches/news/batch-0001\.json: access denied"):
        cloud.build()


def test_a_clock_that_is_off_is_named(cloud: CloudCorpus, s3_proxy: FaultyProxy) -> None:
    s3_proxy.answer(403, "RequestTimeTooSkewed", times=0)
    with pytest.raises(StoreError, match="clock differs too much from the server's"):
        cloud.build()


def test_outdated_listings_assign_nothing_twice_and_lose_nothing(
    cloud: CloudCorpus, s3_proxy: FaultyProxy, tmp_path: Path
) -> None:
    cloud.discover()  # the proxy remembers the work root as empty, and the raw bucket without c
    s3_proxy.stale_listings()
    cloud.add_recording("c", 4.0)
    cloud.upload()
    cloud.build()
    assigned = [item.audio_id for item in read_batch(cloud.direct_work, PARTITION).recordings]
    assert assigned == ["a", "b"]
    s3_proxy.clear_faults()
    cloud.build()
    assert list_partitions(cloud.direct_work) == [PARTITION]
    assert [item.audio_id for item in read_batch(cloud.direct_work, PARTITION).recordings] == ["a", "b", "c"]
    assert without_batch_records(cloud.files()) == without_batch_records(on_disk(cloud, tmp_path / "local").files())


def test_a_recording_that_is_replaced_while_it_is_read_gives_segments_of_neither_and_then_of_the_new_one(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.add_recording("a", 4.0)
    corpus.add_recording("b", 4.0)

    def replaced(task: object) -> object:
        corpus.add_recording("a", 4.0, seed=99)  # after the batch was inspected, before the audio is read
        return cut_recording(task)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(cut_module, "cut_recording", replaced)
        report = corpus.segment()
    outcome = report.manifest.recordings[0]
    assert outcome.status == "unreachable"
    assert "was replaced after its batch was inspected" in outcome.message
    assert {entry.audio_id for entry in report.manifest.kept()} == {"b"}
    assert {entry.audio_id for entry in corpus.segment().manifest.kept()} == {"a", "b"}


def test_two_builds_of_the_same_corpus_at_once_end_in_the_bytes_of_one(cloud: CloudCorpus, tmp_path: Path) -> None:
    build_concurrently(cloud, tmp_path / "other")
    assert without_batch_records(cloud.files()) == without_batch_records(on_disk(cloud, tmp_path / "local").files())
    assert not cloud.files("locks/")


@pytest.mark.parametrize("kind", ["s3", "gcs+s3"])
def test_hostile_names_and_contents_go_through_buckets_as_they_do_on_disk(
    kind: str, tmp_path: Path, s3_server: S3Server, gcs_server: GcsServer
) -> None:
    access = s3_server.access()
    work_url = f"{s3_server.new_bucket()}/work"
    if kind == "s3":
        buckets = Buckets(s3_server.new_bucket(), work_url, access, access, access, access)
    else:
        gcs_access = gcs_server.access()
        buckets = Buckets(gcs_server.new_bucket(), work_url, gcs_access, access, gcs_access, access)
    corpus = CloudCorpus(tmp_path, buckets)
    corpus.add_recording("template", 4.0)
    audio = corpus.audio_path("template").read_bytes()
    lines = json.dumps({"segments": make_lines(4.0, "template")}).encode()
    objects = {f"news/{name}.wav": audio for name in HOSTILE} | {f"news/{name}.json": lines for name in HOSTILE}
    objects |= {
        "news/huge.json": b'{"segments": [' + b" " * 200_000 + b"]}",
        "news/huge.wav": audio,
        "news/nan.json": b'{"segments": [{"start": NaN, "end": 1e999, "text": "x"}, {"start": -1, "end": 1}]}',
        "news/nan.wav": audio,
    }
    strange = {"news/../escape.wav": audio, "news//double.wav": audio}
    if kind == "gcs+s3":  # the test's S3 server does not accept such names
        strange["news/tab\tand\nline.wav"] = audio
    if kind == "s3":
        for key, data in (objects | strange).items():
            s3_server.client().put_object(Bucket=buckets.raw_url.removeprefix("s3://"), Key=key, Body=data)
    else:
        gcs_server.upload(buckets.raw_url, objects | strange)
    corpus.set(max_transcript_mb=0.1)
    found = corpus.discover()
    assert {stray.key for stray in found.listing.strays} >= set(strange)
    corpus.build()
    outcomes = {item.audio_id: item for item in corpus.segments().recordings}
    assert outcomes.keys() == {*HOSTILE, "huge", "nan"}
    assert {name for name, item in outcomes.items() if item.status == "ok"} == {*HOSTILE, "nan"}
    assert outcomes["huge"].status == "bad_transcript"
    kept = {entry.audio_id for entry in corpus.segments().kept()}
    assert kept == set(HOSTILE)


def test_a_full_disk_stops_the_step_with_a_clear_error_and_a_rerun_repairs_it(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.add_recording("a", 4.0)
    corpus.build()
    wanted = corpus.files()
    for path in sorted(corpus.work_dir.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    written = 0

    def full(path: Path, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        with path.open("wb") as file:
            return file.write(data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match="the disk is full; free some space and run the command again; no data"):
            corpus.build()
    assert not list(corpus.work_dir.rglob("*.part*"))
    corpus.build()
    assert without_batch_records(corpus.files()) == without_batch_records(wanted)
