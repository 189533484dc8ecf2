"""Turns follow each other as people's do, the same ones the same way each time."""

import itertools
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_core.moshi.script import SAMPLE_RATE_HZ, Dialogue, Turn
from voice_core.moshi.turn_timing import SpeechExtent, drawn_gap_sec, plan_turns
from voice_core.settings import MoshiSettings

RATE = SAMPLE_RATE_HZ
seconds = st.floats(0, 5)
turn_strategy = st.one_of(
    st.builds(Turn, st.sampled_from(["user", "assistant"]), st.just("a")),
    st.builds(Turn, st.sampled_from(["user", "assistant"]), st.just("a"), pause_before_sec=seconds),
    st.builds(Turn, st.sampled_from(["user", "assistant"]), st.just("a"), overlap_sec=seconds),
)
scripts = st.lists(st.tuples(turn_strategy, st.integers(1, 5 * RATE)), min_size=1, max_size=12)


def plan(script: list[tuple[Turn, int]], settings: MoshiSettings | None = None, name: str = "a") -> list[int]:
    dialogue = Dialogue(name, tuple(turn for turn, _ in script))
    return plan_turns(dialogue, [SpeechExtent(length) for _, length in script], settings or MoshiSettings())


@given(scripts, st.floats(0, 1), st.booleans())
def test_turns_of_one_speaker_never_overlap(script: list[Any], overlap_probability: float, legacy: bool) -> None:
    dialogue = Dialogue("a", tuple(turn for turn, _ in script))
    extents = [SpeechExtent(length, length // 5, length // 7) for _, length in script]
    settings = MoshiSettings(overlap_probability=overlap_probability, legacy_io=legacy)
    starts = plan_turns(dialogue, extents, settings)
    for role in ("user", "assistant"):
        spans = [(start, start + n) for start, (turn, n) in zip(starts, script, strict=True) if turn.role == role]
        assert all(start >= 0 for start, _ in spans)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


@given(st.lists(st.integers(1, 5 * RATE), min_size=2, max_size=12), st.text(), st.integers(0, 9))
def test_gaps_are_within_their_bounds_and_follow_from_the_id_and_the_seed(
    lengths: list[int], name: str, seed: int
) -> None:
    script = [(Turn(("user", "assistant")[i % 2], "a"), length) for i, length in enumerate(lengths)]  # type: ignore[arg-type]
    settings = MoshiSettings(seed=seed)
    starts = plan(script, settings, name)
    assert starts[0] == 0
    assert starts == plan(script, settings, name)
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    for end, start in zip(ends, starts[1:], strict=False):
        assert settings.gap_min_sec - 1 / RATE <= (start - end) / RATE <= settings.gap_max_sec + 1 / RATE


def test_gaps_are_spread_about_their_median_and_differ_from_dialogue_to_dialogue() -> None:
    gaps = [drawn_gap_sec(MoshiSettings(), f"dialogue-{i}", 1) for i in range(2_000)]
    assert statistics.median(gaps) == pytest.approx(0.2, rel=0.06)
    assert len(set(gaps)) > 1_900
    assert gaps != [drawn_gap_sec(MoshiSettings(seed=1), f"dialogue-{i}", 1) for i in range(2_000)]


def test_a_pause_that_the_script_asks_for_is_kept_to_the_sample() -> None:
    script = [(Turn("user", "a", pause_before_sec=0.5), 100), (Turn("assistant", "b", pause_before_sec=0.0), 50)]
    assert plan(script) == [RATE // 2, RATE // 2 + 100]


def test_an_overlap_is_counted_back_from_the_others_end_but_not_beyond_its_beginning() -> None:
    first = (Turn("user", "a"), 3 * RATE)
    assert plan([first, (Turn("assistant", "b", overlap_sec=1), 2 * RATE)]) == [0, 2 * RATE]
    assert plan([first, (Turn("assistant", "b", overlap_sec=9), 2 * RATE)]) == [0, 0]


def test_a_back_channel_is_over_while_the_other_still_speaks_and_the_next_turn_waits_for_both() -> None:
    script = [
        (Turn("assistant", "a long story"), 4 * RATE),
        (Turn("user", "mm", overlap_sec=2), RATE // 2),
        (Turn("user", "I see", overlap_sec=1), RATE // 2),
        (Turn("assistant", "and so on", pause_before_sec=0.25), RATE),
    ]
    assert plan(script) == [0, 2 * RATE, 3 * RATE, 4 * RATE + RATE // 4]


def test_overlaps_are_drawn_with_the_set_probability_and_take_at_most_half_of_a_turn() -> None:
    settings = MoshiSettings(overlap_probability=0.3)
    script = [(Turn("user", "a"), RATE // 2), (Turn("assistant", "b"), RATE // 2)]
    starts = [plan(script, settings, f"dialogue-{i}")[1] for i in range(1_000)]
    overlapping = [start for start in starts if start < RATE // 2]
    assert 250 < len(overlapping) < 350
    assert min(overlapping) >= RATE // 4


def test_the_legacy_layout_begins_on_both_channels_at_once() -> None:
    script = [(Turn("user", "a"), 100), (Turn("assistant", "b", pause_before_sec=1), 70), (Turn("user", "c"), 30)]
    assert plan(script, MoshiSettings(legacy_io=True)) == [0, 0, 100]


def test_gaps_are_between_speech_not_between_audio_with_silence_at_its_ends() -> None:
    script = (Turn("user", "a"), Turn("assistant", "b", pause_before_sec=0.2), Turn("assistant", "c", overlap_sec=0.1))
    extents = [SpeechExtent(RATE, 5_000, 6_000), SpeechExtent(RATE, 5_000, 6_000), SpeechExtent(RATE, 5_000, 6_000)]
    starts = plan_turns(Dialogue("a", script), extents, MoshiSettings())
    assert starts[0] == 0
    assert starts[1] + 5_000 - (RATE - 6_000) == RATE // 5
    assert starts[2] == starts[1] + RATE, "its own channel is taken until then"
