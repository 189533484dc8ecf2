"""Single segment files: kept to the byte, rewritten in this project's form, or rejected with a reason."""

import shutil
import zipfile

import numpy as np
import pytest

from voice_assets_tests.core.corpus.adopt.segment_cache import (
    MELVQ,
    SegmentCache,
    read_segments_manifest,
    reasons_by_index,
)
from voice_assets_tests.core.corpus.small_corpus import Corpus, speech_like_noise
from voice_core.audio.pcm import to_float, to_pcm16
from voice_core.corpus import checks
from voice_core.corpus.adopt import adopt_recording
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.segment.segment_files import load_segment
from voice_core.layout import PartitionKey


def test_files_keep_their_bytes_unless_this_projects_form_has_the_same_content(
    corpus: Corpus, cache: SegmentCache
) -> None:
    floats = cache.write("video1", 0)
    rounded = speech_like_noise(1.5, seed=1)
    cache.write("video1", 1, audio=to_float(to_pcm16(rounded)))
    cache.write("video1", 2, pcm=True)
    cache.adopt()
    stored = [corpus.path(entry.key).read_bytes() for entry in read_segments_manifest(corpus).entries]
    assert stored[0] == floats.read_bytes()
    with zipfile.ZipFile(corpus.path(read_segments_manifest(corpus).entries[1].key)) as archive:
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
    assert np.array_equal(load_segment(stored[1], "").audio, to_pcm16(rounded))
    for index in (1, 2):
        with np.load(corpus.path(read_segments_manifest(corpus).entries[index].key)) as arrays:
            assert arrays["audio"].dtype == np.int16

    cache.adopt(form="int16")
    with np.load(corpus.path(read_segments_manifest(corpus).entries[0].key)) as arrays:
        assert arrays["audio"].dtype == np.int16
        assert np.array_equal(arrays["audio"], load_segment(stored[0], "").audio)


def test_a_malformed_file_is_rejected_with_its_reason_and_the_rest_is_adopted(
    corpus: Corpus, cache: SegmentCache
) -> None:
    cache.write("v", 0)
    whole = cache.write("v", 1)
    whole.write_bytes(whole.read_bytes()[:5000])
    np.savez(cache.write("v", 2), audio=np.array([{"a": 1}], dtype=object))
    cache.write("v", 3, gender=None)
    cache.write("v", 4, audio=np.zeros(36_000, np.uint8))
    cache.write("v", 5, audio=np.empty(0, np.float32))
    cache.write("v", 6, audio=np.full(36_000, np.nan, np.float32))
    cache.write("v", 7, text="  ")
    cache.write("v", 8, audio=speech_like_noise(1.5, 16_000))
    cache.write("v", 9, duration_sec=7.0)
    cache.write("v", 10, duration_sec=float("nan"))
    cache.write("v", 11, audio_id="another")
    cache.write("v", 12, text="NUL \x00 in it")
    cache.write("v", 13, speaker_id="\ud800")
    cache.path("v", 14).write_bytes(b"")
    cache.write("v", 15, audio=np.zeros((2, 18_000), np.float32))
    shutil.copy(cache.path("v", 0), cache.folder / "zad" / "v_seg_00.npz")
    report = cache.adopt()
    manifest = read_segments_manifest(corpus)
    corpus.assert_manifest_valid(manifest)
    assert reasons_by_index(manifest) == {
        0: "duplicate", 1: "unreadable", 2: "unreadable", 3: "unreadable", 4: "unreadable", 5: "no_audio",
        6: "unreadable", 7: "empty_text", 8: "other_sample_rate", 9: "duration_differs", 10: "bad_duration",
        11: "other_audio_id", 12: "bad_text", 13: "bad_metadata", 14: "unreadable", 15: "unreadable",
    }  # fmt: skip
    assert [entry.index for entry in manifest.kept()] == [0]
    rate = next(entry for entry in manifest.entries if entry.reason == "other_sample_rate")
    assert (rate.value, rate.threshold) == (16_000.0, 24_000.0)
    assert "gender is missing" in next(entry.message for entry in manifest.entries if entry.index == 3)
    assert (report.adopted, report.rejected.total(), report.objects) == (1, 16, 17)
    assert manifest.recordings[0].status == "damaged"
    corpus.build()
    assert cache.adopt().files_read == 0


def test_codes_are_adopted_when_the_caller_names_their_codec(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1", with_codes=True)
    cache.write("video1", 3)
    codes = load_segment(cache.path("video1", 1).read_bytes(), "").codes
    cache.adopt(codec="melvq", revision=MELVQ.revision)
    partition = PartitionKey("zad", 1)
    report = encode_stage.build_codes(corpus.work, partition, MELVQ, corpus.settings)
    assert report.segments_encoded == 1
    stored = load_segment(corpus.path("coded/zad/batch-0001/video1_seg_1.npz").read_bytes(), "")
    assert np.array_equal(stored.codes, codes)
    assert checks.codes_valid(corpus.work, report.manifest, MELVQ).passed
    assert encode_stage.build_codes(corpus.work, partition, MELVQ, corpus.settings).segments_encoded == 0

    other = encode_stage.build_codes(corpus.work, partition, corpus.codec, corpus.settings)
    assert other.segments_encoded == 4


def test_codes_without_a_recorded_codec_are_encoded_again(corpus: Corpus, cache: SegmentCache) -> None:
    cache.recording("video1", with_codes=True)
    cache.adopt()
    assert encode_stage.build_codes(corpus.work, PartitionKey("zad", 1), MELVQ, corpus.settings).segments_encoded == 3
    with pytest.raises(ValueError, match=MELVQ.revision):
        cache.adopt(codec="melvq")
    with pytest.raises(ValueError, match="known: melvq"):
        cache.adopt(codec="nobody", revision="1")


def test_codes_that_cannot_be_the_codecs_are_rejected(corpus: Corpus, cache: SegmentCache) -> None:
    cache.write("v", 0, codes=np.arange(74))
    cache.write("v", 1, codes=np.arange(75) + 70_000)
    cache.write("v", 2, codes=np.full(75, 7))
    cache.write("v", 3, codes=np.arange(75).reshape(1, 1, 75))
    cache.write("v", 4, codes=np.linspace(0, 1, 75))
    cache.write("v", 5, codes=np.arange(75) + 2**32)
    cache.adopt(codec="melvq", revision=MELVQ.revision)
    assert reasons_by_index(read_segments_manifest(corpus)) == {
        0: "codes_do_not_fit", 1: "codes_do_not_fit", 2: "codes_do_not_fit", 4: "unreadable", 5: "unreadable",
    }  # fmt: skip
    cache.adopt()
    assert reasons_by_index(read_segments_manifest(corpus)) == {4: "unreadable", 5: "unreadable"}


def test_a_file_that_is_too_large_for_a_segment_is_not_read(
    corpus: Corpus, cache: SegmentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopt_recording, "MAX_FILE_BYTES", 200_000)
    cache.recording("video1", count=2)
    cache.write("video1", 2, seconds=9.0)
    cache.adopt()
    assert reasons_by_index(read_segments_manifest(corpus)) == {2: "too_large"}
    assert cache.adopt().files_read == 0
