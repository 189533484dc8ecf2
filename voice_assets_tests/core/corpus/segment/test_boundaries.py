import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_core.corpus.ingest.transcript_types import BadLine, Line
from voice_core.corpus.segment.boundaries import Cut, CutPiece, OutOfRange, StreamCutter, plan_cuts
from voice_core.settings import CutSettings
from voice_core.stages.verdicts import Reject

RATE = 8_000
CUT = CutSettings(sample_rate_hz=RATE)
TIMES = st.floats(-2, 25, allow_nan=False).map(lambda t: round(t, 3))
SOUND = st.builds(lambda start, length: (start, start + length), TIMES, st.floats(0.05, 6))
ANY = st.one_of(SOUND, SOUND, SOUND, st.tuples(TIMES, TIMES))
Taken = tuple[int, int, int, bytes]


def spoken(times: list[tuple[float, float]]) -> list[Line | BadLine]:
    return [Line(index, start, end, f"line {index}") for index, (start, end) in enumerate(times)]


def noise(seconds: float, seed: int = 0) -> npt.NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    envelope = np.repeat(rng.random(int(seconds * 40) + 1), RATE // 40)[: int(seconds * RATE)]
    return (rng.standard_normal(len(envelope)) * envelope * 3000).clip(-32768, 32767).astype(np.int16)


def cut(
    cuts: tuple[Cut, ...], pcm: npt.NDArray[np.int16], sizes: list[int], wanted: CutSettings = CUT
) -> tuple[list[Taken], list[tuple[int, str]]]:
    """Feed a recording in chunks of these sizes, cyclically; returns the cut and the rejected lines."""
    cutter = StreamCutter(cuts, wanted)
    pieces: list[CutPiece] = []
    at = turn = 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        pieces.extend(cutter.feed(pcm[at : at + size]))
        at += size
        turn += 1
    pieces.extend(cutter.finish())
    taken, rejected = [], []
    for piece in pieces:
        if isinstance(piece, OutOfRange):
            rejected.append((piece.cut.line.index, piece.reject.reason))
        else:
            taken.append((piece.cut.line.index, piece.start, piece.stop, piece.pcm.tobytes()))
            assert len(piece.pcm) == piece.stop - piece.start
    return taken, rejected


@given(st.lists(ANY, max_size=12), st.floats(0.5, 24))
@settings(max_examples=150, deadline=None)
def test_cuts_are_ordered_disjoint_and_inside_and_every_line_has_one_result(
    times: list[tuple[float, float]], seconds: float
) -> None:
    pcm = noise(seconds)
    plan = plan_cuts(spoken(times), CUT)
    taken, rejected = cut(plan.cuts, pcm, [RATE])
    last = 0
    for _, start, stop, _ in taken:
        assert last <= start <= stop <= len(pcm)
        last = stop
    named = [index for index, *_ in taken] + [index for index, _ in rejected]
    named += [line.index for line, _ in plan.rejects]
    assert sorted(named) == list(range(len(times)))


@given(st.lists(st.tuples(st.floats(0, 1.5), st.floats(0.15, 3)), min_size=1, max_size=8), st.floats(0, 0.4))
@settings(max_examples=100, deadline=None)
def test_a_boundary_of_lines_that_do_not_overlap_moves_at_most_the_reach(
    gaps: list[tuple[float, float]], reach: float
) -> None:
    times, at = [], 0.0
    for gap, length in gaps:
        times.append((at + gap, at + gap + length))
        at += gap + length
    wanted = CutSettings(sample_rate_hz=RATE, snap_reach_sec=reach)
    plan = plan_cuts(spoken(times), wanted)
    assert plan.rejects == ()
    taken, rejected = cut(plan.cuts, noise(at + 1), [RATE], wanted)
    assert rejected == []
    for (index, start, stop, _), (start_sec, end_sec) in zip(taken, times, strict=True):
        assert abs(start / RATE - start_sec) <= reach + 2 / RATE, index
        assert abs(stop / RATE - end_sec) <= reach + 2 / RATE, index


@given(st.lists(ANY, max_size=10), st.floats(0.5, 20), st.lists(st.integers(1, 30_000), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_how_a_recording_comes_in_chunks_changes_nothing(
    times: list[tuple[float, float]], seconds: float, sizes: list[int]
) -> None:
    pcm = noise(seconds, seed=3)
    cuts = plan_cuts(spoken(times), CUT).cuts
    sizes = [max(size, len(pcm) // 300 + 1) for size in sizes]
    assert cut(cuts, pcm, sizes) == cut(cuts, pcm, [len(pcm)])


def held(cutter: StreamCutter) -> int:
    """Samples that the cutter keeps in memory, including the base arrays of its views."""
    return sum(len(chunk if chunk.base is None else chunk.base) for chunk in cutter._chunks)


def test_an_hour_long_stream_is_cut_in_the_memory_of_a_few_segments() -> None:
    times = [(2.5 * i + 0.3, 2.5 * i + 2.3) for i in range(1440)]
    times[700] = (1750.0, 1751.0)
    cutter = StreamCutter(plan_cuts(spoken(times), CUT).cuts, CUT)
    silence = np.zeros(RATE, np.int16)
    most = count = 0
    for _ in range(3600):
        count += sum(1 for _ in cutter.feed(silence.copy()))
        most = max(most, held(cutter))
    count += sum(1 for _ in cutter.finish())
    assert count >= 1438
    assert most < 8 * RATE


def test_a_stream_without_a_line_for_long_is_not_kept() -> None:
    cutter = StreamCutter(plan_cuts(spoken([(3500.0, 3501.0)]), CUT).cuts, CUT)
    for second in range(3499):
        assert list(cutter.feed(np.zeros(RATE, np.int16))) == []
        assert held(cutter) <= RATE or second > 3497


def reasons(times: list[tuple[float, float]], wanted: CutSettings = CUT) -> dict[int, str]:
    return {line.index: reject.reason for line, reject in plan_cuts(spoken(times), wanted).rejects}


def test_of_two_lines_that_overlap_much_both_are_named_with_the_amount() -> None:
    plan = plan_cuts(spoken([(0, 3), (2, 5), (6, 8)]), CUT)
    assert [(line.index, reject) for line, reject in plan.rejects] == [
        (0, Reject("transcript", "overlap", 1.0, 0.25)),
        (1, Reject("transcript", "overlap", 1.0, 0.25)),
    ]


def test_a_line_within_another_rejects_both_and_keeps_the_neighbours() -> None:
    assert reasons([(0, 1), (2, 9), (3, 4), (9, 10)]) == {1: "overlap", 2: "overlap"}


def test_a_short_line_within_another_is_left_out_and_the_longer_one_stays() -> None:
    assert reasons([(0, 3), (1, 1.2), (4, 5)]) == {1: "overlap"}


def test_a_line_that_overlaps_one_long_before_it_is_found() -> None:
    assert reasons([(0, 30), (1, 2), (5, 6), (29, 32), (33, 34)]) == dict.fromkeys(range(4), "overlap")


def test_a_small_overlap_is_parted_where_it_is_quiet() -> None:
    pcm = noise(6) + np.int16(3000)
    pcm[round(2.1 * RATE) : round(2.14 * RATE)] = 0
    plan = plan_cuts(spoken([(0.5, 2.2), (2.0, 4.0)]), CUT)
    taken, _ = cut(plan.cuts, pcm, [RATE])
    assert plan.rejects == ()
    assert taken[0][2] == taken[1][1]
    assert 2.1 <= taken[0][2] / RATE <= 2.14


@pytest.mark.parametrize("offset", [-0.12, -0.06, 0.0, 0.06, 0.12])
def test_a_boundary_snaps_to_the_quiet_within_reach(offset: float) -> None:
    pcm = noise(6)
    pcm = np.where(np.abs(pcm) < 500, np.int16(500), pcm).astype(np.int16)
    for edge in (1.0, 3.0):
        middle = round((edge + offset) * RATE)
        pcm[middle - 160 : middle + 160] = 0
    taken, _ = cut(plan_cuts(spoken([(1.0, 3.0)]), CUT).cuts, pcm, [RATE])
    _, start, stop, _ = taken[0]
    assert abs(start / RATE - (1.0 + offset)) <= 0.02
    assert abs(stop / RATE - (3.0 + offset)) <= 0.02


def test_in_even_noise_a_boundary_stays_where_the_transcript_puts_it() -> None:
    pcm = np.full(6 * RATE, 1000, np.int16)
    ((_, start, stop, _),), _ = cut(plan_cuts(spoken([(1.0, 3.0)]), CUT).cuts, pcm, [RATE])
    assert abs(start / RATE - 1.0) < 0.006
    assert abs(stop / RATE - 3.0) < 0.006


def test_without_reach_a_cut_is_where_the_transcript_says_to_the_sample() -> None:
    still = CutSettings(sample_rate_hz=RATE, snap_reach_sec=0.0, fade_sec=0.0)
    pcm = noise(6)
    ((_, start, stop, data),), _ = cut(plan_cuts(spoken([(1.25, 3.5)]), still).cuts, pcm, [999], still)
    assert (start, stop) == (10_000, 28_000)
    assert data == pcm[10_000:28_000].tobytes()


def test_a_segment_begins_and_ends_softly() -> None:
    pcm = np.full(6 * RATE, 10_000, np.int16)
    ((*_, data),), _ = cut(plan_cuts(spoken([(1.0, 3.0)]), CUT).cuts, pcm, [RATE])
    audio = np.frombuffer(data, np.int16)
    assert abs(int(audio[0])) < 1_000
    assert abs(int(audio[-1])) < 1_000
    assert (audio[40:-40] == 10_000).all()
    assert (pcm == 10_000).all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (Line(0, 1.0, 2.0, "  \n"), "empty_text"),
        (Line(0, -1.0, 2.0, "a"), "negative_time"),
        (Line(0, 2.0, 1.0, "a"), "reversed"),
        (Line(0, 2.0, 2.0, "a"), "reversed"),
        (Line(0, 2.0, 2.05, "a"), "too_short"),
        (Line(0, 2.0, 99.0, "a"), "too_long"),
        (BadLine(0, "bad_time", "segments[0].start is not a finite number: nan"), "bad_time"),
    ],
)
def test_an_invalid_line_is_rejected_and_the_next_one_is_kept(line: Line | BadLine, reason: str) -> None:
    plan = plan_cuts([line, Line(1, 1.0, 2.0, "fine")], CUT)
    assert [(item.index, reject.reason) for item, reject in plan.rejects] == [(0, reason)]
    assert [item.line.index for item in plan.cuts] == [1]


def test_a_line_beyond_the_end_is_out_of_range_and_one_a_little_over_it_is_not() -> None:
    pcm = noise(10)
    plan = plan_cuts(spoken([(8.0, 10.2), (12.0, 13.0)]), CUT)
    taken, rejected = cut(plan.cuts, pcm, [RATE])
    assert rejected == [(1, "out_of_range")]
    assert taken[0][2] == pytest.approx(10 * RATE, abs=0.16 * RATE)
    assert cut(plan_cuts(spoken([(8.0, 10.5)]), CUT).cuts, pcm, [RATE])[1] == [(0, "out_of_range")]


def test_planning_does_not_hang_on_lines_that_all_overlap() -> None:
    """Quadratic time for so many lines would be minutes."""
    times = [(i * 0.5, i * 0.5 + 3.0) for i in range(50_000)]
    started = time.process_time()
    plan = plan_cuts(spoken(times), CUT)
    assert time.process_time() - started < 20
    assert len(plan.rejects) == 50_000
