"""Recordings and lines in trouble, and recordings that vanished."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from voice_assets_tests.core.corpus.helpers import current, reasons, sound, status_of
from voice_assets_tests.core.corpus.small_corpus import LineSpec, World, line, lines_for
from voice_core.corpus.segment.segment_files import load


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
