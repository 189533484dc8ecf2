"""Speech comes to one level and one rate, and to its own channel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_core.moshi.mixing import (
    NoSpeechError,
    Placed,
    levelled,
    read_wav,
    speech_level_dbfs,
    stereo,
    wav_bytes,
)


def tone(duration_sec: float, rate: int, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 220 * np.arange(int(duration_sec * rate)) / rate)).astype(np.float32)


@settings(deadline=None)
@given(st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100, 48_000]), st.floats(0.005, 4.0), st.floats(-40, -6))
def test_speech_of_any_level_and_rate_comes_to_the_target_without_clipping(
    rate: int, amplitude: float, target: float
) -> None:
    audio = np.concatenate([tone(0.5, rate, amplitude), np.zeros(rate // 2, np.float32)])
    pcm = levelled(audio, rate, target, -1.0)
    assert len(pcm) == -(-len(audio) * 24_000 // rate)
    assert speech_level_dbfs(pcm) == pytest.approx(target, abs=0.5)
    assert np.abs(pcm.astype(int)).max() <= 32_768 * 10 ** (-1 / 20) + 1


def test_an_utterance_that_would_clip_stays_quieter_as_a_whole() -> None:
    audio = tone(1.0, 24_000, 0.01)
    audio[12_000] = 1.0
    pcm = levelled(audio, 24_000, -10.0, -1.0)
    assert pcm.max() == round(32_768 * 10 ** (-1 / 20))
    assert np.abs(pcm.astype(int))[:1000].max() < 400


@pytest.mark.parametrize(
    "audio", [np.zeros(0), np.zeros(4_800), np.full(4_800, np.nan), np.full(4_800, 1e-6), np.zeros((2, 100))]
)
def test_what_is_no_speech_is_refused(audio: np.ndarray) -> None:
    with pytest.raises(NoSpeechError, match="the engine gave"):
        levelled(audio.astype(np.float32), 24_000, -23.0, -1.0)


def test_the_assistant_is_left_the_user_right_and_silence_is_exact() -> None:
    one, other = np.arange(1, 11, dtype=np.int16), np.full(5, -7, np.int16)
    mix = stereo([Placed("user", 0, one), Placed("assistant", 8, other)])
    assert mix.shape == (13, 2)
    assert mix[:, 0].tolist() == [0] * 8 + [-7] * 5
    assert mix[:, 1].tolist() == [*range(1, 11), 0, 0, 0]
    assert np.array_equal(read_wav(wav_bytes(mix)), mix)
    assert wav_bytes(mix) == wav_bytes(mix.copy())


def test_nobody_is_mixed_with_himself() -> None:
    pcm = np.ones(10, np.int16)
    with pytest.raises(ValueError, match="the user would speak twice at once at sample 5"):
        stereo([Placed("user", 5, pcm), Placed("user", 0, pcm)])
