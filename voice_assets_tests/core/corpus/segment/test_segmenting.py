"""What is cut, what is cut again after a change, and what is not."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voice_assets_tests.core.corpus.helpers import MANIFEST, current, sound
from voice_assets_tests.core.corpus.small_corpus import World, line, lines_for
from voice_core.corpus.forget import forget
from voice_core.corpus.segment.segment_files import load
from voice_core.stages.manifest import Entry


def test_the_first_run_cuts_every_line_into_a_file_that_holds_what_was_said(two: World) -> None:
    report = two.segment()
    assert (report.recordings_decoded, report.segments_cut) == (2, 6)
    assert report.decoded_sec == pytest.approx(12.0, abs=0.01)
    sound(report.manifest, two)
    assert len(report.manifest.kept()) == 6
    entry = two.rows("a")[1]
    segment = load(two.work.get(entry.key), entry.key)
    assert segment.text == entry.text == "Birch a, part 1."
    assert (segment.speaker_id, segment.audio_id) == ("s1", "a")
    assert len(segment.audio) / 24_000 == segment.duration_sec == pytest.approx(1.6, abs=0.31)
    source, _ = soundfile.read(two.audio_path("a"), dtype="int16")
    assert entry.cut_start is not None
    inner = slice(entry.cut_start + 200, entry.cut_start + len(segment.audio) - 200)
    np.testing.assert_array_equal(segment.audio[200:-200], source[inner])


def test_a_second_run_decodes_nothing_and_writes_no_file(two: World) -> None:
    two.segment()
    files, times = two.files(), two.times()
    assert current(two)
    report = two.segment()
    assert (report.recordings_decoded, report.decoded_sec, report.segments_cut) == (0, 0.0, 0)
    assert two.files() == files
    assert two.times() == times


def test_a_raw_file_that_was_only_touched_is_not_decoded_again(two: World) -> None:
    two.segment()
    files = two.files("segments")
    os.utime(two.audio_path("a"), (1, 1))
    os.utime(two.transcript_path("b"), (1, 1))
    report = two.segment()
    assert report.recordings_decoded == 0
    assert two.files("segments") == files
    assert current(two)


def test_a_corrected_line_cuts_one_segment_and_touches_no_other_file(two: World) -> None:
    lines = two.record("a")
    two.segment()
    times, before = two.times(), two.files("segments")
    lines[1]["text"] = "Corrected text of this line."
    two.transcribe("a", lines)
    report = two.segment()
    assert (report.recordings_decoded, report.segments_cut) == (1, 1)
    sound(report.manifest, two)
    changed = {key for key, when in two.times().items() if times.get(key) != when}
    assert changed == {"segments/news/batch-0001/a_seg_1.npz"}
    assert two.files("segments").keys() == before.keys()
    assert load(two.work.get(two.rows("a")[1].key), "").text == "Corrected text of this line."


def test_after_a_correction_only_as_much_is_decoded_as_is_needed(world: World) -> None:
    lines = world.record("a", 20.0)
    world.segment()
    lines[0]["text"] = "Corrected."
    world.transcribe("a", lines)
    assert 0 < world.segment().decoded_sec < 6


def test_a_changed_threshold_decodes_nothing_and_changes_verdicts(two: World) -> None:
    two.segment()
    times = two.times()
    assert len(two.segments().kept()) == 6
    two.set(rules={"min_duration_sec": 5.0})
    assert not current(two)
    report = two.segment()
    assert (report.recordings_decoded, report.segments_cut) == (0, 0)
    assert report.manifest.kept() == []
    assert {entry.reason for entry in report.manifest.files()} == {"too_short"}
    assert two.times() == times
    sound(report.manifest, two)
    two.set(rules={"min_duration_sec": 0.5})
    assert len(two.segment().manifest.kept()) == 6


@pytest.mark.parametrize("change", [{"fade_sec": 0.01}, {"snap_reach_sec": 0.05}, {"sample_rate_hz": 16_000}])
def test_a_changed_cut_parameter_decodes_everything(two: World, change: dict[str, Any]) -> None:
    two.segment()
    two.set(cut=change)
    assert not current(two)
    report = two.segment()
    assert (report.recordings_decoded, report.segments_cut) == (2, 6)
    sound(report.manifest, two)
    assert report.manifest.parameters["cut"].items() >= change.items()


def test_a_removed_line_takes_its_file_along(two: World) -> None:
    lines = two.record("a")
    two.segment()
    two.transcribe("a", lines[:-1])
    report = two.segment()
    assert report.recordings_decoded == 0
    assert not two.path("segments/news/batch-0001/a_seg_2.npz").exists()
    sound(report.manifest, two)


def test_a_new_recording_is_the_only_one_that_is_decoded(two: World) -> None:
    two.segment()
    times = two.times()
    two.record("c", 4.0)
    report = two.segment()
    assert report.recordings_decoded == 1
    assert report.decoded_sec == pytest.approx(4.0, abs=0.01)
    assert {key for key, when in two.times().items() if times.get(key) != when} == {
        "segments/news/batch-0001/c_seg_0.npz", "segments/news/batch-0001/c_seg_1.npz",
    }  # fmt: skip


def test_a_forgotten_recording_takes_its_files_along_and_nothing_is_decoded(two: World) -> None:
    two.segment()
    forget.forget(two.work, "a", when="today", why="asked")
    report = two.segment()
    assert report.recordings_decoded == 0
    assert {entry.audio_id for entry in report.manifest.entries} == {"b"}
    sound(report.manifest, two)


def test_a_segment_file_that_was_lost_is_made_again(two: World) -> None:
    two.segment()
    files = two.files("segments")
    two.path("segments/news/batch-0001/a_seg_1.npz").unlink()
    report = two.segment()
    assert report.segments_cut == 1
    assert two.files("segments") == files


def test_several_worker_processes_make_the_same_bytes_as_one(two: World) -> None:
    two.segment()
    files = two.files("segments")
    for path in sorted(two.work_dir.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    two.set(workers=2)
    two.segment()
    assert two.files("segments") == files


def test_a_manifest_that_was_spoilt_is_made_again(two: World) -> None:
    two.segment()
    files = two.files("segments")
    Path(two.path(MANIFEST)).write_bytes(b"PAR1 nonsense")
    two.segment()
    assert two.files("segments") == files


def test_a_stereo_mp3_is_cut_like_a_wav(world: World) -> None:
    from voice_assets_tests.core.corpus.small_corpus import encode, recording

    lines = lines_for(6.0, "a")
    encode(world.audio_path("a", extension=".mp3"), recording(6.0, lines, 44_100), 44_100, channels=2)
    world.transcribe("a", lines)
    report = world.segment()
    sound(report.manifest, world)
    assert len(report.manifest.kept()) == 3


def test_silent_clipped_noisy_and_narrow_lines_are_rejected_by_name(world: World) -> None:
    from voice_assets_tests.core.corpus.small_corpus import babble, encode, hush

    seconds, rng = 10.0, np.random.default_rng(5)
    audio = hush(seconds)
    rate = 24_000
    audio[rate * 2 : rate * 4] = (babble(2.0) * 20).clip(-1, 1)
    audio[rate * 4 : rate * 6] = rng.standard_normal(rate * 2) * 0.05
    spectrum = np.fft.rfft(babble(2.0))
    spectrum[round(3_000 / 12_000 * len(spectrum)) :] = 0
    audio[rate * 6 : rate * 8] = np.fft.irfft(spectrum) + hush(2.0) * 0.01
    audio[rate * 8 : rate * 10] = babble(2.0)
    encode(world.audio_path("a"), audio, rate)
    world.transcribe("a", [line(2 * i + 0.2, 2 * i + 1.8, "Some words of text.") for i in range(5)])
    world.segment()
    rows: list[Entry] = [entry for entry in world.rows("a") if entry.kind == "line"]
    assert [entry.reason for entry in rows] == ["silent", "clipped", "noisy", "narrow_band", ""]
    for entry in rows[:4]:
        assert entry.value is not None
        assert entry.threshold is not None
