"""A dialogue stays in the batch that it was dealt to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.moshi.conftest import Workshop, dialogue
from voice_core.moshi.batching import (
    Dealt,
    deal_dialogues,
    list_scripts,
    parse_script_line,
    read_script,
    script_line,
)
from voice_core.moshi.records import dialogue_partition
from voice_core.moshi.script import BadLine, Dialogue, Turn

SCRIPTS = [dialogue(f"d{n}", f"Is this number {n}?", "It is.") for n in range(7)]


def deal(workshop: Workshop, items: list[Dialogue | BadLine]) -> Dealt:
    return deal_dialogues(workshop.store, "talks", items, 3)


def ids(workshop: Workshop) -> list[list[str]]:
    parts = list_scripts(workshop.store, "talks")
    return [[item.id for item in read_script(workshop.store, partition)] for partition in parts]


def test_dialogues_fill_batches_in_the_order_of_their_file(workshop: Workshop) -> None:
    dealt = deal(workshop, SCRIPTS)
    assert ids(workshop) == [["d0", "d1", "d2"], ["d3", "d4", "d5"], ["d6"]]
    assert [str(item) for item in dealt.partitions] == [f"talks/batch-000{n}" for n in (1, 2, 3)]
    assert (dealt.changed, dealt.dialogues, dealt.new) == (dealt.partitions, 7, 7)
    assert read_script(workshop.store, dealt.partitions[0]) == SCRIPTS[:3]
    assert deal(workshop, SCRIPTS).changed == ()


def test_an_edit_a_removal_and_newcomers_leave_the_others_where_they_are(workshop: Workshop) -> None:
    deal(workshop, SCRIPTS)
    newcomers = [dialogue(f"n{n}", "Hello?", "Yes?") for n in range(3)]
    edited = dialogue("d4", "Is this another one?", "It is.")
    dealt = deal(workshop, [newcomers[0], *SCRIPTS[1:4], edited, *SCRIPTS[5:], *newcomers[1:]])
    assert ids(workshop) == [["d1", "d2"], ["d3", "d4", "d5"], ["n0", "d6", "n1"], ["n2"]]
    assert (dealt.new, len(dealt.changed)) == (3, 4)
    dealt = deal(workshop, SCRIPTS[:3])
    assert ids(workshop) == [["d1", "d2"], [], [], ["d0"]], "what was removed is a newcomer when it comes back"
    assert len(dealt.partitions) == 4


def test_a_bad_line_goes_with_the_dialogue_before_it(workshop: Workshop) -> None:
    bad = [BadLine(n, "bad_json", f"line {n}: not JSON") for n in (1, 6)]
    dealt = deal(workshop, [bad[0], *SCRIPTS[:4], bad[1]])
    assert dealt.bad_lines == 2
    assert read_script(workshop.store, dialogue_partition("talks", 1)) == [bad[0], *SCRIPTS[:3]]
    assert read_script(workshop.store, dialogue_partition("talks", 2)) == [SCRIPTS[3], bad[1]]


def test_a_file_without_a_dialogue_empties_nothing(workshop: Workshop) -> None:
    deal(workshop, SCRIPTS)
    with pytest.raises(ValueError, match="not one dialogue"):
        deal(workshop, [BadLine(1, "bad_json", "line 1: not JSON")])
    assert len(ids(workshop)[0]) == 3


def test_a_batch_that_was_never_dealt_is_named(workshop: Workshop) -> None:
    with pytest.raises(LookupError, match="talks/batch-0009"):
        read_script(workshop.store, dialogue_partition("talks", 9))


@given(
    st.builds(
        Turn,
        st.sampled_from(["user", "assistant"]),
        st.text(),
        st.text(),
        st.text(),
        st.none() | st.floats(0, 60),
        st.none() | st.floats(0, 60),
    ),
    st.text(),
)
def test_a_dialogue_reads_back_as_it_was_written_but_for_its_line(turn: Turn, name: str) -> None:
    assert parse_script_line(script_line(Dialogue(name, (turn,), 5))) == Dialogue(name, (turn,))
    assert script_line(Dialogue(name, (turn,))).count(b"\n") == 1
