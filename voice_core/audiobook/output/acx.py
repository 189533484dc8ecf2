"""MP3 as ACX asks for it, https://www.acx.com/help/acx-audio-submission-requirements/201456300: 44.1 kHz, mono,
192 kbit/s CBR, RMS of −23 to −18 dBFS, peaks of at most −3 dBFS, a noise floor of at most −60 dBFS, 0.5 to 1 s of
silence before, 1 to 5 s after, at most 120 minutes.

All is measured in the decoded file: encoding raises peaks. Where it raises them too far, the limit is lowered and the
file is encoded again.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler

from voice_core.audio.pcm import RESAMPLER_OPTIONS, Pcm16, dbfs, to_float, to_pcm16
from voice_core.audiobook.mastering.assembly import Audio
from voice_core.audiobook.mastering.limiter import Limiter
from voice_core.audiobook.mastering.master import MasteredChapter, read_master
from voice_core.audiobook.output.encoders import ACX, encode_audio
from voice_core.settings import AudiobookSettings

RATE_HZ = 44_100
MIN_RMS_DBFS, MAX_RMS_DBFS, MAX_PEAK_DBFS, MAX_FLOOR_DBFS = -23.0, -18.0, -3.0, -60.0
HEAD_SEC, TAIL_SEC, MAX_SEC = (0.5, 1.0), (1.0, 5.0), 120 * 60.0
_TRIES = 10
_RESERVE_DB = 0.1  # how far inside of a limit a new try aims
_FLOOR_WINDOW_SEC = 0.5
_SILENCE = 10 ** (MAX_FLOOR_DBFS / 20)


@dataclass(frozen=True, slots=True)
class AcxPart:
    """A part of a chapter: samples of the master from the first chunk's start to the last one's end. `head` and `tail`
    are the samples of silence around them."""

    start: int
    end: int
    head: int
    tail: int

    @property
    def sample_count(self) -> int:
        return self.head + self.end - self.start + self.tail


@dataclass(frozen=True, slots=True)
class AcxMeasures:
    """What was measured in the encoded file. `gain_db` is the gain over the master."""

    rms_dbfs: float
    peak_dbfs: float
    floor_dbfs: float
    head_sec: float
    tail_sec: float
    duration_sec: float
    gain_db: float = 0.0

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    def problems(self) -> list[str]:
        """What ACX would reject.

        >>> AcxMeasures(-20.0, -3.2, -90.0, 0.75, 2.0, 60.0).problems()
        []
        >>> AcxMeasures(-25.0, -2.9, -90.0, 0.2, 2.0, 60.0).problems()[0]
        'RMS -25.0 dBFS, not between -23 and -18'
        """
        ranges = (
            ("RMS", self.rms_dbfs, MIN_RMS_DBFS, MAX_RMS_DBFS, " dBFS"),
            ("silence at the beginning (chapter_head_sec)", self.head_sec, *HEAD_SEC, " s"),
            ("silence at the end (chapter_tail_sec)", self.tail_sec, *TAIL_SEC, " s"),
        )
        limits = (
            ("peak", self.peak_dbfs, MAX_PEAK_DBFS, " dBFS"),
            ("noise floor", self.floor_dbfs, MAX_FLOOR_DBFS, " dBFS"),
            ("length", self.duration_sec, MAX_SEC, " s"),
        )
        outside = [
            f"{name} {value}{unit}, not between {low:g} and {high:g}"
            for name, value, low, high, unit in ranges
            if not low <= value <= high
        ]
        return outside + [f"{name} {value}{unit}, above {most:g}" for name, value, most, unit in limits if value > most]


def split_chapter(master: MasteredChapter, rate_hz: int, max_sec: float = MAX_SEC) -> list[AcxPart]:
    """The parts of a chapter that are each short enough; they begin and end between chunks. One part as a rule."""
    spans = master.spans
    head, tail = spans[0].start, master.sample_count - spans[-1].end
    room = int(max_sec * rate_hz) - head - tail - rate_hz  # a second, for what the encoder adds
    parts: list[AcxPart] = []
    first = 0
    for at in range(1, len(spans) + 1):
        if at == len(spans) or spans[at].end - spans[first].start > room:
            parts.append(AcxPart(spans[first].start, spans[at - 1].end, head, tail))
            first = at
    return parts


def encode_acx(
    path: Path, raw: Path, part: AcxPart, rate_hz: int, settings: AudiobookSettings, tags: Mapping[str, str]
) -> AcxMeasures:
    """Write a part of the master `raw` to `path`. A part whose measures cannot be met is written as well as possible.

    One constant gain brings the part to the range of the RMS where it is outside, as one with much silence is.
    """
    gain_db, limit_dbfs = _first_gain_db(raw, part), min(settings.peak_limit_dbfs, MAX_PEAK_DBFS - 0.3)
    measured = None
    for _ in range(_TRIES):
        blocks = _part_blocks(raw, part, rate_hz, gain_db, limit_dbfs)
        encode_audio(path, blocks, RATE_HZ, ACX, tags)
        measured = measure_acx(path, gain_db)
        if measured.peak_dbfs > MAX_PEAK_DBFS:
            limit_dbfs -= measured.peak_dbfs - MAX_PEAK_DBFS + _RESERVE_DB
        elif measured.rms_dbfs < MIN_RMS_DBFS + _RESERVE_DB / 2:
            gain_db += 1.5 * (MIN_RMS_DBFS - measured.rms_dbfs) + 2 * _RESERVE_DB  # the limiter takes some of it
        elif measured.rms_dbfs > MAX_RMS_DBFS - _RESERVE_DB / 2:
            gain_db -= measured.rms_dbfs - MAX_RMS_DBFS + _RESERVE_DB
        else:
            break
    assert measured is not None
    return measured


def _first_gain_db(raw: Path, part: AcxPart) -> float:
    """The gain that brings the master itself to the range of the RMS; 0 where it is inside."""
    blocks = map(to_float, read_master(raw, part.start, part.end))
    energy = sum(float(np.square(block, dtype=np.float64).sum()) for block in blocks)
    rms_dbfs = dbfs(float(np.sqrt(energy / part.sample_count)))
    low, high = MIN_RMS_DBFS + 2 * _RESERVE_DB, MAX_RMS_DBFS - 2 * _RESERVE_DB
    return round(min(max(rms_dbfs, low), high) - rms_dbfs, 2)


def _part_blocks(raw: Path, part: AcxPart, rate_hz: int, gain_db: float, limit_dbfs: float) -> Iterator[Pcm16]:
    """The part at 44.1 kHz, limited there: resampling raises peaks, too."""
    silence = (np.zeros(count, np.int16) for count in (part.head, part.tail))
    source = chain([next(silence)], read_master(raw, part.start, part.end), silence)
    gain = 10 ** (gain_db / 20)
    loud = (audio * gain for audio in _resample(source, rate_hz))
    yield from map(to_pcm16, Limiter(RATE_HZ, limit_dbfs).run(loud))


def _resample(blocks: Iterator[Pcm16], rate_hz: int) -> Iterator[Audio]:
    resampler = AudioResampler("dbl", "mono", RATE_HZ, options=RESAMPLER_OPTIONS)
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(to_float(block)[None, :], format="flt", layout="mono")
        frame.sample_rate = rate_hz
        for piece in resampler.resample(frame):
            yield piece.to_ndarray()[0]
    for piece in resampler.resample(None):
        yield piece.to_ndarray()[0]


def measure_acx(path: Path, gain_db: float = 0.0) -> AcxMeasures:
    """Decode a file and measure it, in constant memory. The noise floor is the RMS of the quietest half second."""
    window = round(_FLOOR_WINDOW_SEC * RATE_HZ)
    energy = peak = 0.0
    floor = np.inf
    count = 0
    first = last = -1
    rest = np.zeros(0)
    for audio in _decode(path):
        peak = max(peak, float(np.abs(audio).max(initial=0.0)))
        energy += float(np.square(audio).sum())
        loud = np.flatnonzero(np.abs(audio) > _SILENCE)
        if len(loud):
            first = count + int(loud[0]) if first < 0 else first
            last = count + int(loud[-1])
        count += len(audio)
        rest = np.concatenate([rest, audio])
        whole = len(rest) // window * window
        if whole:
            floor = min(floor, float(np.square(rest[:whole]).reshape(-1, window).mean(axis=1).min()))
            rest = rest[whole:]
    rms = np.sqrt(energy / max(1, count))
    return AcxMeasures(
        rms_dbfs=round(dbfs(float(rms)), 2),
        peak_dbfs=math.ceil(100 * dbfs(peak)) / 100,
        floor_dbfs=round(dbfs(float(np.sqrt(floor)) if np.isfinite(floor) else float(rms)), 2),
        head_sec=round(max(0, first) / RATE_HZ, 3),
        tail_sec=round((count - 1 - last) / RATE_HZ, 3),
        duration_sec=round(count / RATE_HZ, 3),
        gain_db=round(gain_db, 2),
    )


def _decode(path: Path) -> Iterator[Audio]:
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            yield frame.to_ndarray()[0].astype(np.float64)
