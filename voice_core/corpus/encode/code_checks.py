"""Whether codes can be those of a codec for an amount of audio. Pure."""

import numpy as np

from voice_core.codecs.base import Codec, Codes


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
