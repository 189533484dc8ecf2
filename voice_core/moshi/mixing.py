"""Speech → one level, one rate; placed speech → stereo. Pure, and the same bytes for the same speech."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from voice_core.audio.pcm import Pcm16, dbfs, resample, to_float, to_pcm16
from voice_core.audio.speech_activity import detect_speech_frames
from voice_core.moshi.script import ROLES, SAMPLE_RATE_HZ, Role
from voice_core.moshi.timing import SpeechExtent
from voice_core.settings import MoshiSettings

MIXING_VERSION = 2

Stereo = npt.NDArray[np.int16]
"""Shape [samples, 2], full scale ±32767: left is the assistant, right is the user."""

_FRAME = SAMPLE_RATE_HZ // 50
_NOTHING = 1e-4  # in amplitude, at whatever level an engine speaks; its loudest sample if that is no speech


class NoSpeechError(ValueError):
    """What an engine gave is no speech: nothing, silence, or not even numbers."""


@dataclass(frozen=True, slots=True)
class PlacedSpeech:
    """What one says, and from which sample on."""

    role: Role
    start: int
    pcm: Pcm16

    @property
    def stop(self) -> int:
        return self.start + len(self.pcm)


def level_dbfs(role: Role, settings: MoshiSettings) -> float:
    return settings.assistant_level_dbfs if role == "assistant" else settings.user_level_dbfs


def measure_extent(pcm: Pcm16) -> SpeechExtent:
    """How much of an utterance at 24 kHz is silence before and after its speech."""
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


@dataclass(frozen=True, slots=True)
class SpeechPower:
    """Of the speech in some audio, without the silence around and within it: the sum of its squares (full scale ±1),
    and of how many samples at 24 kHz."""

    energy: float
    samples: int


def speech_power(audio: npt.NDArray[np.float32], sample_rate_hz: int) -> SpeechPower:
    """Of mono speech at any rate and level. Raises `NoSpeechError`."""
    scaled, loudest = _scaled(audio, sample_rate_hz)
    speech = scaled[np.repeat(detect_speech_frames(scaled, SAMPLE_RATE_HZ), _FRAME)[: len(scaled)]]
    return SpeechPower(float(np.square(speech).sum()) * loudest**2, len(speech))


def apply_gain(audio: npt.NDArray[np.float32], sample_rate_hz: int, gain_db: float, peak_dbfs: float) -> Pcm16:
    """Mono speech at any rate and level → 24 kHz PCM, louder by `gain_db`.

    No sample goes beyond `peak_dbfs`: where it would, all of the utterance stays quieter. Raises `NoSpeechError`, also
    where nothing of it is above −60 dBFS then.
    """
    scaled, loudest = _scaled(audio, sample_rate_hz)
    scaled *= min(10 ** (gain_db / 20) * loudest, 10 ** (peak_dbfs / 20))
    if not detect_speech_frames(scaled, SAMPLE_RATE_HZ).any():
        raise NoSpeechError("the engine gave silence")
    return to_pcm16(scaled)


def is_peak_limited(pcm: Pcm16, peak_dbfs: float) -> bool:
    """Whether `apply_gain` kept this utterance quieter: its loudest sample is the loudest that there may be."""
    loudest = max(int(pcm.max(initial=0)), -int(pcm.min(initial=0)))
    return loudest >= round(32768 * 10 ** (peak_dbfs / 20))


def _scaled(audio: npt.NDArray[np.float32], sample_rate_hz: int) -> tuple[npt.NDArray[np.float64], float]:
    """Audio at 24 kHz with its loudest sample at ±1, and how loud that was: an engine may speak at any level, and
    silence is found at levels of 16 bits. Raises `NoSpeechError`."""
    if audio.ndim != 1 or not len(audio):
        raise NoSpeechError(f"the engine gave audio of shape {audio.shape}, not mono speech")
    if not np.isfinite(audio).all():
        raise NoSpeechError("the engine gave samples that are no numbers")
    at_rate = resample(np.asarray(audio, np.float32), sample_rate_hz, SAMPLE_RATE_HZ)
    loudest = float(np.abs(at_rate).max())
    if loudest <= _NOTHING:
        raise NoSpeechError("the engine gave silence")
    return at_rate.astype(np.float64) / loudest, loudest


def mix_stereo(placed: Iterable[PlacedSpeech]) -> Stereo:
    """All that is said; each channel is exactly 0 wherever its speaker is not speaking.

    Raises ValueError where somebody speaks twice at once.
    """
    turns = sorted(placed, key=lambda item: (item.role, item.start, item.stop))
    mix = np.zeros((max((turn.stop for turn in turns), default=0), len(ROLES)), np.int16)
    said_until = dict.fromkeys(ROLES, 0)
    for turn in turns:
        if turn.start < said_until[turn.role]:
            raise ValueError(f"the {turn.role} would speak twice at once at sample {turn.start}")
        mix[turn.start : turn.stop, ROLES.index(turn.role)] = turn.pcm
        said_until[turn.role] = turn.stop
    return mix


def encode_wav(mix: Stereo) -> bytes:
    """A WAV file, PCM of 16 bits, 24 kHz."""
    buffer = io.BytesIO()
    soundfile.write(buffer, mix, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def read_wav(data: bytes) -> Stereo:
    """The samples of such a file. Raises ValueError for any other."""
    try:
        mix, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"no WAV file: {error}") from None
    if rate != SAMPLE_RATE_HZ or mix.shape[1] != len(ROLES):
        raise ValueError(f"{mix.shape[1]} channels at {rate} Hz, not 2 at {SAMPLE_RATE_HZ}")
    return mix
