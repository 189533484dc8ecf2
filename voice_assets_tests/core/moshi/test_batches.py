"""A dialogue stays in the batch that it was dealt to."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.moshi.conftest import ShardBuilder, make_dialogue
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.s3 import S3Server
from voice_core.moshi.batches import (
    BatchAssignment,
    DialogueSource,
    assign_dialogues,
    list_scripts,
    parse_script_line,
    read_script,
    script_line,
)
from voice_core.moshi.script import BadDialogueLine, Dialogue, Turn
from voice_core.moshi.shard_manifest import dialogue_partition
from voice_core.settings import ConfigurationError
from voice_core.storage.store import Store

SCRIPTS = [make_dialogue(f"d{n}", f"Is this number {n}?", "It is.") for n in range(7)]


def deal(
    shard_builder: ShardBuilder, items: Sequence[Dialogue | BadDialogueLine], given: DialogueSource | None = None
) -> BatchAssignment:
    return assign_dialogues(shard_builder.store, "talks", items, 3, given or DialogueSource())


def ids(shard_builder: ShardBuilder) -> list[list[str]]:
    parts = list_scripts(shard_builder.store, "talks")
    return [[item.id for item in read_script(shard_builder.store, partition)] for partition in parts]


def test_dialogues_fill_batches_in_the_order_of_their_file(shard_builder: ShardBuilder) -> None:
    dealt = deal(shard_builder, SCRIPTS)
    assert ids(shard_builder) == [["d0", "d1", "d2"], ["d3", "d4", "d5"], ["d6"]]
    assert [str(item) for item in dealt.partitions] == [f"talks/batch-000{n}" for n in (1, 2, 3)]
    assert (dealt.changed, dealt.dialogues, dealt.new, dealt.removed) == (dealt.partitions, 7, 7, 0)
    assert read_script(shard_builder.store, dealt.partitions[0]) == SCRIPTS[:3]
    assert deal(shard_builder, SCRIPTS).changed == ()


def test_an_edit_a_removal_and_newcomers_leave_the_others_where_they_are(shard_builder: ShardBuilder) -> None:
    deal(shard_builder, SCRIPTS)
    newcomers = [make_dialogue(f"n{n}", "Hello?", "Yes?") for n in range(3)]
    edited = make_dialogue("d4", "Is this another one?", "It is.")
    dealt = deal(shard_builder, [newcomers[0], *SCRIPTS[1:4], edited, *SCRIPTS[5:], *newcomers[1:]])
    assert ids(shard_builder) == [["d1", "d2"], ["d3", "d4", "d5"], ["n0", "d6", "n1"], ["n2"]]
    assert (dealt.new, dealt.removed, len(dealt.changed)) == (3, 1, 4)
    dealt = deal(shard_builder, SCRIPTS[:3])
    assert ids(shard_builder) == [["d1", "d2"], [], [], ["d0"]], "what was removed is a newcomer when it comes back"
    assert len(dealt.partitions) == 4


def test_a_bad_line_goes_with_the_dialogue_before_it(shard_builder: ShardBuilder) -> None:
    bad = [BadDialogueLine(n, "bad_json", f"line {n}: not JSON") for n in (1, 6)]
    dealt = deal(shard_builder, [bad[0], *SCRIPTS[:4], bad[1]])
    assert dealt.bad_lines == 2
    assert read_script(shard_builder.store, dialogue_partition("talks", 1)) == [bad[0], *SCRIPTS[:3]]
    assert read_script(shard_builder.store, dialogue_partition("talks", 2)) == [SCRIPTS[3], bad[1]]


def test_a_file_without_a_dialogue_empties_nothing(shard_builder: ShardBuilder) -> None:
    deal(shard_builder, SCRIPTS)
    with pytest.raises(ValueError, match="no valid dialogue"):
        deal(shard_builder, [BadDialogueLine(1, "bad_json", "line 1: not JSON")])
    assert len(ids(shard_builder)[0]) == 3


def test_a_part_takes_nothing_away(shard_builder: ShardBuilder) -> None:
    deal(shard_builder, SCRIPTS[:2], DialogueSource("file:///a.jsonl", partial=True))
    deal(shard_builder, SCRIPTS[:4], DialogueSource("file:///a.jsonl", partial=True))
    deal(shard_builder, SCRIPTS, DialogueSource("file:///a.jsonl"))
    before = shard_builder.scripts()
    with pytest.raises(ConfigurationError, match=r"lack 5 of them, which would be removed.*--dataset-name"):
        deal(shard_builder, SCRIPTS[:2], DialogueSource("file:///a.jsonl", partial=True))
    assert shard_builder.scripts() == before
    assert deal(shard_builder, SCRIPTS, DialogueSource("file:///a.jsonl", partial=True)).changed == ()


def test_another_file_does_not_take_the_place_of_the_first_unless_it_is_to(shard_builder: ShardBuilder) -> None:
    deal(shard_builder, SCRIPTS[:4], DialogueSource("file:///a.jsonl"))
    before = shard_builder.scripts()
    with pytest.raises(ConfigurationError, match=r"talks is made of file:///a.jsonl.*--replace-input"):
        deal(shard_builder, SCRIPTS[4:], DialogueSource("file:///b.jsonl"))
    with pytest.raises(ConfigurationError, match="--replace-input"):  # of the same ids, too: it is another's 'd0'
        deal(shard_builder, SCRIPTS[:4], DialogueSource("file:///b.jsonl"))
    assert shard_builder.scripts() == before
    assert deal(shard_builder, SCRIPTS[:3], DialogueSource("file:///a.jsonl")).removed == 1, (
        "the file itself may lose dialogues"
    )
    deal(shard_builder, SCRIPTS[4:], DialogueSource("file:///b.jsonl", replace_source=True))
    assert ids(shard_builder) == [[], ["d4", "d5", "d6"]]
    deal(shard_builder, SCRIPTS[4:], DialogueSource("file:///b.jsonl"))
    with pytest.raises(ConfigurationError, match=r"made of file:///b.jsonl"):
        deal(shard_builder, SCRIPTS, DialogueSource("file:///a.jsonl"))


def test_an_assignment_reads_each_batch_of_a_bucket_once_and_many_at_a_time(
    s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    scripts = [make_dialogue(f"d{n}", "Hello?", "Yes?") for n in range(120)]
    store = Store(s3_server.new_bucket() + "/work", dataclasses.replace(s3_server.access(), endpoint_url=s3_proxy.url))
    assign_dialogues(store, "talks", scripts, 3)
    s3_proxy.delay(0.05)
    del s3_proxy.requests[:]
    assert assign_dialogues(store, "talks", scripts, 3).changed == ()
    asked = [item for item in s3_proxy.requests if ".jsonl" in item.path]
    assert len(asked) == 40
    assert s3_proxy.max_in_flight > 10


def test_a_batch_that_was_never_assigned_is_named(shard_builder: ShardBuilder) -> None:
    with pytest.raises(LookupError, match="talks/batch-0009"):
        read_script(shard_builder.store, dialogue_partition("talks", 9))


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
