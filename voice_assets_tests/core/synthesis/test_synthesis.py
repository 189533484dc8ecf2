"""Synthesis over every backend."""

import contextlib
import gc
import itertools
import json
import logging
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_assets_tests.core.synthesis.scripted_engine import scripted_spec
from voice_assets_tests.core.synthesis.synthesis_helpers import (
    BACKENDS_TESTED,
    every_backend,
    make_group,
    make_groups,
    make_options,
    sample_bytes,
)
from voice_core.synthesis import Backend, EngineSpec, SpokenGroup, SynthesisStats, UtteranceGroup, synthesise
from voice_core.tts import Utterance


@pytest.mark.parametrize("ordered", [True, False])
def test_all_backends_give_the_same_bytes(ordered: bool) -> None:
    spec = scripted_spec(samples=30_000)
    results = {
        backend: sorted(sample_bytes(list(synthesise(make_groups(20), spec, make_options(backend, ordered=ordered)))))
        for backend in BACKENDS_TESTED
    }
    assert len(results["serial"]) == 20
    assert results["serial"] == results["thread"] == results["process"]


def test_all_backends_give_the_same_bytes_of_a_real_engine() -> None:
    texts = ["Hello there.", "How are you today?", "Fine, thanks.", "It is raining again."]
    groups = [
        UtteranceGroup(
            f"{n}", tuple(Utterance(text, voice, seed=n) for text, voice in zip(texts, itertools.cycle(voices)))
        )
        for n, voices in enumerate([("heart", "heart-low"), ("heart-low", "heart")])
    ]
    spec = EngineSpec("hibari", thread_safe=True)
    results = {
        backend: sample_bytes(list(synthesise(groups, spec, make_options(backend)))) for backend in BACKENDS_TESTED
    }
    assert results["serial"] == results["thread"] == results["process"]
    assert len({audio for _, audios in results["serial"] for audio in audios}) == 8


@every_backend
def test_groups_come_in_the_order_of_the_input(backend: Backend) -> None:
    groups = [make_group(0, "slow one", "one"), *make_groups(8)[1:]]
    stats = SynthesisStats()
    keys = [spoken.key for spoken in synthesise(groups, scripted_spec(), make_options(backend), stats)]
    assert keys == [f"{number}" for number in range(8)]
    assert (stats.groups, stats.utterances, stats.waiting, stats.begun) == (8, 30, 0, 0)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_groups_come_as_they_are_done_where_order_does_not_matter(backend: Backend) -> None:
    groups = [make_group(0, "slow one"), *make_groups(8)[1:]]
    keys = [spoken.key for spoken in synthesise(groups, scripted_spec(), make_options(backend, ordered=False))]
    assert keys[0] != "0"
    assert sorted(keys) == [f"{number}" for number in range(8)]


@every_backend
def test_an_endless_source_is_never_read_further_ahead_than_the_buffer(backend: Backend) -> None:
    read = 0

    def source() -> Iterator[UtteranceGroup]:
        nonlocal read
        for read in itertools.count(1):
            yield make_group(read, "x", "y")

    with contextlib.closing(synthesise(source(), scripted_spec(), make_options(backend, planner_buffer=5))) as spoken:
        for taken, _ in enumerate(itertools.islice(spoken, 40), start=1):
            assert read <= taken + 5
            if taken % 10 == 0:
                time.sleep(0.02)  # a slow consumer
                assert read <= taken + 5


@every_backend
def test_an_empty_source_and_empty_groups_are_accepted(backend: Backend) -> None:
    assert list(synthesise([], scripted_spec(), make_options(backend))) == []
    assert list(synthesise([UtteranceGroup("none", ())], scripted_spec(), make_options(backend))) == [
        SpokenGroup("none", ())
    ]


def test_texts_and_audio_that_fill_the_pipes_do_not_wait_for_each_other() -> None:
    def too_long(*_: object) -> None:
        raise TimeoutError

    groups = [make_group(number, *(f"{number} {place} " + 200_000 * "x" for place in range(3))) for number in range(2)]
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    try:
        spoken = list(synthesise(groups, scripted_spec(samples=200_000), make_options("process", workers=1)))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert sample_bytes(spoken) == sample_bytes(
        list(synthesise(groups, scripted_spec(samples=200_000), make_options()))
    )


def test_an_engine_that_is_not_thread_safe_has_one_thread_whatever_was_claimed() -> None:
    spec = scripted_spec(cost_sec=0.001, thread_safe=False)
    claimed = type(spec)(spec.name, spec.options, thread_safe=True)
    stats = SynthesisStats()
    spoken = list(synthesise(make_groups(10), claimed, make_options("thread", workers=4), stats))
    assert not any(one.failures for one in spoken)
    assert stats.workers == 1


@every_backend
def test_a_voice_is_taken_up_once_a_window_and_the_engine_agrees(backend: Backend, tmp_path: Path) -> None:
    stats = SynthesisStats()
    options = make_options(backend, workers=1, planner_buffer=10)
    list(synthesise(make_groups(60), scripted_spec(folder=str(tmp_path)), options, stats))
    counted = len((tmp_path / "voices").read_text().splitlines())
    assert counted == stats.voice_switches <= 60 / 10 + 1


@every_backend
def test_nothing_is_kept_of_what_was_yielded(backend: Backend) -> None:
    source = (make_group(number, "x", "y") for number in range(3_000))
    held = []
    for number, _ in enumerate(synthesise(source, scripted_spec(), make_options(backend))):
        if number % 600 == 300:
            gc.collect()
            held.append(len(gc.get_objects()))
    assert len(held) == 5
    assert max(held) - held[0] < 1_000


def test_stats_are_logged_as_lines_of_json_on_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "voice_core.synthesis.stats"):
        list(synthesise(make_groups(5), scripted_spec(), make_options(log_json=True, log_every_sec=0, total=20)))
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name.endswith("synthesis.stats")]
    assert len(lines) > 10
    assert lines[-1]["utterances"] == 20
    assert lines[-1]["left_sec"] == 0
    assert 0 < lines[-1]["engine_busy_share"] <= 1
    assert any(line["waiting"] for line in lines)


def test_progress_is_reported_in_utterances_with_queue_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reporter:
        def __init__(self) -> None:
            self.done, self.started, self.finished = 0.0, ("", 0.0, ""), 0
            self.notes: list[str] = []

        def start(self, label: str, total: float, unit: str) -> "Reporter":
            self.started = (label, total, unit)
            return self

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.done += amount
            self.notes.append(note)

        def finish(self, task: object) -> None:
            self.finished += 1

    reporter = Reporter()
    monkeypatch.setattr("voice_core.compute.progress._reporter", reporter)
    list(synthesise([*make_groups(5), make_group(6, "bad x")], scripted_spec(), make_options(total=21)))
    assert (reporter.started, reporter.done, reporter.finished) == (("speech", 21, "utterances"), 21, 1)
    said = [re.fullmatch(r"(\d+) waiting, [\d.]+/s, real-time factor [\d.]+", note) for note in reporter.notes]
    assert all(said)
    assert int(said[0][1]) > int(said[-1][1]) == 0  # type: ignore[index]
