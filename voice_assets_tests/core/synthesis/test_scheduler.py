"""Which utterance is said next, and which group is complete."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voice_core.synthesis.scheduler import Scheduler, UtteranceTask
from voice_core.synthesis.types import UtteranceGroup
from voice_core.tts import Speech, Utterance

SPEECH = Speech(np.zeros(0, np.float32), 24_000, "none", "1")


def _dialogue(number: int, voices: str = "abab") -> UtteranceGroup:
    return UtteranceGroup(f"{number}", tuple(Utterance(f"{number}", voice) for voice in voices))


def _run(
    window: Scheduler, groups: list[UtteranceGroup], engines: int, choice: random.Random
) -> tuple[list[str], list[str]]:
    """Keys in the order they come out, and voices in the order they are said, by engines that end at random."""
    source, out = iter(groups), list[str]()
    voices: list[str] = []
    begun: dict[int, UtteranceTask] = {}
    while True:
        while window.has_capacity and (group := next(source, None)) is not None:
            window.add(group)
        if (spoken := window.next_complete()) is not None:
            out.append(spoken.key)
            continue
        if window.is_empty:
            return out, voices
        for engine in range(engines):
            if engine not in begun and (task := window.take(engine)) is not None:
                begun[engine] = task
                voices.append(task.utterance.voice)
        window.record_result(begun.pop(choice.choice(sorted(begun))), SPEECH)


def test_with_two_voices_each_is_loaded_once_per_window() -> None:
    window = Scheduler(10)
    out, voices = _run(window, [_dialogue(n) for n in range(100)], 1, random.Random(0))
    assert len(voices) == 400
    assert window.voice_switches <= 100 / 10 + 1
    assert out == [f"{n}" for n in range(100)]


def test_two_engines_keep_to_a_voice_each() -> None:
    window = Scheduler(10)
    _run(window, [_dialogue(n) for n in range(200)], 2, random.Random(1))
    assert window.voice_switches <= 2 * (200 / 10)


def test_without_grouping_utterances_are_taken_as_they_come() -> None:
    window = Scheduler(10, by_voice=False)
    _, voices = _run(window, [_dialogue(n) for n in range(20)], 1, random.Random(0))
    assert "".join(voices) == "abab" * 20
    assert window.voice_switches == 80


def test_a_voice_that_is_rare_does_not_wait_for_ever() -> None:
    """Out of order, groups of one voice alone could go on and on."""
    window = Scheduler(5, ordered=False)
    groups = [_dialogue(0, "ab"), *(_dialogue(n, "aaa") for n in range(1, 50))]
    out, _ = _run(window, groups, 1, random.Random(0))
    assert out.index("0") <= 5


def test_returned_utterances_are_scheduled_first() -> None:
    window = Scheduler(5)
    window.add(_dialogue(0, "aa"))
    first = window.take(0)
    assert first is not None
    window.requeue(first)
    assert window.take(0) is first


def test_complete_groups_can_be_read_out_of_order() -> None:
    window = Scheduler(5)
    for number in range(3):
        window.add(_dialogue(number, "a"))
    tasks = [window.take(0) for _ in range(3)]
    for task in (tasks[2], tasks[1]):
        assert task is not None
        window.record_result(task, SPEECH)
    assert window.next_complete() is None
    drained = [spoken.key for spoken in iter(window.next_complete_any_order, None)]
    assert drained == ["1", "2"]


@given(
    st.lists(st.text("abc", max_size=4), max_size=30),
    st.integers(1, 6),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_every_group_is_yielded_once_and_in_order_if_requested(
    voices: list[str], size: int, engines: int, ordered: bool, by_voice: bool, choice: random.Random
) -> None:
    groups = [_dialogue(number, names) for number, names in enumerate(voices)]
    out, said = _run(Scheduler(size, ordered=ordered, by_voice=by_voice), groups, engines, choice)
    assert len(said) == sum(map(len, voices))
    keys = [group.key for group in groups]
    assert (out if ordered else sorted(out, key=int)) == keys
