"""The input of the semantic encoder: log-mel features, batched and on the device.

The reference computes them clip by clip in numpy: in double precision, rounded to single at two places, and then
normalised band by band in single precision. The same is done here for a whole batch, with the rounding at the same
places and sums in the same order, so that the features are equal to the bit (unless a library's logarithm or transform
differs in the last place of double precision in a way that remains after rounding).
"""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import SeamlessM4TFeatureExtractor

from voice_core.codecs.neucodec.pairwise import pairwise_sum

FRAME, HOP, FFT_SIZE = 400, 160, 512
_PREEMPHASIS = 0.97
_FLOOR = 1.192092955078125e-07
_VARIANCE_FLOOR = 1e-7


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
