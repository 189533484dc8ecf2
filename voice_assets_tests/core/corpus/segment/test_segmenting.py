"""Which segments are cut, and which are cut again after a change."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voice_assets_tests.core.corpus.helpers import MANIFEST, assert_segments_valid, segments_are_current
from voice_assets_tests.core.corpus.small_corpus import Corpus, make_line, make_lines
from voice_core.corpus.forget import forget
from voice_core.corpus.manifest import Entry
from voice_core.corpus.segment.segment_files import load_segment


def test_the_first_run_cuts_every_line_into_a_file_that_holds_what_was_said(two_recordings: Corpus) -> None:
    report = two_recordings.segment()
    assert (report.recordings_decoded, report.segments_cut) == (2, 6)
    assert report.decoded_sec == pytest.approx(12.0, abs=0.01)
    assert_segments_valid(report.manifest, two_recordings)
    assert len(report.manifest.kept()) == 6
    entry = two_recordings.rows("a")[1]
    segment = load_segment(two_recordings.work.get(entry.key), entry.key)
    assert segment.text == entry.text == "Birch a, part 1."
    assert (segment.speaker_id, segment.audio_id) == ("s1", "a")
    assert len(segment.audio) / 24_000 == segment.duration_sec == pytest.approx(1.6, abs=0.31)
    source, _ = soundfile.read(two_recordings.audio_path("a"), dtype="int16")
    assert entry.cut_start is not None
    inner = slice(entry.cut_start + 200, entry.cut_start + len(segment.audio) - 200)
    np.testing.assert_array_equal(segment.audio[200:-200], source[inner])


def test_a_second_run_decodes_nothing_and_writes_no_file(two_recordings: Corpus) -> None:
    two_recordings.segment()
    files, times = two_recordings.files(), two_recordings.modified_times_ns()
    assert segments_are_current(two_recordings)
    report = two_recordings.segment()
    assert (report.recordings_decoded, report.decoded_sec, report.segments_cut) == (0, 0.0, 0)
    assert two_recordings.files() == files
    assert two_recordings.modified_times_ns() == times


def test_a_raw_file_that_was_only_touched_is_not_decoded_again(two_recordings: Corpus) -> None:
    two_recordings.segment()
    files = two_recordings.files("segments")
    os.utime(two_recordings.audio_path("a"), (1, 1))
    os.utime(two_recordings.transcript_path("b"), (1, 1))
    report = two_recordings.segment()
    assert report.recordings_decoded == 0
    assert two_recordings.files("segments") == files
    assert segments_are_current(two_recordings)


def test_a_corrected_line_cuts_one_segment_and_touches_no_other_file(two_recordings: Corpus) -> None:
    lines = two_recordings.add_recording("a")
    two_recordings.segment()
    times, before = two_recordings.modified_times_ns(), two_recordings.files("segments")
    lines[1]["text"] = "Corrected text of this line."
    two_recordings.write_transcript("a", lines)
    report = two_recordings.segment()
    assert (report.recordings_decoded, report.segments_cut) == (1, 1)
    assert_segments_valid(report.manifest, two_recordings)
    changed = {key for key, when in two_recordings.modified_times_ns().items() if times.get(key) != when}
    assert changed == {"segments/news/batch-0001/a_seg_1.npz"}
    assert two_recordings.files("segments").keys() == before.keys()
    assert (
        load_segment(two_recordings.work.get(two_recordings.rows("a")[1].key), "").text
        == "Corrected text of this line."
    )


def test_after_a_correction_only_as_much_is_decoded_as_is_needed(corpus: Corpus) -> None:
    lines = corpus.add_recording("a", 20.0)
    corpus.segment()
    lines[0]["text"] = "Corrected."
    corpus.write_transcript("a", lines)
    assert 0 < corpus.segment().decoded_sec < 6


def test_a_changed_threshold_decodes_nothing_and_changes_verdicts(two_recordings: Corpus) -> None:
    two_recordings.segment()
    times = two_recordings.modified_times_ns()
    assert len(two_recordings.segments().kept()) == 6
    two_recordings.set(rules={"min_duration_sec": 5.0})
    assert not segments_are_current(two_recordings)
    report = two_recordings.segment()
    assert (report.recordings_decoded, report.segments_cut) == (0, 0)
    assert report.manifest.kept() == []
    assert {entry.reason for entry in report.manifest.files()} == {"too_short"}
    assert two_recordings.modified_times_ns() == times
    assert_segments_valid(report.manifest, two_recordings)
    two_recordings.set(rules={"min_duration_sec": 0.5})
    assert len(two_recordings.segment().manifest.kept()) == 6


@pytest.mark.parametrize("change", [{"fade_sec": 0.01}, {"snap_reach_sec": 0.05}, {"sample_rate_hz": 16_000}])
def test_a_changed_cut_parameter_decodes_everything(two_recordings: Corpus, change: dict[str, Any]) -> None:
    two_recordings.segment()
    two_recordings.set(cut=change)
    assert not segments_are_current(two_recordings)
    report = two_recordings.segment()
    assert (report.recordings_decoded, report.segments_cut) == (2, 6)
    assert_segments_valid(report.manifest, two_recordings)
    assert report.manifest.parameters["cut"].items() >= change.items()


def test_the_file_of_a_removed_line_is_removed(two_recordings: Corpus) -> None:
    lines = two_recordings.add_recording("a")
    two_recordings.segment()
    two_recordings.write_transcript("a", lines[:-1])
    report = two_recordings.segment()
    assert report.recordings_decoded == 0
    assert not two_recordings.path("segments/news/batch-0001/a_seg_2.npz").exists()
    assert_segments_valid(report.manifest, two_recordings)


def test_a_new_recording_is_the_only_one_that_is_decoded(two_recordings: Corpus) -> None:
    two_recordings.segment()
    times = two_recordings.modified_times_ns()
    two_recordings.add_recording("c", 4.0)
    report = two_recordings.segment()
    assert report.recordings_decoded == 1
    assert report.decoded_sec == pytest.approx(4.0, abs=0.01)
    assert {key for key, when in two_recordings.modified_times_ns().items() if times.get(key) != when} == {
        "segments/news/batch-0001/c_seg_0.npz", "segments/news/batch-0001/c_seg_1.npz",
    }  # fmt: skip


def test_the_files_of_a_forgotten_recording_are_removed_and_nothing_is_decoded(two_recordings: Corpus) -> None:
    two_recordings.segment()
    forget.mark_forgotten(two_recordings.work, "a", when="today", why="asked")
    report = two_recordings.segment()
    assert report.recordings_decoded == 0
    assert {entry.audio_id for entry in report.manifest.entries} == {"b"}
    assert_segments_valid(report.manifest, two_recordings)


def test_a_segment_file_that_was_lost_is_made_again(two_recordings: Corpus) -> None:
    two_recordings.segment()
    files = two_recordings.files("segments")
    two_recordings.path("segments/news/batch-0001/a_seg_1.npz").unlink()
    report = two_recordings.segment()
    assert report.segments_cut == 1
    assert two_recordings.files("segments") == files


def test_several_worker_processes_make_the_same_bytes_as_one(two_recordings: Corpus) -> None:
    two_recordings.segment()
    files = two_recordings.files("segments")
    for path in sorted(two_recordings.work_dir.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    two_recordings.set(workers=2)
    two_recordings.segment()
    assert two_recordings.files("segments") == files


def test_a_corrupt_manifest_is_rebuilt(two_recordings: Corpus) -> None:
    two_recordings.segment()
    files = two_recordings.files("segments")
    Path(two_recordings.path(MANIFEST)).write_bytes(b"PAR1 nonsense")
    two_recordings.segment()
    assert two_recordings.files("segments") == files


def test_a_stereo_mp3_is_cut_like_a_wav(corpus: Corpus) -> None:
    from voice_assets_tests.core.corpus.small_corpus import synthesize_recording, write_audio

    lines = make_lines(6.0, "a")
    write_audio(corpus.audio_path("a", extension=".mp3"), synthesize_recording(6.0, lines, 44_100), 44_100, channels=2)
    corpus.write_transcript("a", lines)
    report = corpus.segment()
    assert_segments_valid(report.manifest, corpus)
    assert len(report.manifest.kept()) == 3


def test_silent_clipped_noisy_and_narrow_lines_are_rejected_by_name(corpus: Corpus) -> None:
    from voice_assets_tests.core.corpus.small_corpus import room_noise, speech_like_noise, write_audio

    seconds, rng = 10.0, np.random.default_rng(5)
    audio = room_noise(seconds)
    rate = 24_000
    audio[rate * 2 : rate * 4] = (speech_like_noise(2.0) * 20).clip(-1, 1)
    audio[rate * 4 : rate * 6] = rng.standard_normal(rate * 2) * 0.05
    spectrum = np.fft.rfft(speech_like_noise(2.0))
    spectrum[round(3_000 / 12_000 * len(spectrum)) :] = 0
    audio[rate * 6 : rate * 8] = np.fft.irfft(spectrum) + room_noise(2.0) * 0.01
    audio[rate * 8 : rate * 10] = speech_like_noise(2.0)
    write_audio(corpus.audio_path("a"), audio, rate)
    corpus.write_transcript("a", [make_line(2 * i + 0.2, 2 * i + 1.8, "Some words of text.") for i in range(5)])
    corpus.segment()
    rows: list[Entry] = [entry for entry in corpus.rows("a") if entry.kind == "line"]
    assert [entry.reason for entry in rows] == ["silent", "clipped", "noisy", "narrow_band", ""]
    for entry in rows[:4]:
        assert entry.value is not None
        assert entry.threshold is not None
