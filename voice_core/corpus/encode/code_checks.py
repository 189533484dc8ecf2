"""Check codes: whether they can be those of a codec for an amount of audio, and what they decode to. Pure."""

import numpy as np

from voice_core.audio.mel import mel_power_db
from voice_core.audio.pcm import Pcm16, resample, to_float
from voice_core.codecs.base import Audio, Codec, Codes

ROUNDTRIP_VERSION = 1
_RANGE_DB = 60.0  # bands further below the loudest one carry no speech


def find_code_problems(codes: Codes, sample_count: int, sample_rate_hz: int, codec: Codec) -> list[str]:
    """What is wrong with the codes of `sample_count` samples of audio; empty if they are plausible.

    Checked are their number, the range of the codebook, and that they are not all equal.
    """
    problems = []
    expected = codec.code_count(sample_count, sample_rate_hz)
    if len(codes) != expected:
        problems.append(f"{len(codes)} codes, but {codec.name} has {expected} for its audio")
    if codes.size and (np.min(codes) < 0 or np.max(codes) >= codec.codebook_size):
        problems.append(f"codes from {np.min(codes)} to {np.max(codes)} outside 0 to {codec.codebook_size - 1}")
    if expected > 1 and len(np.unique(codes)) < 2:
        problems.append("only one distinct code")
    return problems


def compare_round_trip(pcm: Pcm16, sample_rate_hz: int, decoded: Audio, decoded_hz: int) -> tuple[float, float]:
    """Compare what codes decode to with the original: (mean absolute log-mel distance, level difference), in dB.

    The level difference is decoded minus original RMS. Bands more than 60 dB below the loudest count as equally
    silent on both sides.
    """
    rate = decoded_hz
    original = resample(to_float(pcm), sample_rate_hz, rate)
    length = min(len(original), len(decoded))
    original, decoded = original[:length], decoded[:length]
    a, b = mel_power_db(original, rate), mel_power_db(decoded, rate)
    floor = float(np.max(a)) - _RANGE_DB
    distance = float(np.abs(np.maximum(a, floor) - np.maximum(b, floor)).mean())
    level = _rms_db(decoded) - _rms_db(original)
    return round(distance, 3), round(level, 3)


def _rms_db(audio: np.ndarray) -> float:
    return float(10.0 * np.log10(max(float(np.mean(np.square(audio))), 1e-10)))
