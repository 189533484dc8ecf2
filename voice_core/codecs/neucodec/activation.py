"""The acoustic encoder's activation, one pass instead of five: upsample by two, SnakeBeta, downsample by two.

SnakeBeta is `u + sin²(u · exp α) / exp β` (Liu, Hartwig & Ueda, 2020, with a β of its own); the filters around it are
Kaiser-windowed sincs of twelve taps that keep its harmonics from folding back (Karras et al., 2021). In polyphase form
both filters are sums of shifted copies, so no array at twice the rate is needed.
"""

import threading

import torch
from torch import Tensor, nn
from transformers.models.neucodec.modeling_neucodec import NeuCodecAntiAliasedActivation1d

TAPS = 12
HALO = TAPS // 2
"""Input samples on each side that an output sample depends on."""
_BLOCK = 1 << 18  # floats that a CPU processes at a time: they must stay in its cache


class FusedActivation(nn.Module):
    """Equal to a `NeuCodecAntiAliasedActivation1d` up to rounding; shares its parameters."""

    def __init__(self, plain: NeuCodecAntiAliasedActivation1d) -> None:
        super().__init__()
        self.snake = plain.act
        up, down = plain.upsample, plain.downsample
        if (up.ratio, down.stride, up.kernel_size, down.kernel_size) != (2, 2, TAPS, TAPS):
            raise ValueError("the activation's filters are not those of NeuCodec")
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
    """One expression, which a compiler turns into one kernel. Computed in fp32 for any precision of `x`."""
    count = x.shape[-1]
    padded = nn.functional.pad(x, (HALO, HALO), mode="replicate").float()
    even, odd = _upsampled(padded, count + HALO, up)
    even = even + amplitude * torch.square(torch.sin(even * frequency))
    odd = odd + amplitude * torch.square(torch.sin(odd * frequency))
    first, last = even[..., 3:4], odd[..., -4:-3]
    even = torch.cat([first.expand(*first.shape[:-1], 3), even[..., 3:-3], last.expand(*last.shape[:-1], 3)], -1)
    odd = torch.cat([first.expand(*first.shape[:-1], 3), odd[..., 3:-3], last.expand(*last.shape[:-1], 3)], -1)
    total = odd[..., :count] * down[0]
    for tap in range(1, TAPS):
        phase, shift = (even, tap // 2 + 1) if tap % 2 else (odd, tap // 2)
        total = total + phase[..., shift : shift + count] * down[tap]
    return total.to(x.dtype)


def _upsampled(padded: Tensor, count: int, up: list[float]) -> tuple[Tensor, Tensor]:
    """Samples 2t and 2t + 1 of twice the rate for `count` values of t; `padded` begins three before the first."""
    even, odd = padded[..., 5 : 5 + count] * up[1], padded[..., 6 : 6 + count] * up[0]
    for tap in range(1, HALO):
        even = even + padded[..., 5 - tap : 5 - tap + count] * up[2 * tap + 1]
        odd = odd + padded[..., 6 - tap : 6 - tap + count] * up[2 * tap]
    return even, odd


def _in_blocks(
    x: Tensor, frequency: Tensor, amplitude: Tensor, up: list[float], down: list[float], block: int = _BLOCK
) -> Tensor:
    """The same on a CPU, a cacheful of rows and samples at a time, into buffers that are used again.

    Sums run in the order of the plain convolutions, with one rounding a tap as theirs, so that on x86 the results are
    equal to the bit. A faster sine (numpy's takes half the time) or another order would end that.
    """
    clips, channels, samples = x.shape
    rows = x.reshape(clips * channels, samples)
    frequency = frequency.repeat(clips)[:, None]
    amplitude = amplitude.repeat(clips)[:, None]
    out = torch.empty_like(rows)
    width = min(samples, block)
    height = min(len(rows), max(1, block // width))
    memory = _memory(3 * height * (width + 2 * HALO)).view(3, -1)
    buffers: dict[tuple[int, int], _Buffers] = {}
    for top in range(0, len(rows), height):
        some = slice(top, top + height)
        for start in range(0, samples, width):
            part = out[some, start : start + width]
            shape = part.shape[0], part.shape[1]
            if shape not in buffers:
                buffers[shape] = _Buffers(memory, *shape)
            _block(rows[some], start, frequency[some], amplitude[some], up, down, buffers[shape], part)
    return out.view(x.shape)


_kept = threading.local()


def _memory(count: int) -> Tensor:
    """A buffer of this many floats for this thread, not initialised. It is kept between calls: the system zeroes new
    memory page by page, which takes longer than several of the sums."""
    if getattr(_kept, "memory", None) is None or len(_kept.memory) < count:
        with torch.inference_mode(False):  # otherwise it could be written to in that mode only
            _kept.memory = torch.empty(count)
    found: Tensor = _kept.memory
    return found[:count]


class _Buffers:
    """Three buffers for blocks of one shape, and the shifted copies of each that the filters sum.

    The rows lie one after another, and a shifted copy is of the whole buffer: the last HALO values of a row in `even`
    and `odd` are of no use, and nothing uses them. Copies are laid out once: for a block, that takes as long as a sum.
    """

    def __init__(self, memory: Tensor, height: int, count: int) -> None:
        width = count + 2 * HALO
        self.padded, self.even, self.odd = (buffer[: height * width].view(height, width) for buffer in memory)
        reach = height * width - HALO
        shifts = range(HALO + 1)
        self.of_padded, self.of_even, self.of_odd = (
            [buffer.view(-1)[by : by + reach] for by in shifts] for buffer in (self.padded, self.even, self.odd)
        )


def _block(
    rows: Tensor,
    start: int,
    frequency: Tensor,
    amplitude: Tensor,
    up: list[float],
    down: list[float],
    buffers: _Buffers,
    out: Tensor,
) -> None:
    """Fill `out`, the samples of some rows from `start` on."""
    samples, count = rows.shape[1], out.shape[1]
    stop, width = start + count, count + 2 * HALO
    padded, even, odd = buffers.padded, buffers.even, buffers.odd
    of_padded, of_even, of_odd = buffers.of_padded, buffers.of_even, buffers.of_odd
    before, after = max(0, HALO - start), max(0, stop + HALO - samples)
    padded[:, before : width - after] = rows[:, max(0, start - HALO) : stop + HALO]
    padded[:, :before], padded[:, width - after :] = rows[:, :1], rows[:, -1:]

    torch.mul(of_padded[5], up[1], out=of_even[0])
    torch.mul(of_padded[6], up[0], out=of_odd[0])
    for tap in range(1, HALO):
        of_even[0].add_(of_padded[5 - tap], alpha=up[2 * tap + 1])
        of_odd[0].add_(of_padded[6 - tap], alpha=up[2 * tap])
    sine = total = padded  # its values are no longer needed
    for phase in (even, odd):
        torch.mul(phase, frequency, out=sine)
        phase.add_(sine.sin_().square_().mul_(amplitude))
    # Beyond the ends, the first and the last sample at twice the rate are repeated. Both phases start three early.
    begin, end = 3 - start, samples - start + 3
    if begin > 0:
        first = even[:, begin : begin + 1].clone()
        even[:, :begin], odd[:, :begin] = first, first
    if end < count + HALO:
        last = odd[:, end - 1 : end].clone()
        even[:, end : count + HALO], odd[:, end : count + HALO] = last, last
    torch.mul(of_odd[0], down[0], out=of_padded[0])
    for tap in range(1, TAPS):
        of_phase, shift = (of_even, tap // 2 + 1) if tap % 2 else (of_odd, tap // 2)
        of_padded[0].add_(of_phase[shift], alpha=down[tap])
    out.copy_(total[:, :count])
