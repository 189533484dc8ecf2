import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voice_assets_tests.core.corpus.world import LineSpec, World, line, lines_for
from voice_core.corpus import batches, forget, segmenting, stage
from voice_core.corpus.checks import files_intact, no_overlap, seconds_add_up, texts_present
from voice_core.corpus.manifest import Entry, Manifest, read_manifest
from voice_core.corpus.segment_files import load
from voice_core.layout import PartitionKey, manifest_key
from voice_core.store import Store

NEWS = PartitionKey("news", 1)
MANIFEST = manifest_key("segments", NEWS)


def sound(manifest: Manifest, world: World) -> None:
    """What must hold after every run."""
    assert manifest.complete
    for outcome in (seconds_add_up(manifest), no_overlap(manifest), texts_present(manifest)):
        assert outcome.passed, outcome
    intact = files_intact(world.work, [(entry.key, entry.sha256) for entry in manifest.files()])
    assert intact.passed, intact
    listed = {entry.key for entry in manifest.files()} | {MANIFEST}
    assert set(world.files("segments/news/batch-0001")) == listed


def current(world: World) -> bool:
    return segmenting.is_current(world.work, batches.read_batch(world.work, NEWS), world.settings)


def status_of(manifest: Manifest, audio_id: str) -> tuple[str, int]:
    outcome = next(item for item in manifest.recordings if item.audio_id == audio_id)
    return outcome.status, outcome.sample_count


def reasons(world: World, audio_id: str) -> list[str]:
    return [entry.reason for entry in world.rows(audio_id)]


@pytest.fixture
def two(world: World) -> World:
    world.record("a")
    world.record("b", extension=".flac")
    return world


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
    forget.forget(two.work, two.settings, "a", when="today", why="asked")
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


class DyingStore(Store):
    """A work store whose machine is switched off after some puts."""

    left = 10**9

    def put(self, key: str, data: bytes) -> None:
        if self.left <= 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().put(key, data)


def trouble_world(world: World) -> None:
    """A first build, and then changes of every kind that the second has to cope with."""
    lines = world.record("a")
    world.record("b", extension=".flac")
    world.record("c", 4.0)
    world.segment()
    lines[0]["text"] = "Something else was said."
    world.transcribe("a", lines[:-1])
    world.record("b", 8.0, extension=".flac")
    world.record("d", 4.0)
    world.snapshot()


@pytest.mark.parametrize("puts", [0, 1, 2, 4, 6, 8, 10])
@pytest.mark.parametrize("often", [False, True], ids=["no checkpoint", "a checkpoint after each recording"])
def test_a_run_that_was_killed_is_not_taken_for_finished_and_ends_as_if_it_had_not_been(
    puts: int, often: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if often:
        monkeypatch.setattr(stage, "_CHECKPOINT_SEC", -1.0)
    world, undisturbed = (World(tmp_path_factory.mktemp(name)) for name in ("killed", "undisturbed"))
    for each in (world, undisturbed):
        trouble_world(each)
    undisturbed.segment()

    dying = DyingStore(world.settings.work_url, create=True)
    dying.left = puts
    try:
        segmenting.build_segments(world.raw, dying, NEWS, world.settings)
    except KeyboardInterrupt:
        left = read_manifest(world.work, "segments", NEWS)
        assert left is not None
        if puts > 0:
            assert not left.complete
        if left.complete:
            old = files_intact(world.work, [(entry.key, entry.sha256) for entry in left.files()])
            assert old.passed, old
        for entry in left.files():
            assert world.work.hash(entry.key) == entry.sha256
        assert not current(world)
    report = world.segment()
    sound(report.manifest, world)
    assert world.files("segments") == undisturbed.files("segments")
    assert current(world)


# --- bad input


def no_transcript(world: World) -> None:
    world.transcript_path("bad").unlink()


def text_transcript(world: World) -> None:
    world.transcript_path("bad").write_text("Dear diary")


def huge_transcript(world: World) -> None:
    world.set(max_transcript_mb=0.01)
    world.transcript_path("bad").write_text(json.dumps({"segments": [], "x": "y" * 20_000}))


def unreadable(world: World) -> None:
    world.audio_path("bad", extension=".flac").write_bytes(b"not audio" * 1000)


def truncated(world: World) -> None:
    path = world.audio_path("bad", extension=".flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged(world: World) -> None:
    path = world.audio_path("bad", extension=".flac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40_000] = np.random.default_rng(0).bytes(40_000)
    path.write_bytes(bytes(data))


TROUBLES: list[tuple[Callable[[World], None], str, str]] = [
    (no_transcript, "no_transcript", "no_transcript"),
    (text_transcript, "bad_transcript", "transcript_not_json"),
    (huge_transcript, "bad_transcript", "transcript_too_large"),
    (unreadable, "unreadable", "unreadable"),
    (truncated, "damaged", "out_of_range"),
    (damaged, "damaged", "damaged_audio"),
]


@pytest.mark.parametrize(("trouble", "status", "reason"), TROUBLES, ids=[trouble.__name__ for trouble, *_ in TROUBLES])
def test_a_recording_in_trouble_is_named_the_rest_is_built_and_mending_it_repairs_it(
    world: World, trouble: Callable[[World], None], status: str, reason: str
) -> None:
    world.record("good", 4.0)
    world.record("bad", 12.0, extension=".flac")
    paths = [world.audio_path("bad", extension=".flac"), world.transcript_path("bad")]
    whole = {path: path.read_bytes() for path in paths}
    trouble(world)
    report = world.segment()
    sound(report.manifest, world)
    found, samples = status_of(report.manifest, "bad")
    assert found == status
    assert samples == {"unreadable": 0, "no_transcript": 288_000, "bad_transcript": 288_000}.get(found, samples)
    outcome = next(item for item in report.manifest.recordings if item.audio_id == "bad")
    assert outcome.message
    assert reason in reasons(world, "bad")
    assert status_of(report.manifest, "good") == ("ok", 96_000)
    assert [entry.kept for entry in world.rows("good") if entry.kind == "line"] == [True, True]
    assert current(world)
    again = world.segment()
    assert again.recordings_decoded == (1 if status == "unreadable" else 0) * (again.decoded_sec > 0)
    assert again.manifest == report.manifest

    for path, data in whole.items():
        path.write_bytes(data)
    world.snapshot()
    assert not current(world)
    mended = world.segment()
    sound(mended.manifest, world)
    assert status_of(mended.manifest, "bad") == ("ok", 288_000)
    assert len([entry for entry in world.rows("bad") if entry.kept]) == 6


@pytest.mark.parametrize("trouble", [trouble for trouble, *_ in TROUBLES])
def test_trouble_with_one_recording_does_not_hide_news_of_another(
    world: World, trouble: Callable[[World], None]
) -> None:
    lines = world.record("good", 4.0)
    world.record("bad", 12.0, extension=".flac")
    trouble(world)
    world.segment()
    assert current(world)
    lines[0]["text"] = "Corrected text."
    world.transcribe("good", lines)
    world.snapshot()
    assert not current(world)
    assert world.segment().segments_cut == 1
    world.set(rules={"min_snr_db": 12.0})
    assert not current(world)


def test_what_is_left_of_a_damaged_recording_is_true_to_its_times(world: World) -> None:
    world.record("bad", 12.0, extension=".flac")
    world.segment()
    whole = {e.index: load(world.work.get(e.key), e.key).audio for e in world.rows("bad") if e.key}
    damaged(world)
    world.segment()
    left = {e.index: load(world.work.get(e.key), e.key).audio for e in world.rows("bad") if e.key}
    assert 1 <= len(left) < len(whole)
    for index, audio in left.items():
        np.testing.assert_array_equal(audio, whole[index])


def test_a_line_over_a_gap_is_rejected_wherever_it_ends(world: World) -> None:
    lines = lines_for(16.0, "bad")
    world.record("bad", 16.0, lines, extension=".flac")
    whole = world.audio_path("bad", extension=".flac").read_bytes()
    # Lines of half a second everywhere: some end in the middle of what is lost.
    dense = [line(0.5 * i, 0.5 * i + 0.45, f"Line {i} of the text.") for i in range(31)]
    world.transcribe("bad", dense)
    data = bytearray(whole)
    low, high = int(0.3 * len(data)), int(0.6 * len(data))
    data[low:high] = np.random.default_rng(0).bytes(high - low)
    world.audio_path("bad", extension=".flac").write_bytes(bytes(data))
    manifest = world.segment().manifest
    message = manifest.recordings[0].message
    assert manifest.recordings[0].status == "damaged", message
    for entry in world.rows("bad"):
        if entry.key:
            audio = load(world.work.get(entry.key), entry.key).audio
            assert np.count_nonzero(audio[200:-200]) > 0.9 * len(audio[200:-200]), f"{entry.index}: {message}"


def bad_lines() -> list[Any]:
    good: list[LineSpec] = lines_for(12.0, "a")
    return [
        *good,
        line(float("nan"), 3.0, "NaN"),
        line(-5.0, -1.0, "negative"),
        line(5.0, 4.0, "reversed"),
        line(1.0, None, "no end"),
        line("soon", 3.0, "no number"),
        line(9.0, 9.5, "  "),
        line(11.9, 300.0, "too long"),
        line(50.0, 51.0, "out of range"),
        line(1e300, 2e300, "far out"),
        "a bare string",
        None,
        line(0.2, 1.8, "\ud800 lone surrogate"),
        line(0.2, 1.8, "a NUL \0 in it"),
        {"start": 1.0, "end": 2.0},
    ]


def test_every_bad_line_is_a_row_with_a_reason_and_the_good_ones_are_cut(world: World) -> None:
    good = lines_for(12.0, "a")
    world.record("a", 12.0, good)
    text = json.dumps({"segments": bad_lines()})  # escapes surrogates, and writes NaN as JavaScript would
    world.transcript_path("a").write_text(text, "utf-8")
    report = world.segment()
    sound(report.manifest, world)
    rows = [entry for entry in world.rows("a") if entry.kind == "line"]
    assert [entry.index for entry in rows] == list(range(len(bad_lines())))
    assert [entry.kept for entry in rows[:6]] == [True] * 6
    assert [entry.reason for entry in rows[6:]] == [
        "bad_time", "negative_time", "reversed", "missing_time", "bad_time", "empty_text", "too_long", "out_of_range",
        "too_long", "not_an_object", "not_an_object", "bad_text", "bad_text", "bad_text",
    ]  # fmt: skip
    assert all(entry.stage in ("transcript", "decode") for entry in rows[6:])
    assert current(world)


def test_a_recording_that_vanished_keeps_its_segments_whatever_changes(two: World) -> None:
    two.segment()
    files = two.files("segments")
    two.audio_path("a").unlink()
    two.set(rules={"min_snr_db": 11.0}, cut={"fade_sec": 0.01})
    report = two.segment()
    sound(report.manifest, two)
    assert status_of(report.manifest, "a") == ("vanished", 144_000)
    assert "no longer in the raw bucket" in report.manifest.recordings[0].message
    mine = {key: digest for key, digest in files.items() if "/a_seg" in key}
    assert mine.items() <= two.files("segments").items()
    assert current(two)


def test_a_recording_that_vanished_keeps_the_segments_that_are_left_when_one_is_lost(two: World) -> None:
    two.segment()
    two.audio_path("a").unlink()
    two.segment()
    two.path("segments/news/batch-0001/a_seg_1.npz").unlink()
    report = two.segment()
    sound(report.manifest, two)
    assert [entry.index for entry in two.rows("a") if entry.kept] == [0, 2]


def test_a_recording_that_vanished_is_not_mixed_into_another_sample_rate(two: World) -> None:
    two.segment()
    two.audio_path("a").unlink()
    before = two.files("segments")
    two.set(cut={"sample_rate_hz": 16_000})
    with pytest.raises(ValueError, match=r"no longer in the raw bucket \(a\)"):
        two.segment()
    assert two.files("segments") == before


def test_a_recording_that_vanished_and_came_back_is_whole_again(two: World) -> None:
    two.segment()
    files = two.files("segments")
    data = two.audio_path("a").read_bytes()
    two.audio_path("a").unlink()
    two.segment()
    two.audio_path("a").write_bytes(data)
    report = two.segment()
    assert status_of(report.manifest, "a") == ("ok", 144_000)
    assert report.segments_cut == 0
    assert two.files("segments") == files


def test_a_recording_that_vanished_before_it_was_ever_cut_is_one_row(two: World) -> None:
    two.snapshot()
    two.audio_path("a").unlink()
    report = two.segment()
    sound(report.manifest, two)
    assert [(entry.kind, entry.reason) for entry in two.rows("a")] == [("recording", "vanished")]


def test_a_manifest_that_was_spoilt_is_made_again(two: World) -> None:
    two.segment()
    files = two.files("segments")
    Path(two.path(MANIFEST)).write_bytes(b"PAR1 nonsense")
    two.segment()
    assert two.files("segments") == files


def test_a_stereo_mp3_is_cut_like_a_wav(world: World) -> None:
    from voice_assets_tests.core.corpus.world import encode, recording

    lines = lines_for(6.0, "a")
    encode(world.audio_path("a", extension=".mp3"), recording(6.0, lines, 44_100), 44_100, channels=2)
    world.transcribe("a", lines)
    report = world.segment()
    sound(report.manifest, world)
    assert len(report.manifest.kept()) == 3


def test_silent_clipped_noisy_and_narrow_lines_are_rejected_by_name(world: World) -> None:
    from voice_assets_tests.core.corpus.world import babble, encode, hush

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
