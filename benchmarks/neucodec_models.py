"""What NeuCodec's benchmarks share: the original and ours with the same random weights, clips, a partition of them."""

import functools
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import voice_assets_tests.torchaudio_without_cuda  # noqa: F401 - before what imports torchaudio
from voice_assets_tests.core.codecs import original_neucodec as reference
from voice_assets_tests.core.codecs.original_neucodec import FULL, SMALL, ModelSize, synthetic_speech
from voice_core.audio.pcm import to_pcm16
from voice_core.codecs.base import Audio, Codes
from voice_core.codecs.neucodec import NeuCodec
from voice_core.codecs.neucodec.engine import NeuCodecEngine
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.ingest.batches import write_batch
from voice_core.corpus.manifest import Entry, Manifest
from voice_core.corpus.manifest_commit import commit_stage
from voice_core.corpus.segment.segment_files import Segment, dump_segment
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey, segment_name, stage_prefix
from voice_core.settings import NeuCodecSettings
from voice_core.storage.store import Store

INPUT_HZ, SEGMENT_HZ = 16_000, 24_000
PARTITION = PartitionKey("neucodec", 1)
_SHORTEST_SEC, _LONGEST_SEC = 1.0, 8.0


@dataclass(frozen=True, slots=True)
class Models:
    """The original package's model and a folder with the same weights in transformers' layout."""

    original: Any
    folder: Path

    def codec(self, device: torch.device, **options: Any) -> NeuCodec:
        return NeuCodec(NeuCodecSettings(checkpoint=str(self.folder), device=str(device), **options))

    def engine(
        self, device: torch.device, precision: str = "fp32", *, compiled: bool = False, **options: Any
    ) -> NeuCodecEngine:
        return NeuCodecEngine.load(
            self.folder, device, precision, batch_sec=options.get("batch_sec", 240.0), compiled=compiled
        )


@contextmanager
def build_models(quick: bool) -> Iterator[Models]:
    """Full-size architecture (small with `quick`), random weights that are calibrated until codes vary."""
    with tempfile.TemporaryDirectory(prefix="voice-neucodec-") as name:
        made = _original(SMALL if quick else FULL)
        reference.to_transformers(made).save_pretrained(name)
        yield Models(made, Path(name))


@functools.lru_cache(maxsize=1)
def _original(size: ModelSize) -> Any:
    return reference.build_original(size)


def select_device() -> torch.device:
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timings_sec(call: Callable[[], object], device: torch.device, rounds: int, warm: int = 1) -> list[float]:
    """What each of some calls takes, after the first ones, which choose kernels."""
    taken: list[float] = []
    for _ in range(warm + rounds):
        synchronise(device)
        began = time.perf_counter()
        call()
        synchronise(device)
        taken.append(time.perf_counter() - began)
    return taken[warm:]


def clip_lengths_sec(count: int) -> list[float]:
    """Of 1 to 8 s, spread evenly, no two alike, in no order."""
    at = (np.arange(count) * 0.6180339887) % 1.0
    return [round(float(_SHORTEST_SEC + (_LONGEST_SEC - _SHORTEST_SEC) * share), 3) for share in at]


def make_clips(count: int, sample_rate_hz: int = INPUT_HZ) -> list[Audio]:
    return [synthetic_speech(seconds, 1_000 + n, sample_rate_hz) for n, seconds in enumerate(clip_lengths_sec(count))]


def total_sec(some: Sequence[Audio], sample_rate_hz: int = INPUT_HZ) -> float:
    return sum(map(len, some)) / sample_rate_hz


def encode_one_by_one(model: Any, some: Sequence[Audio]) -> list[Codes]:
    """The seed's way: `encode_code`, a clip at a time."""
    return [reference.encode_with_original(model, clip) for clip in some]


def write_partition(work: Path, count: int) -> tuple[Store, float]:
    """A work root with one partition of committed segments at 24 kHz, and how many seconds they hold."""
    store = Store(work.as_uri(), create=True)
    entries: list[Entry] = []
    sounds = make_clips(count, SEGMENT_HZ)
    for number, clip in enumerate(sounds):
        audio = to_pcm16(clip)
        labels = {"text": f"segment {number}", "speaker_id": "s", "gender": "", "dialect": "", "tone": ""}
        data = dump_segment(Segment(audio=audio, duration_sec=len(audio) / SEGMENT_HZ, audio_id="talk", **labels))
        key = f"{stage_prefix('segments', PARTITION)}{segment_name('talk', number)}.npz"
        store.put(key, data)
        entries.append(
            Entry(
                "line",
                "talk",
                number,
                sample_count=len(audio),
                kept=True,
                key=key,
                sha256=sha256(data),
                size_bytes=len(data),
                fingerprint=hashlib.sha256(data).hexdigest()[:16],
                duration_sec=len(audio) / SEGMENT_HZ,
                **labels,
            )
        )
    write_batch(store, Batch(PARTITION.channel, PARTITION.number))
    manifest = Manifest("segments", str(PARTITION), True, SEGMENT_HZ, "benchmark", {}, entries=tuple(entries))
    commit_stage(store, manifest, sweep=False)
    return store, total_sec(sounds, SEGMENT_HZ)


def run_seed_loop(model: Any, source: Path, target: Path) -> list[Codes]:
    """File by file, as the seed encodes: load, resample, encode_code, save."""
    from torchaudio.transforms import Resample

    device = next(model.parameters()).device
    resampled = Resample(SEGMENT_HZ, INPUT_HZ)
    target.mkdir(parents=True, exist_ok=True)
    made: list[Codes] = []
    for path in sorted(source.glob("*.npz")):
        with np.load(path) as file:
            fields = dict(file)
        audio = torch.from_numpy(fields["audio"].astype(np.float32) / 32768.0)
        with torch.inference_mode():
            codes = model.encode_code(resampled(audio[None])[None].to(device))
        fields["codes"] = codes[0, 0].cpu().numpy()
        np.savez(target / path.name, **fields)
        made.append(fields["codes"])
    return made


class BytesWritten:
    """Counts what the layers of a module write: the outputs of its leaves, at their precision."""

    def __init__(self, module: nn.Module, also_leaves: tuple[type[nn.Module], ...] = ()) -> None:
        self.total = 0
        self._hooks = [
            part.register_forward_hook(self._add)
            for part in module.modules()
            if isinstance(part, also_leaves) or not any(True for _ in part.children())
        ]

    def _add(self, _: nn.Module, __: object, value: Any) -> None:
        if isinstance(value, Tensor):
            self.total += value.numel() * value.element_size()

    def __enter__(self) -> "BytesWritten":
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
