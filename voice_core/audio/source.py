"""Opening an audio file that a stranger made: which formats, how much is read, how much memory FFmpeg may take."""

import contextlib
import ctypes
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import av
from av.container import InputContainer

# What a recording may be. FFmpeg guesses the format from the content, and some formats it knows are lists of
# other files and addresses: a hostile upload must not make us open those.
_OPEN_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,asf,au,caf,eac3,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,ogg,oga,opus,w64,wav",
    "protocol_whitelist": "file",
}
_MAX_UNPARSED_BYTES = 96 << 20
"""What is read at most without an audio packet: a parser keeps all of it until it finds where the next one starts."""
_MAX_ALLOCATION_BYTES = 64 << 20
"""FFmpeg's largest single allocation while it reads a container. The largest in a sound file is the index of an MP4,
24 bytes a packet: that of 16 hours of AAC at 48 kHz takes 64 MiB. A header of 1 kB can claim 100 million packets."""
MAX_FRAME_SAMPLES = 1 << 18
"""Samples of one decoded frame. FLAC allows 65,535, the longest of the formats above."""


class AudioReader:
    """The bytes of a source as FFmpeg reads them. Never raises: PyAV prints the traceback of what its callbacks raise.

    After an error, and after `_MAX_UNPARSED_BYTES` without a packet, the file ends; `check` raises the error.
    """

    def __init__(self, source: IO[bytes], name: str) -> None:
        self.name = name  # FFmpeg looks at the extension
        self.problem = ""  # why the file ended early, where that is not an error
        self._source = source
        self._unparsed = 0
        self._error: Exception | None = None

    def read(self, size: int) -> bytes:
        if self._error is not None or self.problem:
            return b""
        try:
            data = self._source.read(size)
        except Exception as error:  # noqa: BLE001 - raised again by `check`
            self._error = error
            return b""
        self._unparsed += len(data)
        if self._unparsed > _MAX_UNPARSED_BYTES:
            self.problem = f"no audio in {_MAX_UNPARSED_BYTES >> 20} MiB"
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._source.seek(offset, whence)
        except (OSError, ValueError, OverflowError):  # a header sends FFmpeg to places that no file has
            return -1

    def tell(self) -> int:
        return self._source.tell()

    def mark_parsed(self) -> None:
        """A packet was found."""
        self._unparsed = 0

    def check(self) -> None:
        if self._error is not None:
            raise self._error


@contextlib.contextmanager
def open_audio(source: str | Path | IO[bytes], max_streams: int) -> Iterator[tuple[InputContainer, AudioReader]]:
    """An opened container and its reader. Raises `av.FFmpegError`, `OSError`, `ValueError`, or what the source does."""
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | Path):
            reader = AudioReader(stack.enter_context(Path(source).open("rb")), f"file:{source}")
        else:
            reader = AudioReader(source, str(getattr(source, "name", "")))
            source.seek(0)
        options = {**_OPEN_OPTIONS, "max_streams": str(max_streams), "max_samples": str(MAX_FRAME_SAMPLES)}
        try:
            with limit_ffmpeg_memory():
                container = stack.enter_context(av.open(reader, "r", options=options, metadata_errors="replace"))
        except (av.FFmpegError, ValueError):
            reader.check()
            raise
        reader.check()  # FFmpeg takes an error of the source for the end of the file
        reader.mark_parsed()
        yield container, reader


_libav = ctypes.CDLL(av._core.__file__)  # finds what the module is linked to
_limit_depth = 0
_limit_lock = threading.Lock()


@contextlib.contextmanager
def limit_ffmpeg_memory() -> Iterator[None]:
    """No allocation of FFmpeg's above `_MAX_ALLOCATION_BYTES`, in the whole process, as long as a thread is inside."""
    global _limit_depth
    with _limit_lock:
        _limit_depth += 1
        _libav.av_max_alloc(ctypes.c_size_t(_MAX_ALLOCATION_BYTES))
    try:
        yield
    finally:
        with _limit_lock:
            _limit_depth -= 1
            if not _limit_depth:
                _libav.av_max_alloc(ctypes.c_size_t(2**31 - 1))  # FFmpeg's default
