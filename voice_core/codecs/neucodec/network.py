"""NeuCodec's encoder: the weights of transformers' model, with fewer and larger operations.

Four things differ from transformers' forward pass, none by more than rounding: the acoustic encoder's activations are
fused; the semantic encoder's relative positions are looked up among the 73 that exist instead of being laid out for
every pair of frames; its convolutions over single frames are matrix products, which need no transposed copies; and the
values that the quantiser rounds are returned, so that the caller knows their distance from a rounding boundary.
"""

import copy
import threading
from typing import Any

import torch
from torch import Tensor, nn
from transformers import NeuCodecModel
from transformers.models.neucodec.modeling_neucodec import NeuCodecAntiAliasedActivation1d, NeuCodecQuantizer
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import (
    Wav2Vec2BertConvolutionModule,
    Wav2Vec2BertSelfAttention,
)

TAPS = 12
HALO = TAPS // 2
"""Input samples on each side that an output sample depends on."""
_BLOCK = 1 << 18  # floats that a CPU activates at a time: they must stay in its cache


class RelativeKeyAttention(nn.Module):
    """Self-attention of w2v-bert with `relative_key` positions; shares the parameters of the plain one."""

    def __init__(self, plain: Wav2Vec2BertSelfAttention) -> None:
        super().__init__()
        self.plain = plain

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any) -> tuple[Tensor, None]:
        """[clips, frames, features] → the same shape. All clips have all frames, so there is no mask."""
        if attention_mask is not None:
            raise ValueError("clips of one batch must have the same length: masks are not supported")
        plain = self.plain
        clips, frames, _features = hidden_states.shape
        shape = (clips, frames, plain.num_heads, plain.head_size)
        query = plain.linear_q(hidden_states).view(shape).transpose(1, 2)
        key = plain.linear_k(hidden_states).view(shape).transpose(1, 2)
        value = plain.linear_v(hidden_states).view(shape).transpose(1, 2)
        left, right = plain.left_max_position_embeddings, plain.right_max_position_embeddings
        at = torch.arange(frames, device=hidden_states.device)
        distance = (at[None, :] - at[:, None]).clamp(-left, right) + left
        scores = torch.matmul(query, plain.distance_embedding.weight.to(query.dtype).t()) * plain.scaling
        bias = scores.gather(-1, distance.expand(clips, plain.num_heads, frames, frames))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=plain.scaling)
        return plain.linear_out(mixed.transpose(1, 2).reshape(clips, frames, -1)), None


class FramewiseConvolution(nn.Module):
    """w2v-bert's convolution module; shares the parameters of the plain one."""

    FEW = 16
    """Below this number of frames, matrix products may sum in another order than the plain module's convolutions."""

    def __init__(self, plain: Wav2Vec2BertConvolutionModule) -> None:
        super().__init__()
        self.plain = plain

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[clips, frames, features] → the same shape. All clips have all frames, so there is no mask."""
        if attention_mask is not None:
            raise ValueError("clips of one batch must have the same length: masks are not supported")
        plain = self.plain
        if hidden_states.shape[1] < self.FEW:
            mixed: Tensor = plain(hidden_states)
            return mixed
        wide = nn.functional.linear(plain.layer_norm(hidden_states), plain.pointwise_conv1.weight[..., 0])
        gated = nn.functional.glu(wide, -1).transpose(1, 2)
        filtered = plain.depthwise_conv(nn.functional.pad(gated, (plain.depthwise_conv.kernel_size[0] - 1, 0)))
        active = plain.activation(plain.depthwise_layer_norm(filtered.transpose(1, 2)))
        return nn.functional.linear(active, plain.pointwise_conv2.weight[..., 0])


class Encoder(nn.Module):
    """Padded audio and features of clips of equal length → (codes, distance of the rounded values to a boundary)."""

    def __init__(self, model: NeuCodecModel, dtype: torch.dtype = torch.float32, *, fused: bool = True) -> None:
        """Share the weights of `model`; with another `dtype` than float32, use a copy of the encoder in it."""
        super().__init__()
        tensors = (*model.parameters(), *model.buffers()) if dtype == torch.float32 else ()
        shared = {id(tensor): tensor for tensor in tensors}
        parts = (model.semantic_encoder, model.semantic_adapter, model.acoustic_encoder, model.fc_encoder)
        self.semantic, self.adapter, self.acoustic, self.join = copy.deepcopy(parts, shared)
        self.quantizer = model.quantizer
        _replace(self.semantic, Wav2Vec2BertSelfAttention, RelativeKeyAttention)
        _replace(self.semantic, Wav2Vec2BertConvolutionModule, FramewiseConvolution)
        if fused:
            _replace(self.acoustic, NeuCodecAntiAliasedActivation1d, FusedActivation)
        if dtype != torch.float32:
            for part in (self.semantic, self.adapter, self.acoustic, self.join):
                part.to(dtype)
        self.dtype = dtype

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the two encoders with torch.compile; the first batches take minutes."""
        self.acoustic.compile(*args, dynamic=True, **kwargs)
        self.semantic.encoder.compile(*args, dynamic=True, **kwargs)

    def forward(self, audio: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """`audio` [clips, samples], `features` [clips, codes, 160] → int32 and float32 [clips, codes].

        The second is `margin`: the distance of the nearest of a code's eight values from a rounding boundary.
        """
        semantic = self.semantic(features.to(self.dtype)).last_hidden_state.transpose(1, 2)
        semantic = self.adapter(semantic)
        acoustic = self.acoustic(audio[:, None].to(self.dtype))
        count = min(semantic.shape[-1], acoustic.shape[-1])
        both = torch.cat([semantic[..., :count], acoustic[..., :count]], 1).transpose(1, 2)
        latent = self.quantizer.project_in(self.join(both).float())
        _, codes = self.quantizer.quantizer(self.quantizer.quantizer.bound(latent))
        return codes, margin(self.quantizer, latent)


def margin(quantizer: NeuCodecQuantizer, latent: Tensor) -> Tensor:
    """Distance of the nearest of the rounded values from a rounding boundary, [..., codes, 8] → [..., codes].

    In steps of the quantiser, at most 0.5. Values are bounded twice, as in the training of the checkpoint.
    """
    bound = quantizer.quantizer.bound
    value = bound(bound(latent.float()))
    return (0.5 - (value - value.round()).abs()).amin(-1)


def _replace(parent: nn.Module, old: type[nn.Module], new: type[nn.Module]) -> None:
    for name, child in parent.named_children():
        if isinstance(child, old):
            setattr(parent, name, new(child))
        else:
            _replace(child, old, new)


class FusedActivation(nn.Module):
    """The acoustic encoder's activation, one pass instead of five: upsample by two, SnakeBeta, downsample by two.

    Equal to a `NeuCodecAntiAliasedActivation1d` up to rounding; shares its parameters. SnakeBeta is
    `u + sin²(u · exp α) / exp β` (Liu, Hartwig & Ueda, 2020, with a β of its own); the filters around it are
    Kaiser-windowed sincs of twelve taps that keep its harmonics from folding back (Karras et al., 2021). In polyphase
    form both filters are sums of shifted copies, so no array at twice the rate is needed.
    """

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
