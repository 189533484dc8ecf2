import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_assets_tests.core.corpus.small_corpus import Floats, room_noise, speech_like_noise
from voice_core.audio.pcm import to_pcm16
from voice_core.corpus.segment.measures import Measures, measure

RATE = 24_000


def of(audio: Floats, text: str = "text", rate: int = RATE) -> Measures:
    return measure(to_pcm16(audio), rate, text)


def sine(level: float, seconds: float = 2.0, hz: float = 1000.0) -> Floats:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def white(level: float, seconds: float = 4.0, seed: int = 0) -> Floats:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("dbfs", [-0.5, -6.0, -20.0, -40.0])
def test_the_level_of_a_sine_is_its_peak_and_three_decibels_less(dbfs: float) -> None:
    found = of(sine(10 ** (dbfs / 20)))
    assert found.peak_dbfs == pytest.approx(dbfs, abs=0.05)
    assert found.rms_dbfs == pytest.approx(dbfs - 3.01, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5])
def test_the_clipped_share_counts_samples_at_full_scale_on_both_sides(share: float) -> None:
    audio = sine(0.5, 4.0)
    count = round(share * len(audio))
    audio[:count] = np.resize(np.array([1.0, -1.0], np.float32), count)
    assert of(audio).clipped_share == pytest.approx(share, abs=2e-5)


def test_a_sine_just_below_full_scale_is_not_clipped_and_an_overdriven_one_is() -> None:
    assert of(sine(0.98)).clipped_share == 0.0
    assert of(sine(1.5)).clipped_share > 0.4


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 0.9])
def test_the_silence_share_is_that_of_the_quiet_frames(share: float) -> None:
    audio = sine(0.3, 5.0)
    audio[: round(share * len(audio))] = 0
    assert of(audio).silence_share == pytest.approx(share, abs=0.01)


def test_a_pause_in_a_quiet_recording_is_silence_though_a_loud_hiss_is_not() -> None:
    speech = sine(0.3, 4.0)
    speech[RATE : 2 * RATE] = 0
    assert of(speech + white(0.001)).silence_share == pytest.approx(0.25, abs=0.02)
    assert of(speech + white(0.05)).silence_share == 0.0


def test_all_silence_is_all_silence_and_finite() -> None:
    found = of(np.zeros(RATE, np.float32))
    assert found.silence_share == 1.0
    assert found.bandwidth_hz == 0.0
    assert found.clipped_share == 0.0
    assert found.rms_dbfs == found.peak_dbfs == -96.0
    assert np.isfinite(found.snr_db)


@pytest.mark.parametrize("snr_db", [5.0, 10.0, 20.0, 30.0, 40.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_snr_of_bursts_in_noise_is_right_within_three_decibels(snr_db: float, seed: int) -> None:
    noise = white(0.1 * 10 ** (-snr_db / 20), 6.0, seed)
    bursts = white(0.1, 6.0, seed + 10) * (np.arange(6 * RATE) % RATE < 0.7 * RATE)
    assert of(bursts + noise).snr_db == pytest.approx(snr_db, abs=3.0)


def test_noise_alone_has_almost_no_snr() -> None:
    assert of(white(0.1)).snr_db < 4.0


@pytest.mark.parametrize("limit_hz", [1_500.0, 3_400.0, 5_500.0, 8_000.0, 11_000.0])
def test_the_bandwidth_of_low_passed_noise_is_found_within_300_hz(limit_hz: float) -> None:
    spectrum = np.fft.rfft(white(0.1))
    spectrum[round(limit_hz / (RATE / 2) * len(spectrum)) :] = 0
    audio = np.fft.irfft(spectrum).astype(np.float32)
    assert of(audio).bandwidth_hz == pytest.approx(limit_hz, abs=300)


def test_the_bandwidth_of_telephone_speech_is_found_despite_room_noise_and_pauses() -> None:
    spectrum = np.fft.rfft(speech_like_noise(4.0))
    spectrum[round(3_400 / (RATE / 2) * len(spectrum)) :] = 0
    audio = np.fft.irfft(spectrum).astype(np.float32) * (np.arange(4 * RATE) % RATE < RATE // 2)
    assert of(audio + room_noise(4.0) * np.float32(0.03)).bandwidth_hz < 4_000


def test_characters_a_second_leave_out_every_kind_of_space() -> None:
    assert of(sine(0.1, 2.0), " one\ttwo\n").chars_per_sec == 3.0
    assert of(sine(0.1, 2.0), "نعم لا").chars_per_sec == 2.5
    assert of(sine(0.1, 2.0), " ").chars_per_sec == 0.0


@given(st.integers(1, 3_000), st.sampled_from(["zeros", "full", "noise", "spike"]), st.sampled_from([8_000, 24_000]))
@settings(max_examples=60, deadline=None)
def test_any_audio_of_at_least_one_sample_measures_finite(count: int, kind: str, rate: int) -> None:
    pcm = np.zeros(count, np.int16)
    if kind == "full":
        pcm[:] = -32768
    elif kind == "noise":
        pcm[:] = np.random.default_rng(count).integers(-32768, 32767, count)
    elif kind == "spike":
        pcm[count // 2] = 32767
    found = measure(pcm, rate, "x")
    for name in Measures.__slots__:
        assert np.isfinite(getattr(found, name)), name
    assert 0 <= found.clipped_share <= 1
    assert 0 <= found.silence_share <= 1
    assert 0 <= found.bandwidth_hz <= rate / 2


def test_the_speech_of_the_test_corpus_passes_all_rules() -> None:
    found = of(speech_like_noise(2.0) + room_noise(2.0), "a line of text")
    assert found.snr_db > 20
    assert found.bandwidth_hz > 8_000
    assert found.silence_share < 0.5
    assert found.clipped_share == 0
