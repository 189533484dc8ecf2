"""Small files that claim or unpack to far more than they are, and the memory of a process that reads one."""

import math
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from voice_assets_tests.core.corpus.small_corpus import speech_like_noise, write_audio
from voice_core.corpus.segment.segment_files import SEGMENT_FIELDS


def slow_flac(path: Path, rate: int = 1, channels: int = 8, samples: int = 12_000) -> None:
    """A FLAC at 1 Hz: a few kilobytes last for hours."""
    soundfile.write(path, np.zeros((samples, channels), np.int16), rate, format="FLAC")


def long_flac(path: Path, hours: float = 72.0, rate: int = 1) -> None:
    """A FLAC of 1 kB that lasts for days, and says so."""
    soundfile.write(path, np.zeros(round(hours * 3600 * rate), np.int16), rate, format="FLAC")


def false_length_flac(path: Path, hours: float, rate: int = 24_000, seconds: float = 2.0) -> None:
    """A FLAC of a few seconds whose header claims hours."""
    soundfile.write(path, np.zeros(round(seconds * rate), np.int16), rate, format="FLAC")
    data = bytearray(path.read_bytes())
    # STREAMINFO: the number of samples is in the last 36 bits of the 8 bytes at offset 10 of the block.
    at = 4 + 4 + 10
    word = int.from_bytes(data[at : at + 8], "big")
    data[at : at + 8] = ((word >> 36 << 36) | round(hours * 3600 * rate)).to_bytes(8, "big")
    path.write_bytes(bytes(data))


def timestamp_gaps(path: Path, packets: int = 1_000, gap_sec: float = 599.0, rate: int = 48_000) -> None:
    """A Matroska file of short packets with long gaps between their timestamps."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("libopus", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="flt", layout="mono")
        frame.sample_rate = rate
        packet = next(iter([*stream.encode(frame), *stream.encode(None)]))
        data, base = bytes(packet), packet.time_base
        for number in range(packets):
            item = av.Packet(data)
            item.stream, item.time_base = stream, base
            item.pts = item.dts = round(number * (gap_sec + 0.02) / base)
            container.mux(item)


def sparse_zeros(path: Path, size: int = 3_000_000_000) -> None:
    """A sparse file of zeros."""
    with path.open("wb") as out:
        out.truncate(size)


def npz_of_zeros(path: Path, arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...]]]) -> None:
    """A segment file whose arrays are zeros, compressed: a thousandth of their size. Fields not given are small."""
    shapes = {name: (np.dtype("<U1"), ()) for name in SEGMENT_FIELDS} | {
        "duration_sec": (np.dtype("<f8"), ()),
        "codes": (np.dtype("<i4"), (0,)),
        **arrays,
    }
    block = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (dtype, shape) in shapes.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                descr = {"descr": dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(out, descr)
                left = math.prod(shape) * dtype.itemsize
                while left > 0:
                    out.write(block[:left])
                    left -= len(block)


def many_members(path: Path, count: int = 2_000) -> None:
    """An archive of very many empty members."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}.npy", b"")


NPZ_BOMBS: dict[str, Callable[[Path], None]] = {
    "audio of 400 MB": lambda path: npz_of_zeros(path, {"audio": (np.dtype("<f4"), (100_000_000,))}),
    "codes of 400 MB": lambda path: npz_of_zeros(path, {"codes": (np.dtype("<i4"), (100_000_000,))}),
    "text of 40 MB": lambda path: npz_of_zeros(path, {"text": (np.dtype("<U10000000"), ())}),
    "half precision": lambda path: npz_of_zeros(path, {"audio": (np.dtype("<f2"), (60_000_000,))}),
    "2,000 members": many_members,
}


def false_mp4_index(path: Path, packets: int = 80_000_000) -> None:
    """An MP4 of 9 kB whose index claims as many packets of one byte: FFmpeg keeps 36 bytes of each."""
    write_audio(path, speech_like_noise(1.0), 24_000)
    data = bytearray(path.read_bytes())
    sizes, chunks, times = (data.find(name) for name in (b"stsz", b"stsc", b"stts"))
    data[sizes + 8 : sizes + 16] = struct.pack(">II", 1, packets)
    data[chunks + 16 : chunks + 20] = struct.pack(">I", packets)
    data[times + 12 : times + 16] = struct.pack(">I", packets)
    path.write_bytes(bytes(data))


def mp3_with_trailing_zeros(path: Path, size: int = 3_000_000_000) -> None:
    """A sound MP3 of 20 s, and gigabytes of zeros after it: its parser looks for the next frame in all of them."""
    write_audio(path, speech_like_noise(20.0), 24_000)
    with path.open("ab") as out:
        out.truncate(size)


AUDIO_BOMBS: dict[str, Callable[[Path], None]] = {
    "slow.flac": slow_flac,
    "long.flac": long_flac,
    "claim.flac": lambda path: false_length_flac(path, 72.0),
    "small-claim.flac": lambda path: false_length_flac(path, 20.0),
    "gaps.mka": timestamp_gaps,
    "zeros.mp3": sparse_zeros,
    "zeros-after.mp3": mp3_with_trailing_zeros,
    "index.m4a": false_mp4_index,
}


def run_measured(code: str, *arguments: str, timeout: float = 300) -> tuple[str, int]:
    """What a program prints, and the peak of its memory in MiB. What it writes to stderr fails the test."""
    done = subprocess.run(
        [sys.executable, "-c", code + _PEAK, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    *said, peak = done.stdout.splitlines()
    return "\n".join(said), int(peak) // 1024


# Not ru_maxrss, which begins with what the parent had.
_PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
