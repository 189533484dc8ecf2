"""What a summary says of manifests that are made here."""

import dataclasses
import random
import time
from typing import get_args

import pytest

from voice_core.corpus.dataset.summary import NO_LABEL, REJECTION_STAGES, summarise
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, RecordingStatus
from voice_core.settings import Settings

RATE = 24_000


def manifest(*entries: Entry, partition: str = "one/batch-0001", rate: int = RATE, **parameters: object) -> Manifest:
    """A manifest whose recordings hold what its rows answer for."""
    lengths: dict[str, int] = {}
    for entry in entries:
        lengths[entry.audio_id] = lengths.get(entry.audio_id, 0) + entry.sample_count
    outcomes = tuple(RecordingOutcome(name, f"{name}.mp3", "ok", length) for name, length in lengths.items())
    return Manifest("dataset", partition, True, rate, "", parameters, outcomes, entries)


def kept(samples: int, **fields: object) -> Entry:
    return Entry("line", "a", sample_count=samples, kept=True, **fields)  # type: ignore[arg-type]


def rejected(stage: str, reason: str, samples: int) -> Entry:
    return Entry("line", "a", sample_count=samples, stage=stage, reason=reason)


def test_seconds_in_are_kept_plus_rejected_to_the_sample() -> None:
    chance = random.Random(4)
    rows = [
        kept(chance.randrange(900_000))
        if chance.random() < 0.7
        else rejected("rules", "noisy", chance.randrange(9_999))
        for _ in range(3_000)
    ]
    summary = summarise([manifest(*rows)], Settings())
    assert summary.total.samples == sum(row.sample_count for row in rows)
    assert summary.kept.samples + summary.rejected.samples == summary.total.samples
    assert sum(step.samples for step in summary.funnel) == summary.rejected.samples
    for parts in (
        summary.channels,
        summary.speakers,
        *summary.labels.values(),
        summary.durations,
    ):
        assert sum(part.samples for part in parts) == summary.kept.samples
        assert sum(part.rows for part in parts) == summary.kept.rows
    assert summary.unaccounted_samples == 0


def test_recordings_of_every_status_count_an_unknown_one_too() -> None:
    statuses = (*get_args(RecordingStatus), "of a later version")
    outcomes = tuple(RecordingOutcome(f"r{i}", "", status, 1) for i, status in enumerate(statuses))
    summary = summarise([dataclasses.replace(manifest(), recordings=outcomes)], Settings())
    assert [(tally.label, tally.rows) for tally in summary.recordings] == [(status, 1) for status in statuses]
    assert summary.recording_count == summary.totals["recordings"] == summary.total.samples == len(statuses)


@pytest.mark.parametrize(("scope", "people"), [("recording", 4), ("channel", 3), ("corpus", 2)])
def test_people_are_counted_as_the_speaker_scope_defines_them_over_partitions_too(scope: str, people: int) -> None:
    def row(audio_id: str, speaker_id: str) -> Entry:
        return dataclasses.replace(kept(1, speaker_id=speaker_id), audio_id=audio_id)

    one = manifest(row("a", "S1"), row("a", "S1"), row("b", "S2"), row("b", ""))
    again = manifest(row("c", "S1"), partition="one/batch-0002")
    two = manifest(row("a", "S1"), partition="two/batch-0001")
    summary = summarise([one, again, two], Settings(split={"speaker_scope": scope}))  # type: ignore[arg-type]
    assert summary.people == summary.totals["speakers"] == people
    if scope == "corpus":
        assert [(tally.label, tally.rows) for tally in summary.speakers] == [("S1", 4), ("S2", 1), (NO_LABEL, 1)]


def test_audio_without_a_row_is_shown() -> None:
    whole = manifest(kept(10 * RATE))
    lacking = Manifest("segments", whole.partition, True, RATE, "", {}, whole.recordings, ())
    assert summarise([lacking], Settings()).unaccounted_samples == 10 * RATE


def test_sums_stay_exact_where_sample_rates_differ() -> None:
    summary = summarise([manifest(kept(1)), manifest(kept(1), partition="two/batch-0001", rate=16_000)], Settings())
    assert (summary.sample_rate_hz, summary.kept.samples) == (48_000, 2 + 3)  # 1/24,000 s and 1/16,000 s


def test_the_funnel_follows_the_pipeline_and_then_size() -> None:
    rows = [rejected(stage, "small", 1) for stage in reversed(REJECTION_STAGES)] + [rejected("rules", "large", 2)] * 2
    funnel = summarise([manifest(*rows)], Settings()).funnel
    assert list(dict.fromkeys(step.stage for step in funnel)) == list(REJECTION_STAGES)
    assert [(step.reason, step.rows, step.samples) for step in funnel if step.stage == "rules"] == [
        ("large", 2, 4),
        ("small", 1, 1),
    ]


def test_rows_without_audio_count_too() -> None:
    summary = summarise([manifest(rejected("transcript", "reversed", 0), kept(5))], Settings())
    assert [(step.rows, step.seconds) for step in summary.funnel] == [(1, 0.0)]
    assert summary.total.rows == 2


def test_speakers_are_counted_by_channel_and_missing_labels_are_named() -> None:
    names = {"one": "Radio | One", "two": "أثير"}
    one = manifest(kept(3, speaker_id="S1", gender="female"), kept(1))
    two = manifest(kept(2, speaker_id="S1", dialect="Gulf"), partition="two/batch-0007")
    summary = summarise([one, two], Settings(channel_mapping=names))
    labels = [tally.label for tally in summary.speakers]
    assert labels == ["Radio | One / S1", "أثير / S1", f"Radio | One / {NO_LABEL}"]
    assert [(tally.label, tally.rows) for tally in summary.labels["gender"]] == [(NO_LABEL, 2), ("female", 1)]
    assert [(tally.label, tally.rows) for tally in summary.channels] == [("Radio | One", 2), ("أثير", 1)]


def test_splits_are_shown_once_rows_are_assigned() -> None:
    assert summarise([manifest(kept(1))], Settings()).splits == ()
    splits = summarise([manifest(kept(3, split="train"), kept(1, split="test"))], Settings()).splits
    assert [(tally.label, tally.samples) for tally in splits] == [("train", 3), ("test", 1)]


def test_durations_are_in_bins_of_a_second_and_long_ones_in_the_last() -> None:
    lengths = [2.0, 2.999, 4.5]
    bins = summarise([manifest(*(kept(round(length * RATE)) for length in lengths))], Settings()).durations
    assert [(item.label, item.rows) for item in bins] == [("2–3", 2), ("3–4", 0), ("4–5", 1)]
    last = summarise([manifest(kept(29 * RATE), kept(30 * RATE), kept(55 * RATE))], Settings()).durations
    assert [(item.label, item.rows) for item in last] == [("29–30", 1), ("30+", 2)]


def test_neutts_drops_are_counted_by_row_and_by_reason() -> None:
    dropped = Entry("line", "a", neutts_drop="digit", stage="dataset", reason="text_in_train")
    summary = summarise(
        [manifest(kept(1, neutts_drop="digit,ending"), kept(1, neutts_drop="ending"), kept(1), dropped)], Settings()
    )
    assert summary.neutts_dropped == 2
    assert summary.neutts_reasons == (("ending", 2), ("digit", 1))


def test_roundtrip_means_are_of_the_rows_that_were_measured() -> None:
    rows = [
        kept(1, roundtrip_mel_db=4.0, roundtrip_level_db=-1.0),
        kept(1, roundtrip_mel_db=6.0, roundtrip_level_db=0.0),
    ]
    trip = summarise([manifest(*rows, kept(1))], Settings()).roundtrip
    assert trip is not None
    assert (trip.rows, trip.mel_db, trip.level_db) == (2, 5.0, -0.5)
    assert summarise([manifest(kept(1))], Settings()).roundtrip is None


def test_codecs_are_listed_once_and_a_stand_in_is_known() -> None:
    one = manifest(kept(1), codec="melvq", revision="1", stand_in=True, codes_per_sec=50, rules={})
    other = manifest(kept(1), codec="neucodec", revision="2", stand_in=False)
    summary = summarise([one, one, other], Settings())
    assert [codec["codec"] for codec in summary.codecs] == ["melvq", "neucodec"]
    assert summary.stand_in
    assert not summarise([other], Settings()).stand_in
    assert not summarise([manifest(kept(1), rules={})], Settings()).has_codes


def test_nothing_sums_up_to_nothing() -> None:
    summary = summarise([], Settings())
    assert (summary.total.samples, summary.kept.seconds, summary.funnel, summary.durations) == (0, 0.0, (), ())


def test_a_hundred_thousand_rows_take_less_than_a_second() -> None:
    rows = [
        kept(48_000 + i, speaker_id=f"S{i % 40}", text="hello", neutts_drop="digit" * (i % 2)) for i in range(100_000)
    ]
    large = manifest(*rows)
    started = time.process_time()
    summarise([large], Settings())
    assert time.process_time() - started < 1.0
