"""Brings speech to one level and one rate, and mixes it to stereo. Pure: equal speech gives equal bytes."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from voice_core.audio.pcm import Pcm16, dbfs, to_float, to_pcm16
from voice_core.audio.speech_level import NoSpeechError, detect_speech_frames, scale_to_peak
from voice_core.moshi.script import ROLES, SAMPLE_RATE_HZ, Role
from voice_core.moshi.turn_timing import SpeechExtent
from voice_core.settings import MoshiSettings

MIXING_VERSION = 2

Stereo = npt.NDArray[np.int16]
"""Shape [samples, 2], full scale ±32767: left is the assistant, right is the user."""

_FRAME = SAMPLE_RATE_HZ // 50


@dataclass(frozen=True, slots=True)
class PlacedSpeech:
    """The speech of one speaker, from sample `start` on."""

    role: Role
    start: int
    pcm: Pcm16

    @property
    def stop(self) -> int:
        return self.start + len(self.pcm)


def level_dbfs(role: Role, settings: MoshiSettings) -> float:
    return settings.assistant_level_dbfs if role == "assistant" else settings.user_level_dbfs


def measure_extent(pcm: Pcm16) -> SpeechExtent:
    """The length of an utterance at 24 kHz, and how much silence is before and after its speech."""
    frames = np.flatnonzero(detect_speech_frames(to_float(pcm), SAMPLE_RATE_HZ))
    if not len(frames):
        return SpeechExtent(len(pcm))
    tail = max(0, len(pcm) - (int(frames[-1]) + 1) * _FRAME)
    return SpeechExtent(len(pcm), int(frames[0]) * _FRAME, tail)


def speech_level_dbfs(pcm: Pcm16) -> float:
    """RMS over the speech of 24 kHz audio, dBFS."""
    audio = to_float(pcm)
    mask = np.repeat(detect_speech_frames(audio, SAMPLE_RATE_HZ), _FRAME)[: len(audio)]
    return dbfs(float(np.sqrt(np.mean(np.square(audio[mask], dtype=np.float64))))) if mask.any() else dbfs(0.0)


def apply_gain(audio: npt.NDArray[np.float32], sample_rate_hz: int, gain_db: float, peak_dbfs: float) -> Pcm16:
    """Mono speech at any rate and level → 24 kHz PCM, louder by `gain_db`.

    No sample exceeds `peak_dbfs`: where one would, the whole utterance stays quieter. Raises `NoSpeechError`, also
    where nothing of the result is above −60 dBFS.
    """
    scaled, loudest = scale_to_peak(audio, sample_rate_hz)
    scaled *= min(10 ** (gain_db / 20) * loudest, 10 ** (peak_dbfs / 20))
    if not detect_speech_frames(scaled, SAMPLE_RATE_HZ).any():
        raise NoSpeechError("the engine returned silence")
    return to_pcm16(scaled)


def is_peak_limited(pcm: Pcm16, peak_dbfs: float) -> bool:
    """Whether `apply_gain` kept this utterance quieter: its loudest sample is at the limit."""
    loudest = max(int(pcm.max(initial=0)), -int(pcm.min(initial=0)))
    return loudest >= round(32768 * 10 ** (peak_dbfs / 20))


def mix_stereo(placed: Iterable[PlacedSpeech]) -> Stereo:
    """The stereo mix. Each channel is exactly 0 wherever its speaker does not speak.

    Raises ValueError where two turns of a speaker overlap.
    """
    turns = sorted(placed, key=lambda item: (item.role, item.start, item.stop))
    mix = np.zeros((max((turn.stop for turn in turns), default=0), len(ROLES)), np.int16)
    said_until = dict.fromkeys(ROLES, 0)
    for turn in turns:
        if turn.start < said_until[turn.role]:
            raise ValueError(f"turns of the {turn.role} overlap at sample {turn.start}")
        mix[turn.start : turn.stop, ROLES.index(turn.role)] = turn.pcm
        said_until[turn.role] = turn.stop
    return mix


def encode_wav(mix: Stereo) -> bytes:
    """A WAV file, PCM of 16 bits, 24 kHz."""
    buffer = io.BytesIO()
    soundfile.write(buffer, mix, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def read_wav(data: bytes) -> Stereo:
    """The samples of a file of `encode_wav`. Raises ValueError for any other."""
    try:
        mix, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not a WAV file: {error}") from None
    if rate != SAMPLE_RATE_HZ or mix.shape[1] != len(ROLES):
        raise ValueError(f"{mix.shape[1]} channels at {rate} Hz, not 2 at {SAMPLE_RATE_HZ}")
    return mix
