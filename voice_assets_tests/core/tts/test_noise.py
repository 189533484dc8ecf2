"""Noise stands in for speech: as long, as loud, two voices apart, always the same, and hardly any work."""

import pickle
import time

import numpy as np
import pytest

from voice_assets_tests.core.tts.test_hibari import pitch_hz
from voice_core.synthesis import EngineSpec, SynthesisOptions, UtteranceGroup, synthesise
from voice_core.synthesis.types import Backend
from voice_core.tts import Speech, SpeechEngine, TransientEngineError, Utterance, load_engine

PROSE = (
    "The ferry leaves when the captain has finished her tea. Until then, nobody may smoke on the upper deck, "
    "or feed the gulls; they remember it for years!"
)


def rms_dbfs(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(audio.astype(np.float64) ** 2)))


def test_it_is_a_speech_engine_at_24_khz_or_at_the_configured_rate() -> None:
    assert isinstance(load_engine("noise"), SpeechEngine)
    assert load_engine("noise").sample_rate_hz == 24_000
    slow, fast = (load_engine("noise", sample_rate_hz=rate).speak(Utterance(PROSE)) for rate in (16_000, 48_000))
    assert (slow.sample_rate_hz, fast.sample_rate_hz) == (16_000, 48_000)
    assert slow.duration_sec == pytest.approx(fast.duration_sec, abs=0.02)
    assert slow.revision != fast.revision


def test_text_voice_and_seed_each_change_it_and_nothing_else_does() -> None:
    def say(**changed: object) -> bytes:
        given = {"text": PROSE, "voice": "a", "seed": 1, **changed}
        return load_engine("noise").speak(Utterance(**given)).audio.tobytes()  # type: ignore[arg-type]

    assert say() == say()
    assert len({say(), say(seed=2), say(voice="b"), say(text=PROSE + " Yes.")}) == 4
    copy = pickle.loads(pickle.dumps(load_engine("noise")))
    assert copy.speak(Utterance(PROSE, "a", seed=1)).audio.tobytes() == say()


def test_it_is_the_same_in_this_thread_in_another_and_in_another_process() -> None:
    """The workers' BLAS has one thread, this process's has as many as cores, and adds up 10,000 numbers otherwise."""
    long = UtteranceGroup("long", tuple(Utterance(" ".join([PROSE] * 3), voice) for voice in ("high", "low")))

    def say(backend: Backend) -> list[bytes]:
        options = SynthesisOptions(backend, workers=2)
        (spoken,) = synthesise([long], EngineSpec("noise", thread_safe=True), options)
        return [speech.audio.tobytes() for speech in spoken.speeches if isinstance(speech, Speech)]

    assert len(set(said := say("serial"))) == 2
    assert said == say("thread") == say("process")


def test_it_lasts_as_long_as_reading_aloud_and_pauses_at_punctuation() -> None:
    engine = load_engine("noise")
    words = "one two three four five six seven eight nine ten"
    plain = engine.speak(Utterance(words)).duration_sec
    assert plain == pytest.approx(len(words) / 14, rel=0.1)
    assert engine.speak(Utterance(words.replace("five", "five."))).duration_sec == pytest.approx(plain + 0.4, abs=0.02)


@pytest.mark.parametrize("text", [PROSE, "مرحبا بكم في إذاعة أثير، كيف حالكم اليوم؟"])
def test_it_is_as_loud_as_speech_and_never_clips(text: str) -> None:
    for seed in range(20):
        audio = load_engine("noise").speak(Utterance(text, seed=seed)).audio
        assert audio.dtype == np.float32
        assert np.abs(audio).max() < 0.96
        assert rms_dbfs(audio) == pytest.approx(-23, abs=1.5)


def test_a_text_of_many_minutes_is_one_piece_without_a_seam() -> None:
    audio = load_engine("noise").speak(Utterance(" ".join([PROSE] * 20))).audio
    assert len(audio) / 24_000 > 180
    seconds = audio[: len(audio) // 24_000 * 24_000].reshape(-1, 24_000)
    assert all(-32 < rms_dbfs(second) < -18 for second in seconds)
    jumps = np.sort(np.abs(np.diff(audio)))
    assert jumps[-1] < 2 * jumps[-1000]  # none where the voice's noise begins anew


def test_its_two_named_voices_are_an_octave_apart_about() -> None:
    high, low = (pitch_hz(load_engine("noise").speak(Utterance(PROSE, voice)).audio) for voice in ("high", "low"))
    assert (high, low) == (pytest.approx(210, rel=0.06), pytest.approx(110, rel=0.06))


def test_a_stream_is_the_same_audio_in_pieces() -> None:
    engine = load_engine("noise")
    pieces = [*engine.stream(Utterance(PROSE, "low", seed=3))]
    assert len(pieces) > 10
    assert np.array_equal(np.concatenate(pieces), engine.speak(Utterance(PROSE, "low", seed=3)).audio)


def test_an_hour_takes_seconds() -> None:
    engine = load_engine("noise")
    engine.warm("a")
    began = time.thread_time()
    said = sum(engine.speak(Utterance(PROSE, "a", seed=seed)).duration_sec for seed in range(100))
    assert said / (time.thread_time() - began) > 500  # docs/how-to/speech-engines.md; for a busy machine


def test_the_configured_cpu_time_is_used_for_a_second_of_speech() -> None:
    engine = load_engine("noise", work_sec_per_sec=0.02)
    began = time.thread_time()
    speech = engine.speak(Utterance(PROSE))
    assert time.thread_time() - began == pytest.approx(0.02 * speech.duration_sec, rel=0.3)
    assert speech.real_time_factor >= 0.02


def test_it_fails_on_the_configured_texts_and_on_no_other() -> None:
    engine = load_engine("noise", fail_on="gulls")
    for _ in range(2):
        with pytest.raises(ValueError, match="fail_on is 'gulls'"):
            engine.speak(Utterance(PROSE))
    assert engine.speak(Utterance("No bird here.")).duration_sec > 0.5


def test_a_transient_failure_passes_after_so_many_times_for_each_text() -> None:
    engine = load_engine("noise", fail_on="gull", fail_times=2)
    for text in ("One gull.", "Two gulls."):
        for number in (1, 2):
            with pytest.raises(TransientEngineError, match=f"this is failure {number}"):
                engine.speak(Utterance(text))
        assert engine.speak(Utterance(text)).duration_sec > 0.5


@pytest.mark.parametrize("text", ["", " \n", "…!"])
def test_a_text_without_a_letter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nothing to speak"):
        load_engine("noise").speak(Utterance(text))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"speed": 2}, "the engine noise has no option 'speed'; it has fail_on, fail_times, sample_rate_hz"),
        ({"sample_rate_hz": 10}, "sample_rate_hz: Input should be greater than or equal to 8000"),
        ({"fail_times": -1}, "fail_times: Input should be greater than or equal to 0"),
    ],
)
def test_wrong_options_are_errors_that_name_them(options: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_engine("noise", **options)
