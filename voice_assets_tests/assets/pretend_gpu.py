"""The whole code location and the `voice` command with a codec in NeuCodec's place that runs on a pretended GPU.

`dagster dev -m voice_assets_tests.assets.pretend_gpu`, `python -m voice_assets_tests.assets.pretend_gpu build`. When
each process began and ceased to use the GPU is written to the file that PRETEND_GPU_TIMELINE names, a line each, in
seconds of the machine's clock; PRETEND_GPU_SEC is how long it takes over a batch, once the file exists that
PRETEND_GPU_GATE names, if any.
"""

import importlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from voice_assets_tests.core.corpus.small_corpus import SmallCodec
from voice_core.codecs import CODECS
from voice_core.codecs.base import Audio, Codes
from voice_core.codecs.declaration import CodecDeclaration
from voice_core.compute.gpu_lock import hold_gpu
from voice_core.settings import NeuCodecSettings, Settings

GPU = "pretend-gpu-0"
TIMELINE, SECONDS, GATE = "PRETEND_GPU_TIMELINE", "PRETEND_GPU_SEC", "PRETEND_GPU_GATE"


class PretendGpuCodec(SmallCodec):
    name = "pretend"
    _ready = False

    @contextmanager
    def ready(self, purpose: str) -> Iterator[None]:
        with hold_gpu([GPU], purpose, Settings.load().gpu_lock_dir):
            if self._ready:
                yield
                return
            self._ready = True
            _log_event("begin", purpose)
            try:
                yield
            finally:
                self._ready = False
                _log_event("end", purpose)

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        while GATE in os.environ and not os.path.exists(os.environ[GATE]):
            time.sleep(0.05)
        time.sleep(float(os.environ[SECONDS]))
        return super().encode(clips, sample_rate_hz)


def _log_event(what: str, purpose: str) -> None:
    line = json.dumps({"what": what, "purpose": purpose, "pid": os.getpid(), "at": time.monotonic()})
    descriptor = os.open(os.environ[TIMELINE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


@dataclass(frozen=True, slots=True)
class GpuUse:
    """A process used the GPU from `begin` to `end`, in seconds of the machine's clock; to no end if it was killed."""

    pid: int
    purpose: str
    begin: float
    end: float


def read_timeline(path: Path) -> list[GpuUse]:
    """Every use of the GPU, by its beginning."""
    opened: dict[tuple[int, str], float] = {}
    uses: list[GpuUse] = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        note = json.loads(line)
        key = note["pid"], note["purpose"]
        if note["what"] == "begin":
            opened[key] = note["at"]
        else:
            uses.append(GpuUse(*key, opened.pop(key), note["at"]))
    uses += [GpuUse(*key, begin, float("inf")) for key, begin in opened.items()]
    return sorted(uses, key=lambda use: use.begin)


if TIMELINE in os.environ:  # not where the tests themselves run: NeuCodec has tests of its own there
    CODECS["neucodec"] = CodecDeclaration("neucodec", lambda _: PretendGpuCodec(), settings=NeuCodecSettings)

from voice_assets.definitions import defs as defs  # noqa: E402  # after the codec has taken its place


def __getattr__(name: str) -> dg.Definitions:
    """The location of a machine, `t4` or `h200`: what `dagster api grpc` serves with `-a`."""
    if name not in ("t4", "h200"):
        raise AttributeError(name)
    return importlib.import_module(f"voice_assets.locations.{name}").defs


if __name__ == "__main__":
    from voice_assets.cli import main

    main()
