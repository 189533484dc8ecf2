"""Truncated, corrupt and misnamed audio of every format is decoded or is one error, and prints nothing to stderr."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from voice_assets_tests.core.corpus.small_corpus import speech_like_noise, write_audio
from voice_core.audio.decoding import DecodeReport, decode
from voice_core.audio.header import UnreadableAudioError, probe

FORMATS = (".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a")

_DECODE_ALL = """
import sys
from pathlib import Path
from voice_core.audio.decoding import DecodeReport, decode
from voice_core.audio.header import UnreadableAudioError, probe
for path in sorted(Path(sys.argv[1]).iterdir()):
    for source in (path, path.open("rb")):
        try:
            probe(source)
            for _ in decode(source, 24_000, DecodeReport()):
                pass
        except UnreadableAudioError:
            pass
print("done")
"""


def write_hostile(folder: Path) -> int:
    """Files made from valid ones: truncated, with random bytes or zeros, with maximal 32-bit sizes, renamed."""
    rng = np.random.default_rng(7)
    for extension in FORMATS:
        sound = folder / f"sound{extension}"
        write_audio(sound, speech_like_noise(2.0, 24_000), 24_000)
        data = sound.read_bytes()
        for share in (0.02, 0.5, 0.97):
            (folder / f"cut-{share}{extension}").write_bytes(data[: int(share * len(data))])
        for number in range(4):
            corrupt = bytearray(data)
            for at in rng.integers(0, len(data), 1 + 20 * number):
                corrupt[at] = int(rng.integers(0, 256))
            (folder / f"corrupt-{number}{extension}").write_bytes(bytes(corrupt))
        head = bytearray(data)
        for at in rng.integers(4, min(200, len(data) - 4), 6):
            head[at : at + 4] = b"\xff\xff\xff\xff"
        (folder / f"head-{extension[1:]}{extension}").write_bytes(bytes(head))
        (folder / f"zeros{extension}").write_bytes(data[:64] + bytes(5_000))
        (folder / f"tail{extension}").write_bytes(data[len(data) // 2 :])
        (folder / f"renamed-{extension[1:]}{FORMATS[(FORMATS.index(extension) + 1) % len(FORMATS)]}").write_bytes(data)
    return sum(1 for _ in folder.iterdir())


def test_no_audio_file_prints_to_stderr(tmp_path: Path) -> None:
    assert write_hostile(tmp_path) > 60
    done = subprocess.run(
        [sys.executable, "-c", _DECODE_ALL, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "done\n", 0)


def test_a_source_that_fails_repeatedly_is_one_error_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk does not answer")

    with pytest.raises(UnreadableAudioError, match="the disk does not answer"):
        probe(Failing(b"RIFF" * 1_000))
    with pytest.raises(UnreadableAudioError, match="the disk does not answer"):
        list(decode(Failing(b"RIFF" * 1_000), 24_000, DecodeReport()))
    assert capfd.readouterr().err == ""
