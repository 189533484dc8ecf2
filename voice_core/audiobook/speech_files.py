"""The files of a book's speech: 16-bit FLAC, mono, one for each take that is kept."""

import io

import soundfile

from voice_core.audio.pcm import Pcm16
from voice_core.audiobook.audio_manifest import ChunkAudioRow
from voice_core.audiobook.commands import build_command
from voice_core.fingerprint import sha256
from voice_core.layout import BookKey
from voice_core.storage.store import Store


def decode_speech(data: bytes) -> tuple[Pcm16, int]:
    """The samples and the sampling rate of a file. Raises ValueError where it is corrupt."""
    try:
        pcm, sample_rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"the FLAC file is corrupt: {error}") from None
    return pcm, sample_rate_hz


def read_speech(store: Store, book: BookKey, row: ChunkAudioRow, sample_rate_hz: int) -> Pcm16:
    """The samples of a chunk.

    Raises ValueError for a file that is missing or is not what was committed, with the command that speaks it again,
    and StoreError.
    """
    data = store.find(row.key)
    again = f"run `{build_command(book, verify=True)}` to speak chunk {row.chunk_id} again"
    if data is None:
        raise ValueError(f"{store.url}/{row.key} is missing: {again}")
    if sha256(data) != row.sha256:
        raise ValueError(f"{store.url}/{row.key} is not the file that was committed: {again}")
    pcm, rate = decode_speech(data)
    if rate != sample_rate_hz or pcm.shape != (row.sample_count,):
        raise ValueError(
            f"{store.url}/{row.key} has shape {pcm.shape} at {rate} Hz, not {row.sample_count} samples at "
            f"{sample_rate_hz} Hz: {again}"
        )
    return pcm
