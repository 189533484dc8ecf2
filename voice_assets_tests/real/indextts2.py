"""The real IndexTTS2 with its real weights (docs/how-to/speech-engines.md). CI has neither, so it does not run this.

    VOICE_INDEXTTS2__MODEL_DIR=checkpoints VOICE_INDEXTTS2__VOICES='{"anna": "anna.wav", "ben": "ben.wav"}' \
        pytest -o addopts= -s voice_assets_tests/real/indextts2.py

Nothing here skips: where package, weights or voices are missing, it fails and says what is missing.
"""

import inspect
import logging
import time
from collections.abc import Iterator

import numpy as np
import pytest

from voice_assets_tests.core.tts import fake_indextts
from voice_core.settings import Settings
from voice_core.tts import Utterance
from voice_core.tts.indextts2 import EMOTIONS, IndexTTS2Engine

SENTENCE = "The ferry leaves when the captain has finished her tea, and not a minute sooner."
LONG = " ".join([SENTENCE, "Until then, nobody may smoke on the upper deck, or feed the gulls."] * 4)


@pytest.fixture(scope="module")
def engine() -> Iterator[IndexTTS2Engine]:
    settings = Settings.load().indextts2
    assert len(settings.voices) >= 2, "VOICE_INDEXTTS2__VOICES must name two recordings"
    engine = IndexTTS2Engine(settings)
    with engine.ready("the check of IndexTTS2"):
        yield engine


def test_its_signatures_are_those_that_the_fake_one_has() -> None:
    from indextts.infer_v2 import IndexTTS2

    for method in ("__init__", "infer"):
        known = inspect.signature(getattr(fake_indextts.IndexTTS2, method)).parameters
        for name, parameter in inspect.signature(getattr(IndexTTS2, method)).parameters.items():
            default = known[name].default if name in known else parameter.default
            assert (name, parameter.default) == (name, default)
            assert name in known or default is not inspect.Parameter.empty, f"{name} is new, and has to be given"


def test_clearing_covers_the_caches_of_recordings(engine: IndexTTS2Engine) -> None:
    engine.warm("default")
    assert {f"cache_{name}" for name in fake_indextts.CACHES} <= {
        name for name, value in vars(engine._model).items() if value is not None
    }


def test_a_sentence_lasts_as_long_as_speech(engine: IndexTTS2Engine, capfd: pytest.CaptureFixture[str]) -> None:
    speech = engine.speak(Utterance(SENTENCE, "default"))
    printed = capfd.readouterr()
    assert len(SENTENCE) / 30 < speech.duration_sec < len(SENTENCE) / 6
    assert 0.01 < float(np.sqrt(np.mean(speech.audio**2))) < 0.5
    assert printed == ("", "")
    logging.getLogger(__name__).warning("real-time factor %.3f, %s", speech.real_time_factor, speech.revision)


def test_a_seed_gives_the_same_samples_again_on_this_machine(engine: IndexTTS2Engine) -> None:
    first, other, again = (engine.speak(Utterance(SENTENCE, "default", seed=seed)).audio for seed in (1, 2, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_earlier_speech_with_another_voice_changes_nothing(engine: IndexTTS2Engine) -> None:
    one, two, *_ = engine.voices
    first = engine.speak(Utterance(SENTENCE, one)).audio
    engine.speak(Utterance(SENTENCE, two))
    assert np.array_equal(engine.speak(Utterance(SENTENCE, one)).audio, first)


def test_a_stream_is_the_same_audio(engine: IndexTTS2Engine) -> None:
    began = time.perf_counter()
    pieces, times = [], []
    for piece in engine.stream(Utterance(LONG, "default")):
        pieces.append(piece)
        times.append(time.perf_counter() - began)
    assert len(pieces) > 1
    assert times[0] < times[-1]
    assert np.array_equal(np.concatenate(pieces), engine.speak(Utterance(LONG, "default")).audio)


@pytest.mark.parametrize("emotion", [*EMOTIONS, "close to tears"])
def test_it_speaks_with_every_emotion(engine: IndexTTS2Engine, emotion: str) -> None:
    if emotion in EMOTIONS or engine.settings.use_qwen_emo:
        assert engine.speak(Utterance(SENTENCE, "default", emotion=emotion)).duration_sec > 1


def test_a_voice_that_is_kept_is_faster_than_one_that_changes(engine: IndexTTS2Engine) -> None:
    voices = [*engine.voices[:2]] * 4
    took = []
    for order in (voices, sorted(voices)):
        before, began = engine.prompt_misses, time.perf_counter()
        for voice in order:
            engine.speak(Utterance("Good morning.", voice))
        took.append((engine.prompt_misses - before, time.perf_counter() - began))
    logging.getLogger(__name__).warning("(misses, seconds): alternating %s, grouped %s", *took)
    assert took[1][0] < took[0][0]
