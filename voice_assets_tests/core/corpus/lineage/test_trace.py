"""Every row can be followed back to the recording, the transcript and the settings that it was made from."""

import hashlib
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus, make_line, make_lines
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.forget.forget import mark_forgotten
from voice_core.corpus.lineage.trace_types import Trace
from voice_core.corpus.lineage.tracer import trace_row, verify_trace
from voice_core.corpus.manifest import read_complete_manifest
from voice_core.corpus.names import CODED
from voice_core.corpus.retention import evict
from voice_core.corpus.segment import segment_stage
from voice_core.layout import PartitionKey

NEWS = PartitionKey("news", 1)


@pytest.fixture
def built(corpus: Corpus) -> Corpus:
    for name in ("a", "b"):
        corpus.add_recording(name, 8.0)
    lines = make_lines(6.0, "c")
    lines[1]["text"] = "Far too long a text for c in such a short time. " * 3
    lines[2] |= {"start": 60.0, "end": 61.0}
    corpus.add_recording("c", lines=lines)
    corpus.write_transcript("d", [make_line(0.2, 1.0, "Nobody recorded this.")])
    corpus.audio_path("d").write_bytes(b"no audio")
    corpus.build()
    return corpus


def of(corpus: Corpus, name: str) -> Trace:
    return trace_row(corpus.work, corpus.settings, name)


def sha256_of(corpus: Corpus, key: str) -> str:
    return hashlib.sha256(corpus.path(key).read_bytes()).hexdigest()


def states(corpus: Corpus, name: str) -> dict[str, str]:
    return {check.what: check.state for check in verify_trace(of(corpus, name), corpus.raw, corpus.work)}


def test_a_row_is_followed_from_the_raw_object_to_the_parquet_file(built: Corpus) -> None:
    found = of(built, "news/a_seg_2")
    raw, transcript = built.audio_path("a"), built.transcript_path("a")
    said = json.loads(transcript.read_text())["segments"][2]
    assert (found.audio.key, found.audio.size_bytes) == ("news/a.wav", raw.stat().st_size)
    assert found.audio.sha256 == hashlib.sha256(raw.read_bytes()).hexdigest()
    assert found.audio.etag
    assert found.transcript.key == "news/a.json"
    assert found.transcript.sha256 == hashlib.sha256(transcript.read_bytes()).hexdigest()
    assert (found.line.index, found.line.text) == (2, said["text"])
    assert (found.line.start_sec, found.line.end_sec) == (said["start"], said["end"])
    entry = built.rows("a")[2]
    assert found.cut is not None
    assert (found.cut.start, found.cut.stop, found.cut.sample_rate_hz) == (entry.cut_start, entry.cut_stop, 24_000)
    assert found.cut.start_sec == found.cut.start / 24_000
    assert found.rejected is None
    assert found.settings["fade_sec"] == built.settings.cut.fade_sec
    assert found.code_versions["segments"] == segment_stage.CODE_VERSION
    assert found.code_versions["coded"] == encode_stage.CODE_VERSION
    assert found.codec == {"codec": "small", "revision": "1", "stand_in": True}
    for place in (found.segment, found.coded):
        assert place is not None
        assert sha256_of(built, place.key) == place.sha256
    for row in found.rows:
        table = pq.ParquetFile(built.path(row.file.key)).read_row_group(row.row_group)
        column = f"{row.role}_key" if row.role else "__key__"
        assert table[column][row.row].as_py() == "news/a_seg_2"
        assert sha256_of(built, row.file.key) == row.file.sha256
    assert {row.config for row in found.rows} == {"full", "neutts", "pairs"}
    assert {row.role for row in found.rows if row.config == "pairs"} >= {"target"}
    assert (found.dataset, found.published) == ("voice", ())
    assert found.split_reason.startswith("its recording is ")


def test_the_rows_themselves_carry_what_leads_back_without_the_work_root(built: Corpus) -> None:
    found = of(built, "news/a_seg_2")
    place = next(row for row in found.rows if row.config == "full")
    row: dict[str, Any] = pq.read_table(built.path(place.file.key)).to_pylist()[place.row]
    assert found.cut is not None
    assert found.coded is not None
    assert row["raw_key"] == found.audio.key
    assert row["raw_sha256"] == found.audio.sha256
    assert row["transcript_sha256"] == found.transcript.sha256
    assert row["segment_sha256"] == found.coded.sha256
    assert (row["start_sec"], row["end_sec"]) == (found.cut.start_sec, found.cut.stop_sec)
    assert (row["codec"], row["codec_revision"]) == ("small", "1")
    assert row["code_version"] == f"{segment_stage.CODE_VERSION}-{encode_stage.CODE_VERSION}"


def test_the_measures_are_shown_with_their_thresholds(built: Corpus) -> None:
    found = of(built, "news/a_seg_2")
    entry = built.rows("a")[2]
    assert len(found.measures) == len(type(built.settings.rules).model_fields)
    snr = next(item for item in found.measures if item.measure == "snr_db")
    assert (snr.value, snr.bound, snr.threshold, snr.passes) == (entry.snr_db, "min", 10.0, True)
    assert all(item.value is not None and item.passes for item in found.measures)


def test_a_rejected_line_says_at_which_stage_why_and_by_how_much(built: Corpus) -> None:
    fast = of(built, "news/c_seg_1")
    assert fast.rejected is not None
    assert (fast.rejected.stage, fast.rejected.reason, fast.rejected.threshold) == ("rules", "text_too_fast", 30.0)
    assert fast.rejected.value == built.rows("c")[1].chars_per_sec
    assert [item.measure for item in fast.measures if not item.passes] == ["chars_per_sec"]
    assert fast.segment is not None
    assert (fast.coded, fast.rows, fast.split) == (None, (), "")
    outside = of(built, "news/c_seg_2")
    assert outside.rejected is not None
    assert (outside.rejected.stage, outside.rejected.reason, outside.cut) == ("decode", "out_of_range", None)
    whole = of(built, "news/d_seg_0")
    assert whole.rejected is not None
    assert (whole.rejected.stage, whole.rejected.reason, whole.status) == ("recording", "unreadable", "unreadable")


def test_a_row_has_several_names(built: Corpus) -> None:
    found = of(built, "news/b_seg_1")
    assert found.segment is not None
    assert found.coded is not None
    for name in ("b 1", "news/b 1", found.segment.sha256, found.segment.sha256[:12], found.coded.sha256[:12]):
        assert of(built, name) == found


def test_an_unknown_name_is_an_error_that_lists_similar_names(built: Corpus) -> None:
    with pytest.raises(LookupError, match=r"there is no row news/a_seg_77; did you mean news/a_seg_"):
        of(built, "news/a_seg_77")
    with pytest.raises(LookupError, match=r"there is no row 0123456789abcdef\. A row is named by its __key__"):
        of(built, "0123456789abcdef")
    for name in ("a ²", "news/a_seg_²", "a " + "1" * 5000):
        with pytest.raises(LookupError, match="there is no row"):
            of(built, name)


def test_an_ambiguous_name_is_an_error_that_lists_all_matches(built: Corpus) -> None:
    built.add_recording("a", channel="talk")
    built.build()
    with pytest.raises(LookupError, match=r"a 1 matches news/a_seg_1, talk/a_seg_1: use one of these names"):
        of(built, "a 1")
    assert of(built, "talk/a 1").name == "talk/a_seg_1"


def test_the_trace_of_a_forgotten_recording_says_that_it_was_forgotten(built: Corpus) -> None:
    mark_forgotten(built.work, "b", when="2030-01-01", why="")
    built.build()
    with pytest.raises(LookupError, match="the recording b was forgotten"):
        of(built, "news/b_seg_1")


def test_verifying_reads_everything_again(built: Corpus) -> None:
    name = "news/a_seg_2"
    assert set(states(built, name).values()) == {"same"}
    found = of(built, name)
    assert found.coded is not None
    assert found.segment is not None
    data = built.path(found.coded.key).read_bytes()
    built.path(found.coded.key).write_bytes(data[:-1] + b"x")
    built.path(found.segment.key).unlink()
    audio = built.audio_path("a").read_bytes()
    built.audio_path("a").write_bytes(audio)
    assert states(built, name) | {"coded file": "another", "segment file": "missing", "recording": "same"} == states(
        built, name
    )
    recording = verify_trace(of(built, name), built.raw, built.work)[0]
    assert recording.message == "it was uploaded again with the same content"
    built.audio_path("a").write_bytes(audio[:-2] + b"xx")
    built.transcript_path("a").unlink()
    assert states(built, name) | {"recording": "another", "transcript": "missing"} == states(built, name)


def test_the_trace_says_which_files_are_freed(built: Corpus) -> None:
    for plan in evict.plan_eviction(
        built.work, built.status().partitions, ["segments", "coded", "datasets"], built.settings, force=True
    ):
        evict.evict_files(built.work, plan, built.settings)
    found = of(built, "news/a_seg_2")
    assert found.segment is not None
    assert found.coded is not None
    assert found.segment.freed
    assert found.coded.freed
    assert [(row.config, row.row, row.file.freed) for row in found.rows] == [
        ("full", None, True),
        ("neutts", None, True),
    ]
    assert set(states(built, "news/a_seg_2").values()) == {"same", "freed"}


def test_a_vanished_recording_is_traced_as_far_as_it_is_known(built: Corpus) -> None:
    built.audio_path("a").unlink()
    built.build()
    found = of(built, "news/a_seg_2")
    assert found.status == "vanished"
    assert found.audio.sha256
    assert found.rejected is None
    assert states(built, "news/a_seg_2")["recording"] == "missing"


def test_the_published_revision_is_named_and_whether_it_holds_the_same_files(built: Corpus) -> None:
    root = f"datasets/{built.settings.dataset}/"
    files = [{"path": key.removeprefix(root), "sha256": digest} for key, digest in built.files(root).items()]
    place = {"endpoint": "http://hub", "repo_id": "me/voices", "branch": "main", "revision": "abc", "files": files}
    built.path(f"{root}published.json").write_text(json.dumps({"publications": [place]}))
    (found,) = of(built, "news/a_seg_2").published
    assert (found.url, found.revision, found.same) == ("http://hub/datasets/me/voices", "abc", True)
    built.set(channel_mapping={"news": "The news"})
    built.build()
    assert not of(built, "news/a_seg_2").published[0].same


def test_coded_and_segment_manifests_agree_with_the_trace_of_every_line(built: Corpus) -> None:
    coded = {entry.order: entry for entry in read_complete_manifest(built.work, CODED, NEWS).kept()}
    lines = [entry for entry in built.segments().entries if entry.kind == "line"]
    assert len(lines) == 4 + 4 + 3
    for entry in lines:
        found = of(built, f"news/{entry.audio_id}_seg_{entry.index}")
        assert (found.segment.sha256 if found.segment else "") == entry.sha256
        assert (found.coded.sha256 if found.coded else "") == (coded[entry.order].sha256 if entry.kept else "")
        assert (found.rejected is None) == entry.kept
