"""Segment files: one `.npz` per segment with nine arrays or more, readable with numpy alone."""

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import Pcm16, to_pcm16
from voice_core.corpus.labels import ADDED_LABELS, LABEL_NAMES, REQUIRED_LABELS, Labels, stored_labels
from voice_core.corpus.segment.npz_limits import check_archive, count_samples

SEGMENT_FIELDS = ("audio", "codes", "text", *REQUIRED_LABELS, "duration_sec", "audio_id")
"""The fields of every file. The labels of `ADDED_LABELS` follow if they are given."""
# All exceptions of numpy and zipfile for bytes that are not an archive of plain arrays.
_UNREADABLE = (
    ValueError, TypeError, OSError, EOFError, KeyError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class SegmentFileError(ValueError):
    """A segment file cannot be read. The message contains the file name and the reason."""


def _no_codes() -> npt.NDArray[np.int32]:
    return np.empty(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Segment(Labels):
    """`audio` is mono PCM of shape [samples], `codes` int32 of shape [codes] (empty before encoding)."""

    audio: Pcm16
    text: str
    duration_sec: float
    audio_id: str
    codes: npt.NDArray[np.int32] = field(default_factory=_no_codes)


def dump_segment(segment: Segment) -> bytes:
    """The segment as an uncompressed `.npz`. Equal segments give equal bytes."""
    buffer = io.BytesIO()
    names = (*SEGMENT_FIELDS, *(name for name in stored_labels(segment) if name in ADDED_LABELS))
    arrays: dict[str, Any] = {name: np.asarray(getattr(segment, name)) for name in names}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def load_segment(data: bytes, name: str) -> Segment:
    """Read a segment file. `name` is the file name for messages.

    Accepts int16 or float audio (full scale ±1), codes of any integer type or an empty list, and compressed
    archives. Pickled content is rejected, never loaded. Raises `SegmentFileError`.
    """
    with _wrap_errors(name):
        fields = _arrays(data, SEGMENT_FIELDS, ADDED_LABELS)
        return Segment(
            audio=_audio(fields["audio"]),
            codes=_codes(fields["codes"]),
            duration_sec=float(fields["duration_sec"]),
            text=str(fields["text"]),
            audio_id=str(fields["audio_id"]),
            **{name: str(fields[name]) for name in LABEL_NAMES if name in fields},
        )


def load_audio_and_codes(data: bytes, name: str) -> tuple[Pcm16, npt.NDArray[np.int32]]:
    """As `load_segment`, for the audio and the codes only, which takes half the time."""
    with _wrap_errors(name):
        fields = _arrays(data, ("audio", "codes"))
        return _audio(fields["audio"]), _codes(fields["codes"])


def read_sample_count(source: IO[bytes], name: str) -> int:
    """The number of audio samples of a segment file, by its headers. Raises `SegmentFileError`."""
    with _wrap_errors(name):
        return count_samples(source)


@contextlib.contextmanager
def _wrap_errors(name: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise SegmentFileError(f"{name} is not a segment file: {reason}") from None


def _arrays(data: bytes, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of these names, and those of the optional ones that the file holds."""
    check_archive(io.BytesIO(data), names, optional)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        fields = {name: arrays[name] for name in (*names, *(name for name in optional if name in arrays.files))}
    if odd := [key for key, value in fields.items() if not isinstance(value, np.ndarray)]:
        raise ValueError(f"{', '.join(odd)} is not an array")  # numpy returns bytes if its magic number is missing
    return fields


def _audio(array: npt.NDArray[np.generic]) -> Pcm16:
    if array.ndim != 1:
        raise ValueError(f"audio has shape {array.shape}, not [samples]")
    if array.dtype == np.int16:
        return array.astype(np.int16, copy=False)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"audio is {array.dtype}, neither int16 nor float")
    audio = array.astype(np.float32)
    if not np.isfinite(audio).all():
        raise ValueError("audio contains NaN or infinity")
    return to_pcm16(audio)


def _codes(array: npt.NDArray[np.generic]) -> npt.NDArray[np.int32]:
    if array.size == 0:
        return _no_codes()
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"codes are {array.dtype}, not integers")
    if array.min() < np.iinfo(np.int32).min or array.max() > np.iinfo(np.int32).max:
        raise ValueError(f"codes range from {array.min()} to {array.max()}: they exceed 32 bits")
    return array.reshape(-1).astype(np.int32)
