"""Renders a recording: synthesised lines, pauses, room noise, and the slightly inexact times of an annotator."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voice_core.demo.audio_encoder import Samples
from voice_core.demo.faults import LineFault
from voice_core.demo.recording_specs import RecordingSpec
from voice_core.demo.script import ScriptLine, Speaker
from voice_core.demo.transcripts import TranscriptRow

SAMPLE_RATE_HZ: Final = 24_000
SPEECH_DBFS: Final = -23.0
"""RMS of every spoken line."""
JITTER_SEC: Final = 0.06
"""Maximum error of an annotator's times."""

LineAudio = npt.NDArray[np.float32]
"""A synthesised line: mono, at SAMPLE_RATE_HZ, without the silence around it."""
SynthesisedLines = Mapping[tuple[str, str], LineAudio]
"""Synthesised lines by (voice, text)."""

_LEAD_SEC, _TAIL_SEC = 0.6, 0.7
_PAN = ((1.0, 0.84), (0.84, 1.0))  # gains of the two channels for each speaker: one is left, one right
_DAMAGE_MARGIN_SEC = 0.2  # damage extends past the line by more than the annotation error, within the pauses


@dataclass(frozen=True, slots=True)
class RenderedRecording:
    """The sound of a recording, shape [channels, samples] at SAMPLE_RATE_HZ, and its transcript's segments."""

    samples: Samples
    segments: list[object]


def assign_speakers(plan: RecordingSpec) -> list[tuple[Speaker, ScriptLine | LineFault]]:
    """The speaker of each line: the two take turns of one to three lines."""
    rng = _rng(plan, "cast")
    turns: list[int] = []
    who = 0
    while len(turns) < len(plan.lines):
        turns += [who] * int(rng.integers(1, 4))
        who = 1 - who
    return [(plan.cast[who], line) for who, line in zip(turns, plan.lines, strict=False)]


def render_recording(plan: RecordingSpec, spoken: SynthesisedLines) -> RenderedRecording:
    """Place the lines one after another with pauses between them, add the room noise, then the defects."""
    rng = _rng(plan, "times")
    cast = assign_speakers(plan)
    voices = [spoken[speaker.voice, line.spoken] for speaker, line in cast]
    pauses = rng.uniform(*plan.pauses_sec, len(cast))
    lengths_sec = np.array([len(voice) / SAMPLE_RATE_HZ for voice in voices])
    starts = _LEAD_SEC + np.concatenate(([0.0], np.cumsum(lengths_sec + pauses)[:-1]))
    total_sec = float(starts[-1] + lengths_sec[-1]) + _TAIL_SEC

    channels = plan.format.channels
    samples = make_room_noise(_rng(plan, "room"), channels, round(total_sec * SAMPLE_RATE_HZ), plan.noise_dbfs)
    segments: list[object] = []
    for (speaker, line), voice, start_sec in zip(cast, voices, starts, strict=True):
        start = round(start_sec * SAMPLE_RATE_HZ)
        stop = start + len(voice)
        gains = _PAN[plan.cast.index(speaker)] if channels == 2 else (1.0,)
        samples[:, start:stop] += np.outer(gains, voice).astype(np.float32)
        early, late = rng.uniform(-JITTER_SEC, JITTER_SEC, 2)
        row: TranscriptRow = {
            "start": round(start / SAMPLE_RATE_HZ + float(early), 3),
            "end": round(stop / SAMPLE_RATE_HZ + float(late), 3),
            "text": line.written if isinstance(line, ScriptLine) else line.spoken,
            "speaker_id": speaker.speaker_id,
            "gender": speaker.gender,
            "dialect": speaker.dialect,
            "tone": speaker.tone,
        }
        segments.append(row if isinstance(line, ScriptLine) else line.rewrite(row, total_sec))
        if isinstance(line, LineFault) and line.damage is not None:
            margin = round(_DAMAGE_MARGIN_SEC * SAMPLE_RATE_HZ)
            around = slice(start - margin, stop + margin)
            samples[:, around] = line.damage(samples[:, around], SAMPLE_RATE_HZ)
    return RenderedRecording(samples, segments)


def trim_and_normalise(audio: LineAudio) -> LineAudio:
    """Trim the silence around speech, and set its RMS to SPEECH_DBFS with peaks below -1 dBFS."""
    block = SAMPLE_RATE_HZ // 100
    blocks = audio[: len(audio) // block * block].reshape(-1, block)
    loud = np.flatnonzero(np.sqrt(np.mean(blocks**2, axis=1)) > 10 ** (-50 / 20))
    kept = audio[max(0, loud[0] - 2) * block : (loud[-1] + 3) * block]
    gain = 10 ** (SPEECH_DBFS / 20) / np.sqrt(np.mean(kept**2))
    return kept * np.float32(min(gain, 10 ** (-1 / 20) / np.max(np.abs(kept))))


def make_room_noise(rng: np.random.Generator, channels: int, sample_count: int, dbfs: float) -> Samples:
    """The noise of a room: pink above 100 Hz, flat below, RMS `dbfs`, different in every channel.

    It repeats without a seam every eleven seconds, which spares a Fourier transform of the whole recording.
    """
    period = 1 << 18
    spectrum = np.fft.rfft(rng.standard_normal((channels, period), dtype=np.float32))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(period, 1 / SAMPLE_RATE_HZ), 100))
    noise = np.fft.irfft(spectrum, period)
    noise *= 10 ** (dbfs / 20) / np.sqrt(np.mean(noise**2))
    return np.tile(noise.astype(np.float32), -(-sample_count // period))[:, :sample_count]


def _rng(plan: RecordingSpec, purpose: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{plan.key}/{purpose}".encode()))
