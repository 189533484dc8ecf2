"""Open untrusted audio files: limits on formats, on the bytes read, and on the memory of FFmpeg."""

import contextlib
import ctypes
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import av
from av.container import InputContainer

# The formats of recordings. FFmpeg detects the format from the content, and some of its formats are lists of other
# files and URLs, which an untrusted file must not make it open.
_OPEN_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,asf,au,caf,eac3,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,ogg,oga,opus,w64,wav",
    "protocol_whitelist": "file",
}
_MAX_UNPARSED_BYTES = 96 << 20
"""The most that is read without an audio packet: a parser keeps all of it until it finds the next packet."""
_MAX_ALLOCATION_BYTES = 64 << 20
"""FFmpeg's largest single allocation while it reads a container. The largest in an audio file is the index of an MP4,
24 bytes per packet: that of 16 hours of AAC at 48 kHz takes 64 MiB. A header of 1 kB can claim 100 million packets."""
MAX_FRAME_SAMPLES = 1 << 18
"""The most samples in a decoded frame. FLAC allows 65,535, the longest of the formats above."""


class AudioReader:
    """The file object that FFmpeg reads a source through. It never raises: PyAV prints tracebacks of its callbacks.

    After an error, and after `_MAX_UNPARSED_BYTES` without a packet, it reports the end of the file. `check` raises the
    error.
    """

    def __init__(self, source: IO[bytes], name: str) -> None:
        self.name = name  # FFmpeg uses the extension
        self.problem = ""  # why the file ended early, if that is not an error
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
        except (OSError, ValueError, OverflowError):  # a damaged header can point FFmpeg outside of the file
            return -1

    def tell(self) -> int:
        return self._source.tell()

    def mark_parsed(self) -> None:
        """Note that a packet was found."""
        self._unparsed = 0

    def check(self) -> None:
        """Raise the error of the source, if there was one."""
        if self._error is not None:
            raise self._error


@contextlib.contextmanager
def open_audio(source: str | Path | IO[bytes], max_streams: int) -> Iterator[tuple[InputContainer, AudioReader]]:
    """Open a container. Raises `av.FFmpegError`, `OSError`, `ValueError`, or an error of the source."""
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
        reader.check()  # FFmpeg treats an error of the source as the end of the file
        reader.mark_parsed()
        yield container, reader


_libav = ctypes.CDLL(av._core.__file__)  # resolves symbols of the FFmpeg libraries that the module is linked to
_limit_depth = 0
_limit_lock = threading.Lock()


@contextlib.contextmanager
def limit_ffmpeg_memory() -> Iterator[None]:
    """Limit FFmpeg's allocations to `_MAX_ALLOCATION_BYTES` in the whole process, while any thread is in the block."""
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
