"""Selects segments to listen to, and prepares them for a page."""

import base64
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from voice_core.audio.pcm import Pcm16, mp3_bytes, resample, to_float
from voice_core.codecs.base import Audio, Codec, Codes
from voice_core.compute import progress
from voice_core.corpus.evicted import EvictedFiles
from voice_core.corpus.manifest import Entry
from voice_core.corpus.segment.segment_files import Segment, SegmentFileError, load_segment
from voice_core.layout import PartitionKey
from voice_core.storage.store import Store, StoreError

WAVE_WIDTH, WAVE_HEIGHT = 400, 56
_WAVE_POINTS = 200
_QUIETEST_SCALE = 0.05  # a waveform fills the height of its box, unless its peak is below this
_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_BIT_RATE = 64_000
_BUDGET_SEC = 420.0  # of MP3 in one page: 64 kbit/s in base64 make 4.5 MB of it


@dataclass(frozen=True, slots=True)
class ClipCandidate:
    """A row with a file, and why it was selected. `decodable`: the given codec made its codes."""

    partition: PartitionKey
    entry: Entry
    why: str = ""
    decodable: bool = False


@dataclass(frozen=True, slots=True)
class Clip:
    """A prepared candidate: MP3 as data URIs ("" if there is none) and the outline of its waveform."""

    candidate: ClipCandidate
    shown_sec: float = 0.0
    wave: str = ""
    audio: str = ""
    decoded: str = ""
    error: str = ""

    @property
    def entry(self) -> Entry:
        return self.candidate.entry

    @property
    def shortened(self) -> bool:
        return self.shown_sec < (self.entry.duration_sec or 0.0) - 0.01


def select_random_kept(kept: Sequence[ClipCandidate], count: int, seed: int) -> list[ClipCandidate]:
    chosen = random.Random(seed).sample(range(len(kept)), min(count, len(kept)))
    return [kept[i] for i in sorted(chosen)]


def select_worst_kept(kept: Sequence[ClipCandidate], count: int) -> list[ClipCandidate]:
    """About `count` different kept rows, taken in turn from the worst by each measure."""
    orders: tuple[tuple[str, Callable[[Entry], float | None]], ...] = (
        ("lowest SNR", lambda entry: entry.snr_db),
        ("farthest from its codes", lambda entry: None if entry.roundtrip_mel_db is None else -entry.roundtrip_mel_db),
        ("narrowest band", lambda entry: entry.bandwidth_hz),
    )
    ranked = [(why, _ascending(kept, measure)) for why, measure in orders]
    chosen: dict[int, ClipCandidate] = {}
    for place in range(-(-count // len(orders))):
        for why, order in ranked:
            new = next((i for i in order[place:] if i not in chosen), None)
            if new is not None and len(chosen) < count:
                chosen[new] = ClipCandidate(kept[new].partition, kept[new].entry, why, kept[new].decodable)
    return sorted(chosen.values(), key=lambda item: [why for why, _ in orders].index(item.why))


def _ascending(kept: Sequence[ClipCandidate], measure: Callable[[Entry], float | None]) -> list[int]:
    values = [(value, i) for i, item in enumerate(kept) if (value := measure(item.entry)) is not None]
    return [i for _, i in sorted(values)]


def select_rejected_by_rules(rejected: Iterable[ClipCandidate]) -> list[ClipCandidate]:
    """For every rule, the rejected rows closest to and farthest from its threshold."""
    by_reason: dict[str, list[ClipCandidate]] = defaultdict(list)
    for item in rejected:
        if item.entry.stage == "rules":
            by_reason[item.entry.reason].append(item)
    chosen = []
    for reason in sorted(by_reason):
        ordered = sorted(by_reason[reason], key=lambda item: _excess(item.entry))
        ends = ordered if len(ordered) < 3 else [ordered[0], ordered[-1]]
        chosen += [ClipCandidate(item.partition, item.entry, reason.replace("_", " ")) for item in ends]
    return chosen


def _excess(entry: Entry) -> float:
    return abs((entry.value or 0.0) - (entry.threshold or 0.0))


def compute_clip_limit_sec(lengths_sec: Sequence[float], budget_sec: float) -> float:
    """The duration to which clips must be cut so that their sum stays within a budget.

    >>> compute_clip_limit_sec([2.0, 10.0, 10.0], 12.0), compute_clip_limit_sec([2.0], 12.0)
    (5.0, 2.0)
    """
    left = budget_sec
    for place, length in enumerate(sorted(lengths_sec)):
        fair = left / (len(lengths_sec) - place)
        if length > fair:
            return fair
        left -= length
    return max(lengths_sec, default=0.0)


def waveform_svg_path(pcm: Pcm16) -> str:
    """The outline of a waveform as an SVG path in a box of WAVE_WIDTH by WAVE_HEIGHT."""
    if not len(pcm):
        return ""
    count = min(_WAVE_POINTS, len(pcm))
    starts = np.linspace(0, len(pcm), count, endpoint=False).astype(int)
    high, low = np.maximum.reduceat(pcm, starts) / 32768.0, np.minimum.reduceat(pcm, starts) / 32768.0
    scale = (WAVE_HEIGHT / 2 - 1) / max(_QUIETEST_SCALE, float(np.abs(high).max()), float(np.abs(low).max()))
    xs = np.linspace(0, WAVE_WIDTH, count).round().astype(int)
    middle = WAVE_HEIGHT / 2
    top = [f"{x},{middle - max(value * scale, 0.5):.1f}" for x, value in zip(xs, high, strict=True)]
    bottom = [f"{x},{middle - min(value * scale, -0.5):.1f}" for x, value in zip(xs, low, strict=True)]
    return "M" + "L".join(top + bottom[::-1]) + "Z"


def make_clips(
    work: Store,
    candidates: Sequence[ClipCandidate],
    sample_rate_hz: int,
    codec: Codec | None,
    budget_sec: float = _BUDGET_SEC,
) -> list[Clip]:
    """Read, decode and compress the candidates; a file that cannot be read becomes a clip with an error.

    All that is heard takes at most `budget_sec`: longer clips are cut.

    Raises CodecUnavailableError where there are codes to be heard and the codec cannot be loaded.
    """
    lengths = [item.entry.duration_sec or 0.0 for item in candidates for _ in range(1 + item.decodable)]
    limit_sec = compute_clip_limit_sec(lengths, budget_sec)
    clips: list[Clip] = []
    decoder = codec if any(item.decodable for item in candidates) else None
    with (
        decoder.ready("decoding for the listening page") if decoder is not None else nullcontext(),
        progress.track("listening page", len(candidates), "segments") as bar,
    ):
        for item in candidates:
            clips.append(_clip(work, item, sample_rate_hz, codec, limit_sec))
            bar.advance(1)
    return clips


def _clip(work: Store, item: ClipCandidate, sample_rate_hz: int, codec: Codec | None, limit_sec: float) -> Clip:
    try:
        segment = load_segment(work.get(item.entry.key), item.entry.key)
    except (StoreError, SegmentFileError) as error:
        freed = EvictedFiles(work).contains(item.entry.key, item.entry.sha256)
        return Clip(item, error=f"{item.entry.key} was freed by `voice clean`" if freed else str(error))
    pcm = segment.audio[: round(limit_sec * sample_rate_hz)]
    if not len(pcm):
        return Clip(item, error=f"{item.entry.key} holds no audio")
    return Clip(
        item,
        shown_sec=len(pcm) / sample_rate_hz,
        wave=waveform_svg_path(pcm),
        audio=mp3_data_uri(to_float(pcm), sample_rate_hz),
        decoded=_decoded(segment, codec, limit_sec) if item.decodable and codec is not None else "",
    )


def _decoded(segment: Segment, codec: Codec, limit_sec: float) -> str:
    codes: Codes = segment.codes[: round(limit_sec * codec.codes_per_sec)]
    return mp3_data_uri(codec.decode([codes])[0], codec.output_sample_rate_hz) if len(codes) else ""


def mp3_data_uri(audio: Audio, sample_rate_hz: int, bit_rate: int = _BIT_RATE) -> str:
    """MP3 of audio as a data URI: mono, shape [samples]; or stereo, shape [samples, 2], at a sampling rate of MP3."""
    rate = next((rate for rate in _MP3_RATES_HZ if rate >= sample_rate_hz), _MP3_RATES_HZ[-1])
    mp3 = mp3_bytes(np.clip(resample(audio, sample_rate_hz, rate), -1.0, 1.0), rate, bit_rate)
    return "data:audio/mpeg;base64," + base64.b64encode(mp3).decode("ascii")
