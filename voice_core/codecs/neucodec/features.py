"""The input of the semantic encoder: log-mel features, batched and on the device.

The reference computes them clip by clip in numpy: in double precision, rounded to single at two places, and then
normalised band by band in single precision. The same is done here for a whole batch, with the rounding at the same
places and sums in the same order, so that the features are equal to the bit (unless a library's logarithm or transform
differs in the last place of double precision in a way that remains after rounding).
"""

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from transformers import SeamlessM4TFeatureExtractor

FRAME, HOP, FFT_SIZE = 400, 160, 512
_PREEMPHASIS = 0.97
_FLOOR = 1.192092955078125e-07
_VARIANCE_FLOOR = 1e-7
_RUN, _LANES = 128, 8
_Tree = int | tuple["_Tree", "_Tree"]


class Features(nn.Module):
    """Audio [clips, samples] at 16 kHz, already padded as the codec pads it → features [clips, codes, 160]."""

    window: Tensor
    filters: Tensor

    def __init__(self, extractor: SeamlessM4TFeatureExtractor) -> None:
        super().__init__()
        self.register_buffer("window", torch.from_numpy(extractor.window.astype(np.float64)), persistent=False)
        self.register_buffer("filters", torch.from_numpy(extractor.mel_filters.astype(np.float64)), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        frames = (audio.double() * 2**15).unfold(-1, FRAME, HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        first = frames[..., :1] * (1 - _PREEMPHASIS)
        frames = torch.cat([first, frames[..., 1:] - _PREEMPHASIS * frames[..., :-1]], -1) * self.window
        spectrum = torch.fft.rfft(frames, FFT_SIZE).to(torch.complex64)
        power = spectrum.real.double() ** 2 + spectrum.imag.double() ** 2
        log_mel = torch.log(torch.clamp(power @ self.filters, min=_FLOOR)).float()
        rows = log_mel.transpose(1, 2).contiguous()
        count = rows.shape[-1]
        mean = (pairwise_sum(rows) / count)[..., None]
        variance = (pairwise_sum(torch.square(rows - mean)) / (count - 1))[..., None]
        # torch's root of float32 is not always the nearest; by way of double it is.
        deviation = torch.sqrt((variance + _VARIANCE_FLOOR).double()).float()
        normal = ((rows - mean) / deviation).transpose(1, 2)
        clips, _, bands = normal.shape
        return normal[:, : count - count % 2].reshape(clips, count // 2, 2 * bands)


def pairwise_sum(rows: Tensor) -> Tensor:
    """Sum float32 [..., count] over the last axis as `numpy.sum` does, to the bit.

    numpy adds pairwise: runs of up to 128 values in eight interleaved partial sums, then the runs' sums in a binary
    tree (`pairwise_sum` in numpy's loops_utils). A mean that is summed in another order differs in the last places. No
    other difference between these features and the reference's changed as many codes.
    """
    count = rows.shape[-1]
    if count < _LANES:
        total = torch.zeros_like(rows[..., 0])
        for at in range(count):
            total = total + rows[..., at]
        return total
    tree, runs = _layout(count)
    index, tail = _index(tuple(runs), rows.device)
    filled = torch.cat([rows, torch.zeros_like(rows[..., :1])], -1)
    lanes = filled[..., index]  # [..., runs, steps, lanes]; a short run ends in zeros
    total = lanes[..., 0, :]
    for step in range(1, lanes.shape[-2]):
        total = total + lanes[..., step, :]
    for _ in range(3):  # ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7))
        total = total[..., 0::2] + total[..., 1::2]
    sums = [*total[..., 0].unbind(-1)]
    for at in tail:  # only the last run can have a remainder
        sums[-1] = sums[-1] + rows[..., at]
    return _joined(tree, sums)


def _joined(tree: _Tree, sums: list[Tensor]) -> Tensor:
    return sums[tree] if isinstance(tree, int) else _joined(tree[0], sums) + _joined(tree[1], sums)


@functools.lru_cache(maxsize=2048)
def _layout(count: int) -> tuple[_Tree, list[tuple[int, int]]]:
    """The order in which the sums of runs are added (numbers of runs in nested pairs), and the runs."""
    runs: list[tuple[int, int]] = []

    def part(start: int, length: int) -> _Tree:
        if length <= _RUN:
            runs.append((start, length))
            return len(runs) - 1
        half = length // 2
        half -= half % _LANES
        return part(start, half), part(start + half, length - half)

    return part(0, count), runs


@functools.lru_cache(maxsize=2048)
def _index(runs: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, list[int]]:
    """The index of each lane's values, and of those after the last whole step; the last index is that of a zero."""
    count = runs[-1][0] + runs[-1][1]
    steps = max(length // _LANES for _, length in runs)

    def places() -> Iterator[list[int]]:
        for start, length in runs:
            whole = length - length % _LANES
            yield [start + at if at < whole else count for at in range(steps * _LANES)]

    index = torch.tensor([*places()]).view(len(runs), steps, _LANES)
    start, length = runs[-1]
    return index.to(device), [*range(start + length - length % _LANES, count)]
