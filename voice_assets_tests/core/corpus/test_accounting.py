from hypothesis import given
from hypothesis import strategies as st

from voice_core.corpus.accounting import Span, account_for_samples, assign_samples
from voice_core.corpus.manifest import Entry
from voice_core.stages.verdicts import Reject

TOTALS = st.integers(0, 60)
SPANS = st.lists(st.builds(Span, st.integers(-5, 70), st.integers(-5, 70), st.integers(-3, 9)), max_size=9).map(
    lambda spans: [span._replace(rank=span.rank * 100 + i) for i, span in enumerate(spans)]  # ranks differ
)
SECONDS = st.one_of(st.none(), st.floats(-3, 12, allow_nan=False))


@given(TOTALS, SPANS)
def test_each_sample_goes_to_the_lowest_rank_that_claims_it(total: int, spans: list[Span]) -> None:
    owners = [
        min((span.rank, i) for i, span in enumerate(spans) if span.start <= at < span.stop)[1]
        if any(span.start <= at < span.stop for span in spans)
        else -1
        for at in range(total)
    ]
    counts, unclaimed, longest = assign_samples(total, spans)
    assert counts == [owners.count(i) for i in range(len(spans))]
    assert unclaimed == owners.count(-1)
    assert longest == max(map(len, "".join("x" if owner < 0 else " " for owner in owners).split()), default=0)


@given(st.integers(0, 10**12), st.lists(st.builds(Span, *[st.integers(-(10**13), 10**13)] * 3), max_size=30))
def test_the_counts_add_up_to_the_last_sample(total: int, spans: list[Span]) -> None:
    counts, unclaimed, longest = assign_samples(total, spans)
    assert sum(counts) + unclaimed == total
    assert all(count >= 0 for count in counts)
    assert 0 <= longest <= unclaimed


@st.composite
def rows(draw: st.DrawFn) -> tuple[int, list[Entry]]:
    """A recording of up to ten seconds: disjoint cuts, and lines that were not cut, anywhere."""
    total = draw(st.integers(0, 80_000))
    edges = sorted(draw(st.lists(st.integers(0, total), max_size=10)))
    made = [
        Entry("line", "a", i, start_sec=start / 8000, end_sec=stop / 8000, cut_start=start, cut_stop=stop)
        for i, (start, stop) in enumerate(zip(edges[::2], edges[1::2], strict=False))
    ]
    for start, end in draw(st.lists(st.tuples(SECONDS, SECONDS), max_size=8)):
        made.append(
            Entry("line", "a", len(made), start_sec=start, end_sec=end).with_verdict(Reject("transcript", "overlap"))
        )
    return total, draw(st.permutations(made))


@given(rows())
def test_the_rows_of_a_recording_add_up_to_it_and_a_cut_keeps_all_of_its_audio(made: tuple[int, list[Entry]]) -> None:
    total, entries = made
    done = account_for_samples(entries, "a", total, 8000)
    assert sum(entry.sample_count for entry in done) == total
    assert sorted(e.index for e in done if e.kind == "line") == sorted(e.index for e in entries)
    for entry in done:
        if entry.cut_start is not None and entry.cut_stop is not None:
            assert entry.sample_count == entry.cut_stop - entry.cut_start


def test_audio_without_a_line_is_a_separate_row() -> None:
    done = account_for_samples([Entry("line", "a", 0, start_sec=1.0, end_sec=2.0)], "a", 32_000, 8000)
    rest = done[-1]
    assert (rest.kind, rest.stage, rest.reason, rest.sample_count) == ("rest", "transcript", "not_transcribed", 24_000)
    assert "2.0 s" in rest.message


def test_a_row_of_an_earlier_run_is_counted_afresh_and_the_old_rest_is_dropped() -> None:
    first = account_for_samples([Entry("line", "a", 0, start_sec=1.0, end_sec=2.0)], "a", 32_000, 8000)
    again = account_for_samples(first, "a", 32_000, 8000)
    assert again == first
