"""The embedded engine says the same thing the same way, in two voices."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from voice_core.tts import ENGINES, SpeechEngine, Utterance, load_engine
from voice_core.tts.hibari import LOW_RATIO, lower_pitch

SENTENCE = "The ferry leaves when the captain has finished her tea."


@pytest.fixture(scope="module")
def engine() -> SpeechEngine:
    return load_engine("hibari")


def test_an_unknown_engine_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown speech engine; known:.*hibari"):
        load_engine("festival")


def test_every_registered_engine_carries_its_own_name(engine: SpeechEngine) -> None:
    assert isinstance(engine, SpeechEngine)
    assert engine.name in ENGINES
    assert engine.voices == ("heart", "heart-low")


@pytest.mark.parametrize("voice", ["heart", "heart-low"])
def test_the_same_utterance_gives_the_same_samples(engine: SpeechEngine, voice: str) -> None:
    first = engine.speak(Utterance(SENTENCE, voice, seed=7))
    again = load_engine("hibari").speak(Utterance(SENTENCE, voice, seed=7))
    assert np.array_equal(first.audio, again.audio)
    assert first.audio.dtype == np.float32
    assert first.audio.ndim == 1
    assert (first.sample_rate_hz, first.engine, first.revision) == (24_000, "hibari", engine.revision)
    assert not np.array_equal(first.audio, engine.speak(Utterance(SENTENCE, voice, seed=8)).audio)


def test_threads_that_share_an_engine_hear_what_one_thread_hears(engine: SpeechEngine) -> None:
    sentences = [Utterance(f"Boat number {n} is back.", voice) for n in range(6) for voice in engine.voices]
    alone = [engine.speak(sentence).audio for sentence in sentences]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(load_engine("hibari").speak, sentences))
    assert all(np.array_equal(one, other.audio) for one, other in zip(alone, together, strict=True))


def test_the_default_voice_is_the_first(engine: SpeechEngine) -> None:
    default, first = (engine.speak(Utterance(SENTENCE, voice)).audio for voice in ("default", engine.voices[0]))
    assert np.array_equal(default, first)


def pitch_hz(audio: np.ndarray) -> float:
    """The median over voiced 40 ms frames of the strongest autocorrelation between 70 and 400 Hz."""
    frames = audio[: len(audio) // 960 * 960].reshape(-1, 960)
    pitches = []
    for frame in frames[np.sqrt(np.mean(frames**2, axis=1)) > 0.03]:
        correlation = np.correlate(frame, frame, "full")[959:]
        lag = 60 + int(np.argmax(correlation[60:343]))
        if correlation[lag] > 0.5 * correlation[0]:
            pitches.append(24_000 / lag)
    return float(np.median(pitches))


def test_the_low_voice_is_lower_and_about_as_fast(engine: SpeechEngine) -> None:
    text = " ".join([SENTENCE] * 3)
    high, low = (engine.speak(Utterance(text, voice)) for voice in ("heart", "heart-low"))
    assert 0.78 < pitch_hz(low.audio) / pitch_hz(high.audio) < 0.92
    assert low.duration_sec == pytest.approx(high.duration_sec, rel=0.15)


def test_lowering_moves_a_tone_and_leaves_no_image_of_it() -> None:
    """11.5 kHz, close to the old band's edge, becomes 9,775 Hz; an aliasing resampler would add 10,625 Hz."""
    tone = np.sin(2 * np.pi * 11_500 * np.arange(24_000) / 24_000).astype(np.float32)
    low = lower_pitch(tone)[2_000:26_000]
    level_db = 20 * np.log10(np.abs(np.fft.rfft(low * np.hanning(len(low)))) / (len(low) / 4) + 1e-9)
    assert len(lower_pitch(tone)) == pytest.approx(24_000 / LOW_RATIO, abs=64)
    assert np.argmax(level_db) == pytest.approx(9_775, abs=2)
    assert level_db[9_765:9_786].max() > -1
    assert np.delete(level_db, slice(9_765, 9_786)).max() < -100


def test_an_unknown_voice_is_an_error_that_lists_the_known_ones(engine: SpeechEngine) -> None:
    with pytest.raises(ValueError, match="no voice 'emma'; it has heart, heart-low"):
        engine.speak(Utterance(SENTENCE, "emma"))


@pytest.mark.parametrize("text", ["", "  \n", "مرحبا بكم"])
@pytest.mark.parametrize("voice", ["heart", "heart-low"])
def test_text_without_a_sound_is_refused_rather_than_spoken_as_nothing(
    engine: SpeechEngine, text: str, voice: str
) -> None:
    with pytest.raises(ValueError, match="cannot pronounce any of"):
        engine.speak(Utterance(text, voice))
