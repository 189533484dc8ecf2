import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus, OtherLastCode, SmallCodec
from voice_core.codecs import load_codec
from voice_core.codecs.base import Audio, Codec, Codes, Margins, OutOfMemoryError
from voice_core.corpus.checks import codes_valid, files_intact, seconds_add_up
from voice_core.corpus.dataset.summary import summarise
from voice_core.corpus.encode import encode_stage, segment_encoder
from voice_core.corpus.forget import forget
from voice_core.corpus.manifest import Manifest, read_manifest
from voice_core.corpus.segment.segment_files import load_segment
from voice_core.layout import PartitionKey
from voice_core.settings import Settings

NEWS = PartitionKey("news", 1)


@pytest.fixture
def segmented(corpus: Corpus) -> Corpus:
    corpus.add_recording("a")
    corpus.add_recording("b", 4.0)
    corpus.segment()
    return corpus


def sound(manifest: Manifest, corpus: Corpus, codec: Codec | None = None) -> None:
    for outcome in (
        seconds_add_up(manifest),
        codes_valid(corpus.work, manifest, codec or corpus.codec),
        files_intact(corpus.work, [(entry.key, entry.sha256) for entry in manifest.files()]),
    ):
        assert outcome.passed, outcome
    listed = {entry.key for entry in manifest.files()} | {"coded/news/batch-0001/_manifest.parquet"}
    assert set(corpus.files("coded")) == listed


def current(corpus: Corpus, manifest: Manifest) -> bool:
    return encode_stage.is_current(corpus.segments(), manifest, corpus.codec, corpus.settings)


def test_the_small_codec_of_these_tests_is_a_codec() -> None:
    assert isinstance(SmallCodec(), Codec)


def test_every_kept_segment_is_written_again_with_its_codes(segmented: Corpus) -> None:
    report = segmented.encode()
    assert report.segments_encoded == 5
    sound(report.manifest, segmented)
    for before, after in zip(segmented.segments().kept(), report.manifest.kept(), strict=True):
        plain, coded = load_segment(segmented.work.get(before.key), ""), load_segment(segmented.work.get(after.key), "")
        np.testing.assert_array_equal(plain.audio, coded.audio)
        assert (plain.text, plain.speaker_id) == (coded.text, coded.speaker_id)
        assert len(plain.codes) == 0
        np.testing.assert_array_equal(coded.codes, SmallCodec().encode([plain.audio / np.float32(32768)])[0])
        assert (after.code_count, after.distinct_codes) == (len(coded.codes), len(set(coded.codes.tolist())))
    assert report.manifest.parameters["codec"] == "small"
    assert report.manifest.parameters["stand_in"] is True
    assert current(segmented, report.manifest)


def test_the_embedded_codec_encodes_a_partition(segmented: Corpus) -> None:
    melvq = load_codec("melvq")
    segmented.set(roundtrip_share=1.0)
    report = encode_stage.build_codes(segmented.work, NEWS, melvq, segmented.settings)
    sound(report.manifest, segmented, melvq)
    assert all(entry.roundtrip_mel_db is not None for entry in report.manifest.kept())


def test_a_second_run_encodes_nothing_and_writes_no_file(segmented: Corpus) -> None:
    segmented.encode()
    files, times = segmented.files("coded"), segmented.modified_times_ns("coded")
    segmented.codec = SmallCodec()
    report = segmented.encode()
    assert (report.segments_encoded, segmented.codec.encoded) == (0, 0)
    assert (segmented.files("coded"), segmented.modified_times_ns("coded")) == (files, times)


def test_a_corrected_line_is_the_only_one_encoded_again(segmented: Corpus) -> None:
    lines = segmented.add_recording("a")
    segmented.segment()
    segmented.encode()
    times = segmented.modified_times_ns("coded")
    lines[2]["text"] = "Corrected text."
    segmented.write_transcript("a", lines)
    segmented.segment()
    report = segmented.encode()
    assert report.segments_encoded == 1
    sound(report.manifest, segmented)
    changed = {key for key, when in segmented.modified_times_ns("coded").items() if times.get(key) != when}
    assert changed == {"coded/news/batch-0001/a_seg_2.npz"}


def test_a_changed_threshold_encodes_nothing_that_has_codes_and_removes_what_is_rejected(segmented: Corpus) -> None:
    segmented.encode()
    segmented.set(rules={"min_duration_sec": 9.0})
    segmented.segment()
    report = segmented.encode()
    assert report.segments_encoded == 0
    assert report.manifest.kept() == []
    sound(report.manifest, segmented)


def test_the_codes_of_a_forgotten_recording_are_removed(segmented: Corpus) -> None:
    segmented.encode()
    forget.mark_forgotten(segmented.work, "a", when="today", why="asked")
    segmented.segment()
    report = segmented.encode()
    assert report.segments_encoded == 0
    assert {entry.audio_id for entry in report.manifest.entries} == {"b"}
    sound(report.manifest, segmented)


def test_another_revision_encodes_everything_again(segmented: Corpus) -> None:
    first = segmented.encode()
    segmented.codec = SmallCodec("2")
    assert not current(segmented, first.manifest)
    report = segmented.encode()
    assert report.segments_encoded == 5
    assert report.manifest.parameters["revision"] == "2"
    assert report.manifest.data_version != first.manifest.data_version


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_round_trips_are_measured_for_as_large_a_share_as_is_set(segmented: Corpus, share: float) -> None:
    segmented.set(roundtrip_share=share)
    kept = segmented.encode().manifest.kept()
    measured = [entry for entry in kept if entry.roundtrip_mel_db is not None and entry.roundtrip_level_db is not None]
    assert len(measured) == share * len(kept)
    for entry in measured:
        assert entry.roundtrip_mel_db is not None
        assert 0 < entry.roundtrip_mel_db < 60


def corrupt(path: Path) -> bytes:
    data = path.read_bytes()
    path.write_bytes(data[:-100] + bytes(100))
    return data


@pytest.mark.parametrize("lost", [False, True])
def test_a_damaged_segment_file_is_a_row_with_a_reason_and_tried_again_once_repaired(
    segmented: Corpus, lost: bool
) -> None:
    path = segmented.path("segments/news/batch-0001/a_seg_1.npz")
    data = corrupt(path)
    if lost:
        path.unlink()
    report = segmented.encode()
    (bad,) = [entry for entry in report.manifest.entries if entry.stage == "coded"]
    assert (bad.index, bad.reason) == (1, "segment_missing" if lost else "segment_damaged")
    assert "a_seg_1.npz" in bad.message
    assert not bad.kept
    assert bad.key == ""
    assert len(report.manifest.kept()) == 4
    sound(report.manifest, segmented)
    assert not current(segmented, report.manifest)
    path.write_bytes(data)
    repaired = segmented.encode()
    assert repaired.segments_encoded == 1
    assert len(repaired.manifest.kept()) == 5
    assert current(segmented, repaired.manifest)


def test_codes_that_were_lost_are_made_again(segmented: Corpus) -> None:
    segmented.encode()
    files = segmented.files("coded")
    segmented.path("coded/news/batch-0001/b_seg_0.npz").unlink()
    assert segmented.encode().segments_encoded == 1
    assert segmented.files("coded") == files


def test_a_file_that_the_manifest_does_not_list_is_swept_away(segmented: Corpus) -> None:
    segmented.encode()
    files = segmented.files("coded")
    segmented.path("coded/news/batch-0001/stray.npz").write_bytes(b"x")
    segmented.encode()
    assert segmented.files("coded") == files


class Awaited(SmallCodec):
    """Waits long for its GPU and loads its weights slowly."""

    device = "cuda: a pretended GPU"
    corpus: Corpus

    @contextmanager
    def ready(self, purpose: str) -> Iterator[None]:
        manifest = read_manifest(self.corpus.work, "coded", NEWS)
        assert manifest is not None
        assert manifest.complete
        time.sleep(2)
        yield

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        self.rechecked += 1
        return super().encode(clips, sample_rate_hz)


def test_waiting_for_a_gpu_keeps_the_committed_files_usable_and_is_not_in_the_speed(segmented: Corpus) -> None:
    assert segmented.encode().device == "cpu"
    segmented.codec = codec = Awaited("2")
    codec.corpus = segmented
    report = segmented.encode()
    assert report.segments_encoded == 5
    assert report.wall_sec < 1.9
    assert (report.device, report.rechecked) == ("cuda: a pretended GPU", 1)
    again = segmented.encode()
    assert (again.device, again.rechecked) == ("", 0)


class ShortClipsRefused(SmallCodec):
    """A codec whose receptive field is longer than a short clip."""

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        for index, clip in enumerate(clips):
            if len(clip) < 24_000:
                raise ValueError(f"Clip {index} is too short to encode")
        return super().encode(clips, sample_rate_hz)


def test_a_clip_that_the_codec_refuses_is_the_only_one_rejected(corpus: Corpus) -> None:
    from voice_assets_tests.core.corpus.small_corpus import make_line

    corpus.add_recording(
        "a",
        6.0,
        [make_line(0.2, 1.8, "A long line."), make_line(2.5, 3.1, "Short."), make_line(3.6, 5.6, "A long one.")],
    )
    corpus.segment()
    corpus.codec = ShortClipsRefused()
    report = corpus.encode()
    assert [(entry.kept, entry.reason) for entry in report.manifest.entries if entry.kind == "line"] == [
        (True, ""), (False, "encode_failed"), (True, ""),
    ]  # fmt: skip
    assert "too short to encode" in report.manifest.entries[1].message
    sound(report.manifest, corpus)


class NoMemory(SmallCodec):
    """A codec on a device whose memory another program uses."""

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        raise OutOfMemoryError("a clip of 1.6 s does not fit")


def test_a_temporary_lack_of_memory_rejects_nothing_permanently(segmented: Corpus) -> None:
    segmented.codec = NoMemory()
    report = segmented.encode()
    assert {entry.reason for entry in report.manifest.entries if entry.kind == "line"} == {"out_of_memory"}
    sound(report.manifest, segmented)
    assert not current(segmented, report.manifest)
    segmented.codec = SmallCodec()
    repaired = segmented.encode()
    assert repaired.segments_encoded == 5
    assert current(segmented, repaired.manifest)


def test_codes_without_segments_say_what_to_build_first(corpus: Corpus) -> None:
    with pytest.raises(LookupError, match="segments"):
        corpus.encode()


def test_an_incomplete_manifest_is_not_current_and_is_resumed(segmented: Corpus) -> None:
    whole = segmented.encode().manifest
    files = segmented.files("coded")
    half = dataclasses.replace(whole, complete=False, entries=whole.entries[:3])
    segmented.work.put("coded/news/batch-0001/_manifest.parquet", half.to_bytes())
    assert not current(segmented, half)
    report = segmented.encode()
    assert 0 < report.segments_encoded < 5
    assert segmented.files("coded") == files


class Rounding(OtherLastCode):
    """Its reference path reports that this code was close to the other one."""

    max_margin = 1e-3

    def encode_reference(self, clip: Audio, sample_rate_hz: int | None = None) -> tuple[Codes, Margins]:
        codes, margins = super().encode_reference(clip, sample_rate_hz)
        margins[-1] = 1e-5
        return codes, margins


def test_codes_that_the_plain_path_does_not_give_fail_the_batch(segmented: Corpus) -> None:
    segmented.set(guard_share=1.0)
    segmented.codec = OtherLastCode()
    with pytest.raises(segment_encoder.CodesDifferError, match=r"segments/news/batch-0001/.*1 of \d+ codes differ"):
        segmented.encode()
    manifest = read_manifest(segmented.work, "coded", NEWS)
    assert manifest is not None
    assert not manifest.complete
    segmented.codec = SmallCodec()
    assert segmented.encode().manifest.complete


def test_codes_that_rounding_explains_are_counted(segmented: Corpus) -> None:
    segmented.set(guard_share=1.0)
    segmented.codec = Rounding()
    for entry in segmented.encode().manifest.kept():
        assert entry.agreement == pytest.approx(1 - 1 / entry.code_count)


class Half(SmallCodec):
    """Half precision: a single difference may be rounding, but a large share of differences is an error."""

    max_margin = float("inf")
    min_agreement = 0.5
    wrong = 1

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        made = super().encode(clips, sample_rate_hz)
        return [np.append(codes[: -self.wrong], codes[-self.wrong :] ^ 1) for codes in made]


def test_a_precision_that_changes_codes_must_leave_most_of_them(segmented: Corpus) -> None:
    segmented.set(guard_share=1.0)
    segmented.codec = Half()
    assert all(entry.agreement == pytest.approx(0.987, abs=1e-3) for entry in segmented.encode().manifest.kept())
    segmented.codec = half = Half("2")
    half.wrong = 42
    with pytest.raises(
        segment_encoder.CodesDifferError, match=r"4\d\.\d% of 8\d codes equal those.*the minimum is 50%"
    ):
        segmented.encode()


def test_every_batch_in_half_precision_has_a_segment_that_the_guard_checked(segmented: Corpus) -> None:
    segmented.set(guard_share=1e-9)
    segmented.codec = Half()
    report = segmented.encode()
    assert [entry.agreement is None for entry in report.manifest.kept()].count(False) == 1
    assert segmented.encode().segments_encoded == 0
    for name in "cdefgh":  # whichever hash is the lowest then, the measured segment is not encoded again
        segmented.add_recording(name)
        segmented.segment()
        assert segmented.encode().segments_encoded == 3
    assert [entry.agreement is None for entry in segmented.encode().manifest.kept()].count(False) == 1


def test_a_clip_without_codes_has_no_round_trip_and_is_not_encoded_again_for_one(
    segmented: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmented.set(roundtrip_share=1.0)
    monkeypatch.setattr(SmallCodec, "_one", lambda *_: np.empty(0, np.int32))
    entries = segmented.encode().manifest.kept()
    assert {(entry.code_count, entry.roundtrip_mel_db, entry.roundtrip_level_db) for entry in entries} == {
        (0, None, None)
    }
    assert segmented.encode().segments_encoded == 0


def test_a_clip_that_calls_for_one_code_may_have_one(segmented: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SmallCodec, "_one", lambda *_: np.full(1, 7, np.int32))
    monkeypatch.setattr(SmallCodec, "code_count", lambda *_: 1)
    assert codes_valid(segmented.work, segmented.encode().manifest, segmented.codec).passed


def test_the_guard_checks_the_configured_share_of_segments(segmented: Corpus) -> None:
    segmented.set(guard_share=0.0)
    assert {entry.agreement for entry in segmented.encode().manifest.kept()} == {None}
    segmented.set(guard_share=1.0)
    report = segmented.encode()
    assert {entry.agreement for entry in report.manifest.kept()} == {1.0}
    assert summarise([report.manifest], Settings()).agreement == (5, 1.0)
    segmented.set(guard_share=0.5)
    guarded = [entry.key for entry in segmented.encode().manifest.kept() if entry.agreement is not None]
    segmented.set(guard_share=0.0)
    segmented.encode()
    segmented.set(guard_share=0.5)
    assert [entry.key for entry in segmented.encode().manifest.kept() if entry.agreement is not None] == guarded
