"""NeuCodec's encoder: the weights of transformers' model, with fewer and larger operations.

Four things differ from transformers' forward pass, none by more than rounding: the acoustic encoder's activations are
fused; the semantic encoder's relative positions are looked up among the 73 that exist instead of being laid out for
every pair of frames; its convolutions over single frames are matrix products, which need no transposed copies; and the
values that the quantiser rounds are returned, so that the caller knows their distance from a rounding boundary.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import NeuCodecModel
from transformers.models.neucodec.modeling_neucodec import NeuCodecAntiAliasedActivation1d, NeuCodecQuantizer
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import (
    Wav2Vec2BertConvolutionModule,
    Wav2Vec2BertSelfAttention,
)

from voice_core.codecs.neucodec.activation import FusedActivation


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
