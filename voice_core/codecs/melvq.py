"""MelVQ: a small speech codec in plain numpy, shipped with its codebooks.

It replaces NeuCodec where neither a GPU nor a download is available: the same rate (50 codes a second), the same
range (0…65535) and 24 kHz out, at a far lower fidelity.

Encoding, frame by frame: Hann-windowed power spectrum → 80 log-mel bands → 40 liftered cepstral
coefficients → a pair of codebook vectors whose sum is nearest. Decoding: the sum of the pair → log-mel →
linear magnitudes → phases by fast Griffin-Lim. `benchmarks/train_melvq.py` makes the codebooks.

Sources: the mel scale is O'Shaughnessy's, `2595 · log10(1 + f / 700)`; residual vector quantisation is
Juang & Gray (1982); fast Griffin-Lim is Perraudin, Balazs & Søndergaard (2013).
"""

import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voice_core.audio.mel import mel_filters
from voice_core.audio.pcm import resample
from voice_core.codecs.base import Audio, Codes, CpuCodec, resampled_length, validate_clip, validate_codes
from voice_core.codecs.declaration import CodecDeclaration, NoSettings

Float32 = npt.NDArray[np.float32]
Complex64 = npt.NDArray[np.complex64]

ALGORITHM = "1"
"""Raise when a change here alters the codes of any audio; part of `MelVQ.revision`."""
CODEBOOK_PATH = Path(__file__).with_name("melvq_codebooks.npz")

SAMPLE_RATE_HZ = 24_000
HOP = 480
FFT_SIZE = 1_024
BANDS = 80
CEPSTRA = 40
LIFTER = 16.0
"""Quefrency above which coefficients count less: the ripple of single harmonics matters little to the ear."""
BAND_TILT = 0.7
"""Weight of a band in the distance falls evenly from 1 + this at the lowest to 1 − this at the highest."""
STAGE_SIZE = 256
CANDIDATES = 8
"""First-stage vectors that `nearest_pairs` tries with every second-stage vector."""
POWER_FLOOR = 1e-8
"""Added to mel power (full-scale white noise: about 1 a bin): −80 dB counts as silence."""
ENCODE_CHUNK = 1_024
"""Frames worked on at a time, so that memory stays bounded on long clips (about 20 MB)."""

OVERSAMPLING = 2
"""Synthesis frames a code: mel frames are interpolated to a hop of 10 ms before phases are sought."""
DECODE_BLOCK, DECODE_OVERLAP = 1_500, 10
"""Codes decoded at a time, and codes over which one block fades into the next."""
GRIFFIN_LIM_ROUNDS = 16
GRIFFIN_LIM_MOMENTUM = 0.99


@functools.cache
def _window() -> Float32:
    """Periodic Hann window, shape [FFT_SIZE]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_SIZE) / FFT_SIZE)).astype(np.float32)


@functools.cache
def _cepstral_basis() -> tuple[Float32, Float32]:
    """(analysis [BANDS, CEPSTRA], synthesis [CEPSTRA, BANDS]): band weights, an orthonormal DCT-II and the
    lifter `1 / sqrt(1 + (q / LIFTER)⁴)`, and their inverse on the coefficients that are kept."""
    weights = np.linspace(1.0 + BAND_TILT, 1.0 - BAND_TILT, BANDS)
    quefrency = np.arange(CEPSTRA)
    dct = np.cos(np.pi / BANDS * (np.arange(BANDS)[:, None] + 0.5) * quefrency) * np.sqrt(2.0 / BANDS)
    dct[:, 0] /= np.sqrt(2.0)
    lifter = 1.0 / np.sqrt(1.0 + (quefrency / LIFTER) ** 4)
    analysis, synthesis = weights[:, None] * dct * lifter, (dct / lifter).T / weights
    return analysis.astype(np.float32), synthesis.astype(np.float32)


def log_mel_chunks(clip: Audio) -> Iterator[Float32]:
    """Log-mel power of a clip, in chunks of at most `ENCODE_CHUNK` frames, shape [frames, BANDS].

    Frame `t` is centred on the middle of samples `[t · HOP, (t + 1) · HOP)`; there is one for every hop that
    holds a sample, and zeros surround the clip. Values are natural logarithms, from ln(POWER_FLOOR) ≈ −18.4.
    """
    window = _window()
    filters = mel_filters(SAMPLE_RATE_HZ, FFT_SIZE, BANDS).T / np.float32(np.square(window).sum())
    lead = (FFT_SIZE - HOP) // 2
    frame_count = -(-len(clip) // HOP)
    for first in range(0, frame_count, ENCODE_CHUNK):
        count = min(ENCODE_CHUNK, frame_count - first)
        start, length = first * HOP - lead, (count - 1) * HOP + FFT_SIZE
        padded = np.zeros(length, np.float32)
        inside = clip[max(start, 0) : start + length]
        padded[max(-start, 0) : max(-start, 0) + len(inside)] = inside
        spectrum = np.fft.rfft(_frames(padded, HOP, count) * window)
        power = spectrum.real**2 + spectrum.imag**2
        yield np.log(power @ filters + np.float32(POWER_FLOOR))


def log_mel(clip: Audio) -> Float32:
    """`log_mel_chunks` joined: shape [ceil(samples / HOP), BANDS]."""
    return np.concatenate([np.zeros((0, BANDS), np.float32), *log_mel_chunks(clip)])


def cepstra(mel: Float32) -> Float32:
    """Liftered cepstra [frames, CEPSTRA] of log-mel frames [frames, BANDS]: the space of the codebooks."""
    return mel @ _cepstral_basis()[0]


def nearest_pairs(x: Float32, first: Float32, second: Float32) -> tuple[npt.NDArray[np.int64], ...]:
    """For each row of `x` [frames, CEPSTRA], (i, j) such that `first[i] + second[j]` is nearest.

    Of the first stage the `CANDIDATES` nearest are tried, each with all of the second. With the terms common
    to all pairs left out, |x − a − b|² / 2 = (|a|²/2 − x·a) + (|b|²/2 − x·b) + a·b.
    """
    first_cost = 0.5 * np.square(first).sum(1) - x @ first.T
    second_cost = 0.5 * np.square(second).sum(1) - x @ second.T
    cross = first @ second.T
    candidates = np.argpartition(first_cost, CANDIDATES - 1, axis=1)[:, :CANDIDATES]
    frame = np.arange(len(x))
    best_cost = np.full(len(x), np.inf, np.float32)
    best_first, best_second = np.zeros(len(x), np.int64), np.zeros(len(x), np.int64)
    for i in candidates.T:
        cost = cross[i]
        cost += second_cost
        j = cost.argmin(1)
        total = cost[frame, j] + first_cost[frame, i]
        better = total < best_cost
        best_cost[better], best_first[better], best_second[better] = total[better], i[better], j[better]
    return best_first, best_second


def _frames(signal: Float32, hop: int, count: int) -> Float32:
    """A view of `signal` as overlapping frames, shape [count, FFT_SIZE]."""
    return np.lib.stride_tricks.sliding_window_view(signal, FFT_SIZE)[::hop][:count]


def _overlap_add(frames: Float32, hop: int) -> Float32:
    """Sum frames [count, FFT_SIZE] at `hop`: shape [(count + ceil(FFT_SIZE / hop)) · hop]."""
    count, parts = len(frames), -(-FFT_SIZE // hop)
    padded = np.zeros((count, parts * hop), np.float32)
    padded[:, :FFT_SIZE] = frames
    total = np.zeros((count + parts, hop), np.float32)
    for part in range(parts):
        total[part : part + count] += padded[:, part * hop : (part + 1) * hop]
    return total.reshape(-1)


def griffin_lim(magnitude: Float32, hop: int) -> Float32:
    """A signal [(frames - 1) · hop + FFT_SIZE or more] whose STFT has about this magnitude [frames, bins].

    Fast Griffin-Lim with momentum from all-zero phases, so the same input always gives the same signal.
    """
    window, count = _window(), len(magnitude)
    norm = np.maximum(_overlap_add(np.broadcast_to(window**2, (count, FFT_SIZE)), hop), np.float32(1e-2))

    def synthesise(phase: Complex64) -> Float32:
        frames = np.fft.irfft(magnitude * phase, FFT_SIZE).astype(np.float32, copy=False)
        signal: Float32 = _overlap_add(frames * window, hop)
        return np.divide(signal, norm, dtype=np.float32)

    phase: Complex64 = np.ones(magnitude.shape, np.complex64)
    previous: Complex64 | None = None
    for _ in range(GRIFFIN_LIM_ROUNDS):
        windowed = _frames(synthesise(phase), hop, count) * window
        spectrum = np.fft.rfft(windowed).astype(np.complex64, copy=False)
        ahead = spectrum
        if previous is not None:
            ahead = spectrum + np.float32(GRIFFIN_LIM_MOMENTUM) * (spectrum - previous)
        previous = spectrum
        phase = np.divide(ahead, np.maximum(np.abs(ahead), 1e-12), dtype=np.complex64)
    return synthesise(phase)


def invert_log_mel(mel: Float32, gain: Float32) -> Audio:
    """Audio [frames · HOP] within ±1 from log-mel frames [frames, BANDS] and a power gain a band [BANDS]."""
    hop = HOP // OVERSAMPLING
    count = len(mel) * OVERSAMPLING
    at = np.clip((np.arange(count) + 0.5) / OVERSAMPLING - 0.5, 0, len(mel) - 1)
    below = at.astype(np.int64)
    share = (at - below).astype(np.float32)[:, None]
    fine = mel[below] * (1 - share) + mel[np.minimum(below + 1, len(mel) - 1)] * share
    filters = mel_filters(SAMPLE_RATE_HZ, FFT_SIZE, BANDS)
    energy = np.maximum(np.exp(fine) - np.float32(POWER_FLOOR), 0) * (gain / filters.sum(1))
    power = energy @ (filters / np.maximum(filters.sum(0), np.float32(1e-6)))
    signal = griffin_lim(np.sqrt(power * np.square(_window()).sum()), hop)
    lead = (FFT_SIZE - hop) // 2
    return np.clip(signal[lead : lead + len(mel) * HOP], -1.0, 1.0)


class MelVQ(CpuCodec):
    """The embedded `Codec`. Immutable after construction, so threads may share one."""

    name = "melvq"
    stand_in = True
    input_sample_rate_hz = SAMPLE_RATE_HZ
    output_sample_rate_hz = SAMPLE_RATE_HZ
    codes_per_sec = SAMPLE_RATE_HZ // HOP
    codebook_size = STAGE_SIZE * STAGE_SIZE

    def __init__(self, codebook_path: Path = CODEBOOK_PATH) -> None:
        """Read codebooks: an .npz of floats: `first` and `second`, each [STAGE_SIZE, CEPSTRA], and `gain` [BANDS],
        which makes up in power for what averaging logarithms and Griffin-Lim lose."""
        content = codebook_path.read_bytes()
        self.revision = f"{ALGORITHM}-{hashlib.sha256(content).hexdigest()[:12]}"
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            self._first = arrays["first"].astype(np.float32)
            self._second = arrays["second"].astype(np.float32)
            self._gain = arrays["gain"].astype(np.float32)
        shapes = self._first.shape, self._second.shape, self._gain.shape
        if shapes != ((STAGE_SIZE, CEPSTRA), (STAGE_SIZE, CEPSTRA), (BANDS,)):
            raise ValueError(f"{codebook_path}: arrays first, second, gain have shapes {shapes}; train it again.")

    def code_count(self, sample_count: int, sample_rate_hz: int | None = None) -> int:
        """ceil(sample_count / 480) at 24 kHz: every sample lies in a frame, and 0 samples give 0 codes.

        >>> [MelVQ().code_count(n) for n in (0, 1, 480, 481, 24_000)]
        [0, 1, 1, 2, 50]
        """
        return -(-resampled_length(sample_count, sample_rate_hz or SAMPLE_RATE_HZ, SAMPLE_RATE_HZ) // HOP)

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        """Codes of each clip, int32 [code_count(samples)] in [0, 65536): first stage · 256 + second stage.

        Each clip is worked on alone, so its codes cannot depend on the batch.
        Raises ValueError, naming the clip's index, for other than one-dimensional finite floats.
        """
        rate = sample_rate_hz or SAMPLE_RATE_HZ
        checked = (validate_clip(clip, index) for index, clip in enumerate(clips))
        return [self._encode_clip(resample(clip, rate, SAMPLE_RATE_HZ)) for clip in checked]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        """Audio of each code array, float32 [len(codes) · 480] within ±1, at about the level that was encoded.

        Raises ValueError, naming the array's index, for other than one-dimensional integers in [0, 65536).
        """
        return [self._decode_clip(validate_codes(c, index, self.codebook_size)) for index, c in enumerate(codes)]

    def log_mel_of(self, codes: Codes) -> Float32:
        """The log-mel frames that codes stand for, shape [len(codes), BANDS]."""
        pair_sum = self._first[codes // STAGE_SIZE] + self._second[codes % STAGE_SIZE]
        return pair_sum @ _cepstral_basis()[1]

    def _encode_clip(self, clip: Audio) -> Codes:
        codes = np.zeros(self.code_count(len(clip)), np.int32)
        done = 0
        for mel in log_mel_chunks(clip):
            first, second = nearest_pairs(cepstra(mel), self._first, self._second)
            codes[done : done + len(mel)] = first * STAGE_SIZE + second
            done += len(mel)
        return codes

    def _decode_clip(self, codes: Codes) -> Audio:
        out = np.zeros(len(codes) * HOP, np.float32)
        for start in range(0, len(codes), DECODE_BLOCK):
            lead = min(DECODE_OVERLAP, start)
            block = codes[start - lead : start + DECODE_BLOCK]
            audio = invert_log_mel(self.log_mel_of(block), self._gain)
            fade = np.linspace(0.0, 1.0, lead * HOP, dtype=np.float32)
            at, seam = (start - lead) * HOP, lead * HOP
            out[at : at + seam] = out[at : at + seam] * (1 - fade) + audio[:seam] * fade
            out[at + seam : at + len(audio)] = audio[seam:]
        return out


def _create(_: NoSettings) -> MelVQ:
    return MelVQ()


CODEC = CodecDeclaration("melvq", _create)
