"""Unreadable recordings and lines, and recordings that vanished."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from voice_assets_tests.core.corpus.helpers import (
    assert_segments_valid,
    recording_status,
    reject_reasons,
    segments_are_current,
)
from voice_assets_tests.core.corpus.small_corpus import Corpus, LineSpec, make_line, make_lines
from voice_core.corpus.segment.segment_files import load_segment


def no_transcript(corpus: Corpus) -> None:
    corpus.transcript_path("bad").unlink()


def text_transcript(corpus: Corpus) -> None:
    corpus.transcript_path("bad").write_text("Dear diary")


def huge_transcript(corpus: Corpus) -> None:
    corpus.set(max_transcript_mb=0.01)
    corpus.transcript_path("bad").write_text(json.dumps({"segments": [], "x": "y" * 20_000}))


def unreadable(corpus: Corpus) -> None:
    corpus.audio_path("bad", extension=".flac").write_bytes(b"not audio" * 1000)


def truncated(corpus: Corpus) -> None:
    path = corpus.audio_path("bad", extension=".flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged(corpus: Corpus) -> None:
    path = corpus.audio_path("bad", extension=".flac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40_000] = np.random.default_rng(0).bytes(40_000)
    path.write_bytes(bytes(data))


TROUBLES: list[tuple[Callable[[Corpus], None], str, str]] = [
    (no_transcript, "no_transcript", "no_transcript"),
    (text_transcript, "bad_transcript", "transcript_not_json"),
    (huge_transcript, "bad_transcript", "transcript_too_large"),
    (unreadable, "unreadable", "unreadable"),
    (truncated, "damaged", "out_of_range"),
    (damaged, "damaged", "damaged_audio"),
]


@pytest.mark.parametrize(("trouble", "status", "reason"), TROUBLES, ids=[trouble.__name__ for trouble, *_ in TROUBLES])
def test_a_recording_with_a_problem_is_reported_the_rest_is_built_and_a_fixed_one_is_cut(
    corpus: Corpus, trouble: Callable[[Corpus], None], status: str, reason: str
) -> None:
    corpus.add_recording("good", 4.0)
    corpus.add_recording("bad", 12.0, extension=".flac")
    paths = [corpus.audio_path("bad", extension=".flac"), corpus.transcript_path("bad")]
    whole = {path: path.read_bytes() for path in paths}
    trouble(corpus)
    report = corpus.segment()
    assert_segments_valid(report.manifest, corpus)
    found, samples = recording_status(report.manifest, "bad")
    assert found == status
    assert samples == {"unreadable": 0, "no_transcript": 288_000, "bad_transcript": 288_000}.get(found, samples)
    outcome = next(item for item in report.manifest.recordings if item.audio_id == "bad")
    assert outcome.message
    assert reason in reject_reasons(corpus, "bad")
    assert recording_status(report.manifest, "good") == ("ok", 96_000)
    assert [entry.kept for entry in corpus.rows("good") if entry.kind == "line"] == [True, True]
    assert segments_are_current(corpus)
    again = corpus.segment()
    assert again.recordings_decoded == (1 if status == "unreadable" else 0) * (again.decoded_sec > 0)
    assert again.manifest == report.manifest

    for path, data in whole.items():
        path.write_bytes(data)
    corpus.snapshot()
    assert not segments_are_current(corpus)
    repaired = corpus.segment()
    assert_segments_valid(repaired.manifest, corpus)
    assert recording_status(repaired.manifest, "bad") == ("ok", 288_000)
    assert len([entry for entry in corpus.rows("bad") if entry.kept]) == 6


@pytest.mark.parametrize("trouble", [trouble for trouble, *_ in TROUBLES])
def test_a_problem_with_one_recording_does_not_hide_changes_of_another(
    corpus: Corpus, trouble: Callable[[Corpus], None]
) -> None:
    lines = corpus.add_recording("good", 4.0)
    corpus.add_recording("bad", 12.0, extension=".flac")
    trouble(corpus)
    corpus.segment()
    assert segments_are_current(corpus)
    lines[0]["text"] = "Corrected text."
    corpus.write_transcript("good", lines)
    corpus.snapshot()
    assert not segments_are_current(corpus)
    assert corpus.segment().segments_cut == 1
    corpus.set(rules={"min_snr_db": 12.0})
    assert not segments_are_current(corpus)


def test_the_rest_of_a_damaged_recording_keeps_its_times(corpus: Corpus) -> None:
    corpus.add_recording("bad", 12.0, extension=".flac")
    corpus.segment()
    whole = {e.index: load_segment(corpus.work.get(e.key), e.key).audio for e in corpus.rows("bad") if e.key}
    damaged(corpus)
    corpus.segment()
    left = {e.index: load_segment(corpus.work.get(e.key), e.key).audio for e in corpus.rows("bad") if e.key}
    assert 1 <= len(left) < len(whole)
    for index, audio in left.items():
        np.testing.assert_array_equal(audio, whole[index])


def test_a_line_over_a_gap_is_rejected_wherever_it_ends(corpus: Corpus) -> None:
    lines = make_lines(16.0, "bad")
    corpus.add_recording("bad", 16.0, lines, extension=".flac")
    whole = corpus.audio_path("bad", extension=".flac").read_bytes()
    # Lines of half a second throughout: some end inside the lost section.
    dense = [make_line(0.5 * i, 0.5 * i + 0.45, f"Line {i} of the text.") for i in range(31)]
    corpus.write_transcript("bad", dense)
    data = bytearray(whole)
    low, high = int(0.3 * len(data)), int(0.6 * len(data))
    data[low:high] = np.random.default_rng(0).bytes(high - low)
    corpus.audio_path("bad", extension=".flac").write_bytes(bytes(data))
    manifest = corpus.segment().manifest
    message = manifest.recordings[0].message
    assert manifest.recordings[0].status == "damaged", message
    for entry in corpus.rows("bad"):
        if entry.key:
            audio = load_segment(corpus.work.get(entry.key), entry.key).audio
            assert np.count_nonzero(audio[200:-200]) > 0.9 * len(audio[200:-200]), f"{entry.index}: {message}"


def bad_lines() -> list[Any]:
    good: list[LineSpec] = make_lines(12.0, "a")
    return [
        *good,
        make_line(float("nan"), 3.0, "NaN"),
        make_line(-5.0, -1.0, "negative"),
        make_line(5.0, 4.0, "reversed"),
        make_line(1.0, None, "no end"),
        make_line("soon", 3.0, "no number"),
        make_line(9.0, 9.5, "  "),
        make_line(11.9, 300.0, "too long"),
        make_line(50.0, 51.0, "out of range"),
        make_line(1e300, 2e300, "far out"),
        "a bare string",
        None,
        make_line(0.2, 1.8, "\ud800 lone surrogate"),
        make_line(0.2, 1.8, "a NUL \0 in it"),
        {"start": 1.0, "end": 2.0},
    ]


def test_every_bad_line_is_a_row_with_a_reason_and_the_good_ones_are_cut(corpus: Corpus) -> None:
    good = make_lines(12.0, "a")
    corpus.add_recording("a", 12.0, good)
    text = json.dumps({"segments": bad_lines()})  # escapes surrogates, and writes NaN as JavaScript would
    corpus.transcript_path("a").write_text(text, "utf-8")
    report = corpus.segment()
    assert_segments_valid(report.manifest, corpus)
    rows = [entry for entry in corpus.rows("a") if entry.kind == "line"]
    assert [entry.index for entry in rows] == list(range(len(bad_lines())))
    assert [entry.kept for entry in rows[:6]] == [True] * 6
    assert [entry.reason for entry in rows[6:]] == [
        "bad_time", "negative_time", "reversed", "missing_time", "bad_time", "empty_text", "too_long", "out_of_range",
        "too_long", "not_an_object", "not_an_object", "bad_text", "bad_text", "bad_text",
    ]  # fmt: skip
    assert all(entry.stage in ("transcript", "decode") for entry in rows[6:])
    assert segments_are_current(corpus)


def test_a_recording_that_vanished_keeps_its_segments_whatever_changes(two_recordings: Corpus) -> None:
    two_recordings.segment()
    files = two_recordings.files("segments")
    two_recordings.audio_path("a").unlink()
    two_recordings.set(rules={"min_snr_db": 11.0}, cut={"fade_sec": 0.01})
    report = two_recordings.segment()
    assert_segments_valid(report.manifest, two_recordings)
    assert recording_status(report.manifest, "a") == ("vanished", 144_000)
    assert "no longer in the raw bucket" in report.manifest.recordings[0].message
    mine = {key: digest for key, digest in files.items() if "/a_seg" in key}
    assert mine.items() <= two_recordings.files("segments").items()
    assert segments_are_current(two_recordings)


def test_a_recording_that_vanished_keeps_the_segments_that_are_left_when_one_is_lost(two_recordings: Corpus) -> None:
    two_recordings.segment()
    two_recordings.audio_path("a").unlink()
    two_recordings.segment()
    two_recordings.path("segments/news/batch-0001/a_seg_1.npz").unlink()
    report = two_recordings.segment()
    assert_segments_valid(report.manifest, two_recordings)
    assert [entry.index for entry in two_recordings.rows("a") if entry.kept] == [0, 2]


def test_a_recording_that_vanished_is_not_mixed_into_another_sample_rate(two_recordings: Corpus) -> None:
    two_recordings.segment()
    two_recordings.audio_path("a").unlink()
    before = two_recordings.files("segments")
    two_recordings.set(cut={"sample_rate_hz": 16_000})
    with pytest.raises(ValueError, match=r"not in the raw bucket \(a\)"):
        two_recordings.segment()
    assert two_recordings.files("segments") == before


def test_a_recording_that_vanished_and_came_back_is_whole_again(two_recordings: Corpus) -> None:
    two_recordings.segment()
    files = two_recordings.files("segments")
    data = two_recordings.audio_path("a").read_bytes()
    two_recordings.audio_path("a").unlink()
    two_recordings.segment()
    two_recordings.audio_path("a").write_bytes(data)
    report = two_recordings.segment()
    assert recording_status(report.manifest, "a") == ("ok", 144_000)
    assert report.segments_cut == 0
    assert two_recordings.files("segments") == files


def test_a_recording_that_vanished_before_it_was_ever_cut_is_one_row(two_recordings: Corpus) -> None:
    two_recordings.snapshot()
    two_recordings.audio_path("a").unlink()
    report = two_recordings.segment()
    assert_segments_valid(report.manifest, two_recordings)
    assert [(entry.kind, entry.reason) for entry in two_recordings.rows("a")] == [("recording", "vanished")]
