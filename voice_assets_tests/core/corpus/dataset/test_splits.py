from hypothesis import given
from hypothesis import strategies as st

from voice_core.corpus.dataset.splits import SplitRow, parse_splits, plan_splits
from voice_core.corpus.dataset.text_normalization import hash_text
from voice_core.settings import SplitSettings
from voice_core.storage.store import Store

ROWS = st.lists(
    st.builds(
        SplitRow,
        channel=st.sampled_from("xy"),
        audio_id=st.sampled_from("abcdefgh"),
        speaker_id=st.sampled_from(["", "s1", "s2", "s3", "s4"]),
        text=st.sampled_from(["one", "One!", "two", "three", "four", "five", "نَعَم", "نعم"]),
    ),
    max_size=40,
)
SETTINGS = st.builds(
    SplitSettings,
    test_fraction=st.sampled_from([0.0, 0.05, 0.3, 0.9]),
    speaker_scope=st.sampled_from(["recording", "channel", "corpus"]),
    seed=st.sampled_from(["voice", "other"]),
)


def many(count: int, speaker: str = "s1", channel: str = "x") -> list[SplitRow]:
    return [SplitRow(channel, f"r{i}", speaker, f"text {i}") for i in range(count)]


@given(ROWS, SETTINGS)
def test_no_recording_person_or_text_is_ever_on_both_sides(rows: list[SplitRow], settings: SplitSettings) -> None:
    splits = plan_splits(rows, settings)
    sides: dict[str, set[object]] = {"train": set(), "test": set()}
    for row in rows:
        split = splits.split_of(row.channel, row.audio_id)
        if splits.leaks(split, row.text):
            assert split == "test"
            continue
        sides[split] |= {("recording", row.channel, row.audio_id), ("text", hash_text(row.text))}
        if row.speaker_id and settings.speaker_scope == "channel":
            sides[split].add(("person", row.channel, row.speaker_id))
        if row.speaker_id and settings.speaker_scope == "corpus":
            sides[split].add(("person", row.speaker_id))
    assert not sides["train"] & sides["test"]


@given(ROWS, SETTINGS, st.randoms())
def test_the_order_of_the_rows_changes_nothing(rows: list[SplitRow], settings: SplitSettings, random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_splits(rows, settings) == plan_splits(shuffled, settings)


@given(ROWS, SETTINGS)
def test_there_is_a_test_group_as_soon_as_there_are_two(rows: list[SplitRow], settings: SplitSettings) -> None:
    splits = plan_splits(rows, SplitSettings(test_fraction=settings.test_fraction))
    recordings = {(row.channel, row.audio_id) for row in rows}
    assert bool(splits.test) == (settings.test_fraction > 0 and len(recordings) > 1) or splits.test == recordings


def test_a_recording_keeps_its_side_as_the_corpus_grows() -> None:
    settings = SplitSettings(test_fraction=0.2)
    rows = many(200)
    before = plan_splits(rows[:100], settings)
    after = plan_splits(rows, settings)
    assert 5 < len(before.test) < 40
    assert all(before.split_of("x", row.audio_id) == after.split_of("x", row.audio_id) for row in rows[:100])


def test_about_the_configured_share_is_held_out() -> None:
    assert 60 <= len(plan_splits(many(1000), SplitSettings(test_fraction=0.1)).test) <= 140


def test_another_seed_holds_out_others() -> None:
    first, second = (plan_splits(many(100), SplitSettings(test_fraction=0.3, seed=seed)).test for seed in "ab")
    assert first != second


def test_the_scope_says_which_recordings_share_a_person_and_so_a_side() -> None:
    rows = [*many(20), *many(20, channel="y"), SplitRow("x", "other", "s2", "t"), SplitRow("y", "other", "s3", "t2")]
    for seed in "abcdefgh":
        for scope, groups in (("channel", 4), ("corpus", 3)):
            splits = plan_splits(rows, SplitSettings(test_fraction=0.4, seed=seed, speaker_scope=scope))
            sides = {(row.channel, row.speaker_id): set() for row in rows}
            for row in rows:
                sides[row.channel, row.speaker_id].add(splits.split_of(row.channel, row.audio_id))
            assert len(sides) == 4
            assert all(len(side) == 1 for side in sides.values())
            if groups == 3:
                assert sides["x", "s1"] == sides["y", "s1"]
    mixed = plan_splits(rows, SplitSettings(test_fraction=0.4, speaker_scope="recording"))
    assert len({mixed.split_of("x", f"r{i}") for i in range(20)}) == 2


def test_people_join_recordings_in_a_chain() -> None:
    rows = [SplitRow("x", f"r{i}", speaker, f"{i} {speaker}") for i in range(10) for speaker in (f"s{i}", f"s{i + 1}")]
    rows += [SplitRow("x", "alone", "z", "alone")]
    splits = plan_splits(rows, SplitSettings(test_fraction=0.5, speaker_scope="corpus"))
    assert len({splits.split_of("x", f"r{i}") for i in range(10)}) == 1


def test_a_row_without_a_speaker_joins_nothing() -> None:
    rows = many(50, speaker="")
    assert len(plan_splits(rows, SplitSettings(test_fraction=0.3, speaker_scope="corpus")).test) < 40


def test_splits_are_read_back_as_they_were_written() -> None:
    splits = plan_splits([*many(20), SplitRow("x", "أثير \ud800", "s", "text 1")], SplitSettings(test_fraction=0.5))
    assert parse_splits(Store("memory://"), "splits.json", splits.to_bytes()) == splits
