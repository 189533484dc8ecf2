"""Speech comes to one level and one rate, and to its own channel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_core.audio.speech_level import NoSpeechError, measured_level_dbfs, speech_power
from voice_core.moshi.mixing import (
    PlacedSpeech,
    apply_gain,
    encode_wav,
    is_peak_limited,
    mix_stereo,
    read_wav,
    speech_level_dbfs,
)


def tone(duration_sec: float, rate: int, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 220 * np.arange(int(duration_sec * rate)) / rate)).astype(np.float32)


@settings(deadline=None)
@given(st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100, 48_000]), st.floats(0.005, 4.0), st.floats(-40, -6))
def test_speech_of_any_level_and_rate_reaches_the_target_without_clipping(
    rate: int, amplitude: float, target: float
) -> None:
    audio = np.concatenate([tone(0.5, rate, amplitude), np.zeros(rate // 2, np.float32)])
    pcm = apply_gain(audio, rate, target - measured_level_dbfs([speech_power(audio, rate)]), -1.0)
    assert len(pcm) == -(-len(audio) * 24_000 // rate)
    assert speech_level_dbfs(pcm) == pytest.approx(target, abs=0.5)
    assert not is_peak_limited(pcm, -1.0)


@settings(deadline=None)
@given(st.floats(0.001, 1_000.0), st.floats(-20, 0), st.floats(-60, 60), st.floats(-30, -0.1))
def test_of_one_gain_what_is_softer_stays_so_much_softer_until_the_peak_limit(
    amplitude: float, softer_db: float, gain_db: float, peak: float
) -> None:
    loud, soft = (tone(0.2, 24_000, amplitude * 10 ** (db / 20)) for db in (0.0, softer_db))
    wanted = [20 * np.log10(amplitude) - 3.01 + gain_db + db for db in (0.0, softer_db)]
    for audio, level in zip((loud, soft), wanted, strict=True):
        if level < -55 or speech_power(audio, 24_000).energy < 1e-5:
            continue  # silence
        pcm = apply_gain(audio, 24_000, gain_db, peak)
        assert speech_level_dbfs(pcm) == pytest.approx(min(level, peak - 3.01), abs=0.2)
        assert is_peak_limited(pcm, peak) == (level + 3.01 >= peak) or level + 3.01 == pytest.approx(peak, abs=0.05)
        assert np.abs(pcm.astype(int)).max() <= round(32_768 * 10 ** (peak / 20))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(5, 25), st.floats(0.01, 0.9)), min_size=1, max_size=4), st.floats(-20, 20))
def test_a_level_is_that_of_all_speech_together_and_goes_with_the_engines(
    parts: list[tuple[int, float]], louder_db: float
) -> None:
    audios = [tone(0.02 * frames, 24_000, amplitude) for frames, amplitude in parts]
    level = measured_level_dbfs(speech_power(audio, 24_000) for audio in audios)
    joined = np.concatenate(audios).astype(np.float64)
    assert level == pytest.approx(10 * np.log10(np.mean(joined**2)), abs=0.05)
    padded = [np.concatenate([np.zeros(24_000, np.float32), audio, np.zeros(9_600, np.float32)]) for audio in audios]
    assert measured_level_dbfs(speech_power(audio, 24_000) for audio in padded) == pytest.approx(level, abs=0.05)
    louder = [(audio * 10 ** (louder_db / 20)).astype(np.float32) for audio in audios]
    assert measured_level_dbfs(speech_power(audio, 24_000) for audio in louder) == pytest.approx(
        level + louder_db, abs=0.02
    )


def test_an_utterance_that_would_clip_stays_quieter_as_a_whole() -> None:
    audio = tone(1.0, 24_000, 0.01)
    audio[12_000] = 1.0
    pcm = apply_gain(audio, 24_000, 20.0, -1.0)
    assert is_peak_limited(pcm, -1.0)
    assert pcm.max() == round(32_768 * 10 ** (-1 / 20))
    assert np.abs(pcm.astype(int))[:1000].max() < 400


@pytest.mark.parametrize(
    "audio", [np.zeros(0), np.zeros(4_800), np.full(4_800, np.nan), np.full(4_800, 1e-6), np.zeros((2, 100))]
)
def test_audio_that_is_not_speech_is_refused(audio: np.ndarray) -> None:
    for gain_db in (0.0, 80.0):
        with pytest.raises(NoSpeechError, match="the engine returned"):
            apply_gain(audio.astype(np.float32), 24_000, gain_db, -1.0)
    with pytest.raises(NoSpeechError, match="the engine returned"):
        speech_power(audio.astype(np.float32), 24_000)


def test_audio_far_below_the_voices_level_is_not_speech() -> None:
    hiss = np.random.default_rng(0).normal(0, 3.0, 24_000).astype(np.float32)  # of an engine that speaks at ±32768
    with pytest.raises(NoSpeechError, match="silence"):
        apply_gain(hiss, 24_000, -93.0, -1.0)


def test_the_assistant_is_left_the_user_right_and_silence_is_exact() -> None:
    one, other = np.arange(1, 11, dtype=np.int16), np.full(5, -7, np.int16)
    mix = mix_stereo([PlacedSpeech("user", 0, one), PlacedSpeech("assistant", 8, other)])
    assert mix.shape == (13, 2)
    assert mix[:, 0].tolist() == [0] * 8 + [-7] * 5
    assert mix[:, 1].tolist() == [*range(1, 11), 0, 0, 0]
    assert np.array_equal(read_wav(encode_wav(mix)), mix)
    assert encode_wav(mix) == encode_wav(mix.copy())


def test_overlapping_turns_of_one_speaker_are_refused() -> None:
    pcm = np.ones(10, np.int16)
    with pytest.raises(ValueError, match="turns of the user overlap at sample 5"):
        mix_stereo([PlacedSpeech("user", 5, pcm), PlacedSpeech("user", 0, pcm)])
