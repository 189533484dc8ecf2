"""The acoustic encoder's activation, one pass instead of five: upsample by two, SnakeBeta, downsample by two.

SnakeBeta is `u + sin²(u · exp α) / exp β` (Liu, Hartwig & Ueda, 2020, with a β of its own); the filters around it are
Kaiser-windowed sincs of twelve taps that keep its harmonics from folding back (Karras et al., 2021). In polyphase form
both filters are sums of shifted copies, so nothing at twice the rate has to be laid out in memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.neucodec.modeling_neucodec import NeuCodecAntiAliasedActivation1d

TAPS = 12
HALO = TAPS // 2
"""Input samples on each side that an output sample depends on."""
_BLOCK = 1 << 17  # floats that a CPU works on at a time: what is read again must still be in its cache


class FusedActivation(nn.Module):
    """Equal to a `NeuCodecAntiAliasedActivation1d` up to rounding; shares its parameters."""

    def __init__(self, plain: NeuCodecAntiAliasedActivation1d) -> None:
        super().__init__()
        self.snake = plain.act
        up, down = plain.upsample, plain.downsample
        if (up.ratio, down.stride, up.kernel_size, down.kernel_size) != (2, 2, TAPS, TAPS):
            raise ValueError("the activation's filters are not the ones that NeuCodec has")
        self.up = [up.ratio * tap for tap in up.filter.flatten().tolist()]
        self.down = down.filter.flatten().tolist()

    def forward(self, x: Tensor) -> Tensor:
        """[clips, channels, samples] → the same shape."""
        frequency = torch.exp(self.snake.alpha.float())
        amplitude = 1.0 / (torch.exp(self.snake.beta.float()) + self.snake.no_div_by_zero)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            return _in_blocks(x, frequency, amplitude, self.up, self.down)
        return _expression(x, frequency[:, None], amplitude[:, None], self.up, self.down)


def _expression(x: Tensor, frequency: Tensor, amplitude: Tensor, up: list[float], down: list[float]) -> Tensor:
    """One expression, which a compiler makes one kernel of. Computed in fp32 whatever the precision of `x`."""
    count = x.shape[-1]
    padded = F.pad(x, (HALO, HALO), mode="replicate").float()
    even, odd = _upsampled(padded, count + HALO, up)
    even = even + amplitude * torch.square(torch.sin(even * frequency))
    odd = odd + amplitude * torch.square(torch.sin(odd * frequency))
    first, last = even[..., 3:4], odd[..., -4:-3]
    even = torch.cat([first.expand(*first.shape[:-1], 3), even[..., 3:-3], last.expand(*last.shape[:-1], 3)], -1)
    odd = torch.cat([first.expand(*first.shape[:-1], 3), odd[..., 3:-3], last.expand(*last.shape[:-1], 3)], -1)
    total = odd[..., :count] * down[0]
    for tap in range(1, HALO):
        total = total + odd[..., tap : tap + count] * down[2 * tap]
    for tap in range(HALO):
        total = total + even[..., 1 + tap : 1 + tap + count] * down[2 * tap + 1]
    return total.to(x.dtype)


def _upsampled(padded: Tensor, count: int, up: list[float]) -> tuple[Tensor, Tensor]:
    """Samples 2t and 2t + 1 of twice the rate for `count` values of t; `padded` begins three samples before the first."""
    even, odd = padded[..., 5 : 5 + count] * up[1], padded[..., 6 : 6 + count] * up[0]
    for tap in range(1, HALO):
        even = even + padded[..., 5 - tap : 5 - tap + count] * up[2 * tap + 1]
        odd = odd + padded[..., 6 - tap : 6 - tap + count] * up[2 * tap]
    return even, odd


def _in_blocks(x: Tensor, frequency: Tensor, amplitude: Tensor, up: list[float], down: list[float]) -> Tensor:
    """The same on a CPU, a cacheful of rows and samples at a time, into buffers that are used again."""
    clips, channels, samples = x.shape
    rows = x.reshape(clips * channels, samples)
    frequency = frequency.repeat(clips)[:, None]
    amplitude = amplitude.repeat(clips)[:, None]
    out = torch.empty_like(rows)
    width = min(samples, _BLOCK)
    height = max(1, _BLOCK // width)
    for top in range(0, len(rows), height):
        some = slice(top, top + height)
        for start in range(0, samples, width):
            stop = min(samples, start + width)
            _block(rows[some], start, stop, frequency[some], amplitude[some], up, down, out[some, start:stop])
    return out.view(x.shape)


def _block(
    rows: Tensor,
    start: int,
    stop: int,
    frequency: Tensor,
    amplitude: Tensor,
    up: list[float],
    down: list[float],
    out: Tensor,
) -> None:
    """Output samples start…stop of some rows."""
    samples = rows.shape[-1]
    before, after = max(0, HALO - start), max(0, stop + HALO - samples)
    padded = rows[:, max(0, start - HALO) : stop + HALO]
    if before or after:
        padded = F.pad(padded[None], (before, after), mode="replicate")[0]
    padded = padded.float()
    count = stop - start
    even, odd = padded[:, 5 : 5 + count + HALO] * up[1], padded[:, 6 : 6 + count + HALO] * up[0]
    for tap in range(1, HALO):
        even.add_(padded[:, 5 - tap : 5 - tap + count + HALO], alpha=up[2 * tap + 1])
        odd.add_(padded[:, 6 - tap : 6 - tap + count + HALO], alpha=up[2 * tap])
    for phase in (even, odd):
        phase.addcmul_((phase * frequency).sin_().square_(), amplitude)
    # What lies beyond the ends is the first and the last sample at twice the rate.
    if start == 0:
        first = even[:, 3:4].clone()
        even[:, :3], odd[:, :3] = first, first
    if stop == samples:
        last = odd[:, -4:-3].clone()
        even[:, -3:], odd[:, -3:] = last, last
    total = odd[:, :count] * down[0]
    for tap in range(1, HALO):
        total.add_(odd[:, tap : tap + count], alpha=down[2 * tap])
    for tap in range(HALO):
        total.add_(even[:, 1 + tap : 1 + tap + count], alpha=down[2 * tap + 1])
    out.copy_(total)
