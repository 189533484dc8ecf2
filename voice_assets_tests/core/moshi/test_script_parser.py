"""A dialogue file is read line by line, and what is no dialogue is named with its line and its reason."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_core.moshi.script import BadDialogueLine, Dialogue, Turn
from voice_core.moshi.script_parser import MAX_LINE_BYTES, MAX_TURN_CHARS, bounded_lines, read_dialogues


def read(*lines: Any) -> list[Dialogue | BadDialogueLine]:
    return list(read_dialogues(item if isinstance(item, bytes) else json.dumps(item).encode() for item in lines))


def reason(line: Any) -> str:
    (item,) = read(line)
    assert isinstance(item, BadDialogueLine), item
    assert item.line == 1
    assert item.message.startswith("line 1: ")
    return item.reason


def turns(*items: Any) -> dict[str, Any]:
    return {"id": "a", "turns": list(items)}


def test_the_seeds_form_becomes_a_turn_of_the_user_and_one_of_the_assistant() -> None:
    expected = Dialogue("a", (Turn("user", "Hi."), Turn("assistant", "Hello.")), 1)
    assert read({"id": "a", "user_text": "Hi.", "assistant_text": " Hello.\n"}) == [expected]
    assert read({"sample_id": "a", "user": "Hi.", "assistant": "Hello.", "topic": "greeting"}) == [expected]


def test_the_multi_turn_form_carries_voice_emotion_and_timing() -> None:
    item = turns(
        {"role": "user", "text": "Hi.", "voice": "heart", "emotion": "calm", "pause_before_sec": 1},
        {"role": "assistant", "text": "Hello.", "overlap_sec": 0.5, "pause_before_sec": None},
    )
    first = Turn("user", "Hi.", "heart", "calm", pause_before_sec=1.0)
    assert read(item) == [Dialogue("a", (first, Turn("assistant", "Hello.", overlap_sec=0.5)), 1)]


def test_a_bom_blank_lines_and_windows_line_ends_are_accepted() -> None:
    good = b'{"id": 7, "user": "Hi.", "assistant": "Yes."}\r\n'
    assert [item.line for item in read(b"\xef\xbb\xbf" + good, b"\r\n", b"  \n", good.replace(b"7", b"8"))] == [1, 4]


def test_a_second_dialogue_of_an_id_is_refused_and_a_bad_line_takes_no_id() -> None:
    good = {"id": "a", "user": "Hi.", "assistant": "Yes."}
    bad, first, again = read({"id": "a"}, good, good)
    assert isinstance(first, Dialogue)
    assert isinstance(bad, BadDialogueLine)
    assert isinstance(again, BadDialogueLine)
    assert (bad.id, bad.reason) == ("a", "no_turns")
    assert (again.line, again.id, again.reason) == (3, "a", "duplicate_id")


HI = {"role": "user", "text": "Hi."}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"id": "a", "turns": [{"role": "user", "text": "Hi.", "pause_before_sec": NaN}]}', "bad_json"),
        (b'{"id": "a", "turns": [{"role": "user", "text": "Hi.", "pause_before_sec": 1e999}]}', "out_of_range"),
        (b'{"id": ' + b"9" * 5000 + b"}", "bad_json"),
        (b'{"id": "caf\xe9"}', "bad_utf8"),
        (b'{"id": "\\ud800", "user": "a", "assistant": "b"}', "bad_text"),
        (b'"' + b"a" * MAX_LINE_BYTES + b'"', "too_long"),
        ([1, 2], "not_an_object"),
        ({"user": "a", "assistant": "b"}, "no_id"),
        ({"id": ["a"], "user": "a", "assistant": "b"}, "wrong_type"),
        ({"id": True, "user": "a", "assistant": "b"}, "wrong_type"),
        ({"id": "a", "sample_id": "b", "user": "a", "assistant": "b"}, "ambiguous"),
        ({"id": "a", "user": "a"}, "empty_text"),
        ({"id": "a", "user": "a", "assistant": " … "}, "empty_text"),
        ({"id": "a", "user": 1, "assistant": "b"}, "wrong_type"),
        ({"id": "a", "turns": [HI], "user": "a"}, "ambiguous"),
        ({"id": "a", "turns": {}}, "wrong_type"),
        (turns(), "no_turns"),
        (turns("Hi."), "wrong_type"),
        (turns({"role": "system", "text": "Hi."}), "unknown_role"),
        (turns({"role": ["user"], "text": "Hi."}), "unknown_role"),
        (turns({**HI, "pause_before": 1}), "unknown_key"),
        (turns({**HI, "pause_before_sec": "1"}), "wrong_type"),
        (turns({**HI, "pause_before_sec": -1}), "out_of_range"),
        (turns(HI, {"role": "assistant", "text": "b", "pause_before_sec": 1, "overlap_sec": 1}), "ambiguous"),
        (turns({**HI, "overlap_sec": 1}), "nothing_to_overlap"),
        (turns({**HI, "voice": 3}), "wrong_type"),
        (turns({**HI, "text": "a" * (MAX_TURN_CHARS + 1)}), "too_long"),
        ({"id": "a", "user": "a" * (MAX_TURN_CHARS + 1), "assistant": "b"}, "too_long"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(line: Any, expected: str) -> None:
    assert reason(line) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "user", "assistant", "turns", "role", "text", "overlap_sec", "pause_before_sec"]),
            inner | st.sampled_from(["user", "assistant"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()), max_size=5))
def test_whatever_the_bytes_each_line_is_a_dialogue_or_a_bad_line(lines: list[bytes]) -> None:
    items = list(read_dialogues(lines))
    assert len(items) <= len(lines)
    for item in items:
        assert isinstance(item, Dialogue | BadDialogueLine)
        if isinstance(item, BadDialogueLine):
            item.message.encode()
            item.id.encode()
        else:
            assert item.turns
            assert all(turn.text.strip() for turn in item.turns)


@given(st.binary(max_size=200), st.integers(1, 20))
def test_lines_of_a_stream_are_its_lines_and_long_ones_only_as_long_as_shows_it(data: bytes, limit: int) -> None:
    expected = [line[: limit + 1] for line in io.BytesIO(data)]
    assert list(bounded_lines(io.BytesIO(data), limit)) == expected


def test_memory_does_not_grow_with_the_file() -> None:
    text = "word " * 1_000
    lines = (json.dumps({"id": i, "user": text, "assistant": text}).encode() for i in range(4_000))  # 40 MB
    tracemalloc.start()
    assert sum(isinstance(item, Dialogue) for item in read_dialogues(lines)) == 4_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
