"""Recordings that claim or unpack to far more than their size are rejected and not counted in any duration."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import soundfile

from voice_assets_tests.bombs import false_length_flac, long_flac, slow_flac, timestamp_gaps
from voice_assets_tests.core.corpus.bomb_build import build_with_bombs
from voice_assets_tests.core.corpus.small_corpus import Corpus, make_line
from voice_core.audio.header import OutOfLimitsError
from voice_core.corpus.manifest import write_manifest
from voice_core.corpus.plan.segment_forecast import forecast_segments
from voice_core.corpus.segment import segment_plan
from voice_core.corpus.segment.content_hashes import ContentHashes


def test_bombs_are_rejected_by_their_headers_and_the_other_recordings_are_cut(corpus: Corpus) -> None:
    bombs = {"slow.flac": slow_flac, "long.flac": long_flac, "claim.flac": lambda path: false_length_flac(path, 20.0)}
    assert build_with_bombs(corpus, bombs) < 1_024
    manifest = corpus.segments()
    outcomes = {item.audio_id: item for item in manifest.recordings}
    assert {name: (item.status, item.sample_count) for name, item in outcomes.items() if name not in "ab"} == {
        "slow": ("unreadable", 0), "long": ("unreadable", 0), "claim": ("unreadable", 0),
    }  # fmt: skip
    (row,) = corpus.rows("slow")
    assert (row.reason, row.value, row.threshold) == ("sample_rate_too_low", 1.0, 4_000.0)
    assert "VOICE_AUDIO__MIN_SAMPLE_RATE_HZ" in row.message
    (row,) = corpus.rows("claim")
    assert (row.reason, row.threshold) == ("too_few_bytes", 20.0)
    assert len(manifest.kept()) == 6
    assert sum(item.sample_count for item in manifest.recordings) == 2 * 6 * 24_000
    corpus.assert_manifest_valid(manifest)
    assert sum(batch.hours for batch in corpus.snapshot()) == pytest.approx(12 / 3600)


def test_claimed_hours_are_not_counted_even_without_a_transcript(corpus: Corpus) -> None:
    corpus.add_recording("a")
    false_length_flac(corpus.raw_dir / "news" / "claim.flac", 20.0)
    long_flac(corpus.raw_dir / "news" / "long.flac")
    manifest = corpus.segment().manifest
    assert sum(item.sample_count for item in manifest.recordings) == 6 * 24_000
    assert {item.status for item in manifest.recordings} == {"ok", "unreadable"}


def test_a_changed_limit_is_applied_again_and_only_affected_recordings_are_cut(corpus: Corpus) -> None:
    corpus.add_recording("a")
    soundfile.write(corpus.audio_path("slow", extension=".flac"), np.zeros(20_000, np.int16), 2_000)
    corpus.write_transcript("slow", [make_line(0.2, 1.8, "At two kilohertz.")])
    before = corpus.segment()
    assert {row.reason for row in corpus.rows("slow")} == {"sample_rate_too_low"}
    assert corpus.segment().recordings_decoded == 0
    corpus.set(audio={"min_sample_rate_hz": 2_000, "min_bytes_per_sec": 0})
    report = corpus.segment()
    assert report.segments_cut == 1
    assert [row.key for row in report.manifest.entries if row.audio_id == "a"] == [
        row.key for row in before.manifest.entries if row.audio_id == "a"
    ]
    assert {item.status for item in report.manifest.recordings} == {"ok"}
    assert corpus.segment().recordings_decoded == 0
    corpus.set(audio={"max_sample_rate_hz": 22_050})
    corpus.segment()
    assert {row.reason for row in corpus.rows("a")} == {"sample_rate_too_high"}
    assert corpus.segments().recordings[0].sample_count == 0


def reword(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a version whose message about a broken limit has other words."""
    real = OutOfLimitsError.__init__

    def worded(error: OutOfLimitsError, reason: str, what: str, *args: Any) -> None:
        real(error, reason, f"in other words: {what}", *args)

    monkeypatch.setattr(OutOfLimitsError, "__init__", worded)


@pytest.fixture
def claims(corpus: Corpus) -> Corpus:
    """A recording that is cut, and one that claims too much."""
    corpus.add_recording("a")
    false_length_flac(corpus.audio_path("claim", extension=".flac"), 20.0)
    corpus.write_transcript("claim", [make_line(0.2, 1.8, "Too short.")])
    corpus.segment()
    return corpus


def segments_current(corpus: Corpus) -> bool:
    (item,) = corpus.status().partitions
    (forecast,) = forecast_segments(corpus.raw, corpus.work, corpus.discover(), [item.batch], corpus.settings, 1.0)
    assert forecast.changed is not item.segments.up_to_date
    return item.segments.up_to_date


def test_another_wording_of_a_broken_limit_makes_nothing_stale(claims: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    before = claims.segments()
    reword(monkeypatch)
    assert segments_current(claims)
    assert claims.segments() == before
    claims.set(audio={"min_bytes_per_sec": 30})
    assert not segments_current(claims)


def test_a_manifest_of_an_earlier_version_whose_inputs_have_the_wording_is_current(
    claims: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch,) = claims.snapshot()
    before = claims.segments()
    message = next(row.message for row in before.entries if row.audio_id == "claim")

    def worded_token(*_: object) -> list[str]:
        return [message]

    with monkeypatch.context() as patch:  # what was hashed until 0.1
        patch.setattr(segment_plan, "_limit_token", worded_token)
        inputs = segment_plan.stage_inputs(batch, ContentHashes(claims.work, batch.partition), claims.settings)
    assert inputs != before.inputs
    write_manifest(claims.work, dataclasses.replace(before, inputs=inputs))
    assert segments_current(claims)
    reword(monkeypatch)
    assert segments_current(claims)
    false_length_flac(claims.audio_path("claim", extension=".flac"), 25.0)
    assert not segments_current(claims)


def test_lines_after_a_long_gap_are_not_cut(corpus: Corpus) -> None:
    (corpus.raw_dir / "news").mkdir()
    corpus.set(audio={"min_bytes_per_sec": 0})
    timestamp_gaps(corpus.raw_dir / "news" / "b.mka", packets=3, gap_sec=90.0)
    corpus.write_transcript("b", [make_line(0.0, 100.0, "Long."), make_line(100.0, 102.0, "Later.")])
    manifest = corpus.segment().manifest
    outcome = next(item for item in manifest.recordings if item.audio_id == "b")
    assert outcome.status == "damaged"
    assert "VOICE_AUDIO__MAX_GAP_SEC is 60" in outcome.message
    assert outcome.sample_count < 24_000
    assert manifest.kept() == []
