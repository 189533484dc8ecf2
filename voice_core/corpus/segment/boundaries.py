"""Boundaries of segments: planned from the times of the lines, then placed at the quietest point of the audio."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from voice_core.audio.pcm import Pcm16
from voice_core.corpus.ingest.transcript_types import BadLine, Line
from voice_core.corpus.segment.fades import apply_fades
from voice_core.settings import CutSettings
from voice_core.stages.verdicts import Reject

CUTTING_VERSION = 1  # part of every segment's fingerprint: increase it when the same input is cut differently

_BLOCK_SEC = 0.005  # resolution of the search for a quiet point
_PULL_DB = 3.0  # cost in dB of moving a boundary to the edge of its window
_OVERRUN_SEC = 0.25  # how far a line may end after the recording: transcripts round up


@dataclass(frozen=True, slots=True)
class BoundaryWindow:
    """The range of a boundary in samples: `low <= at <= high`. `at` is the position in the transcript."""

    low: int
    at: int
    high: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A line to cut. Adjacent lines share one window, and so one boundary."""

    line: Line
    start: BoundaryWindow
    stop: BoundaryWindow


@dataclass(frozen=True, slots=True)
class CutPlan:
    """`cuts` are disjoint and ordered by time. `rejects` are the lines that are not cut, with the reason."""

    cuts: tuple[Cut, ...]
    rejects: tuple[tuple[Line | BadLine, Reject], ...]


@dataclass(frozen=True, slots=True, eq=False)
class CutAudio:
    """The audio of a line: samples `start` to `stop` of the recording, with fades."""

    cut: Cut
    start: int
    stop: int
    pcm: Pcm16


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A line after the end of the recording."""

    cut: Cut
    reject: Reject


CutPiece = CutAudio | OutOfRange


def plan_cuts(lines: Sequence[Line | BadLine], settings: CutSettings) -> CutPlan:
    """Select the lines to cut, and the window within which each boundary may move."""
    rejects: list[tuple[Line | BadLine, Reject]] = []
    valid: list[Line] = []
    for line in lines:
        reject = _check_line(line, settings)
        if reject is not None:
            rejects.append((line, reject))
        elif isinstance(line, Line):
            valid.append(line)
    valid.sort(key=lambda line: (line.start_sec, line.end_sec, line.index))
    accepted: list[Line] = []
    for line, overlap in zip(valid, _overlaps(valid, settings.max_overlap_sec), strict=True):
        inside = bool(accepted) and overlap is None and line.end_sec <= accepted[-1].end_sec
        if overlap is None and not inside:
            accepted.append(line)
            continue
        value = line.end_sec - line.start_sec if overlap is None else overlap
        rejects.append((line, Reject("transcript", "overlap", round(value, 3), settings.max_overlap_sec)))
    return CutPlan(tuple(_assign_windows(accepted, settings)), tuple(rejects))


def _check_line(line: Line | BadLine, settings: CutSettings) -> Reject | None:
    """Check a line on its own."""
    if isinstance(line, BadLine):
        return Reject("transcript", line.reason, message=line.message)
    length = line.end_sec - line.start_sec
    if not line.text.strip():
        return Reject("transcript", "empty_text")
    if line.start_sec < 0 or line.end_sec < 0:
        return Reject("transcript", "negative_time", min(line.start_sec, line.end_sec), 0.0)
    if length <= 0:
        return Reject("transcript", "reversed", round(length, 3), 0.0)
    if length < settings.min_cut_sec:
        return Reject("transcript", "too_short", round(length, 3), settings.min_cut_sec)
    if length > settings.max_cut_sec:
        return Reject("transcript", "too_long", round(length, 3), settings.max_cut_sec)
    return None


def _overlaps(lines: Sequence[Line], tolerance_sec: float) -> Iterator[float | None]:
    """For each line, sorted by start: how far it overlaps another line, if by more than the tolerance.

    Both lines of such a pair are reported, because each contains words of the other. Takes linear time: of the earlier
    lines only the latest end matters, of the later lines only the first one longer than the tolerance.
    """
    latest_end = list(itertools.accumulate((line.end_sec for line in lines), max))
    next_long: list[Line | None] = []
    following: Line | None = None
    for line in reversed(lines):
        next_long.append(following)
        if line.end_sec - line.start_sec > tolerance_sec:
            following = line
    next_long.reverse()
    for i, line in enumerate(lines):
        amounts = []
        if i > 0:
            amounts.append(min(latest_end[i - 1], line.end_sec) - line.start_sec)
        later = next_long[i]
        if later is not None:
            amounts.append(min(line.end_sec, later.end_sec) - later.start_sec)
        most = max(amounts, default=0.0)
        yield most if most > tolerance_sec else None


def _assign_windows(lines: Sequence[Line], settings: CutSettings) -> Iterator[Cut]:
    rate = settings.sample_rate_hz
    reach = settings.snap_reach_sec
    middles = [(line.start_sec + line.end_sec) / 2 for line in lines]

    def window(low: float, at: float, high: float) -> BoundaryWindow:
        low = min(low, high)
        bounds = [max(0, round(t * rate)) for t in (low, min(max(at, low), high), high)]
        return BoundaryWindow(*bounds)

    starts = [
        window(t.start_sec - reach, t.start_sec, min(t.start_sec + reach, m))
        for t, m in zip(lines, middles, strict=True)
    ]
    stops = [
        window(max(t.end_sec - reach, m), t.end_sec, t.end_sec + reach) for t, m in zip(lines, middles, strict=True)
    ]
    for i in range(len(lines) - 1):
        end, start = lines[i].end_sec, lines[i + 1].start_sec
        gap = start - end
        if gap > 2 * reach:
            continue
        low, high = (start - reach, end + reach) if gap >= 0 else (start, end)
        low, high = max(low, middles[i]), min(high, middles[i + 1])
        if low > high:
            low = high = (low + high) / 2
        stops[i] = starts[i + 1] = window(low, (end + start) / 2, high)
    for line, start_window, stop_window in zip(lines, starts, stops, strict=True):
        yield Cut(line, start_window, stop_window)


def find_quietest_sample(pcm: Pcm16, window: BoundaryWindow, base: int, sample_rate_hz: int) -> int:
    """The sample at which to cut: the middle of the quietest block of the window, with a preference for `window.at`.

    `pcm` is the recording from sample `base`. A window that extends past the end of `pcm` ends there.
    """
    block = max(1, round(_BLOCK_SEC * sample_rate_hz))
    high = min(window.high, base + len(pcm))
    count = (high - window.low) // block
    if count < 1:
        return max(window.low, min(window.at, high))
    piece = pcm[window.low - base : window.low - base + count * block].astype(np.float32)
    power = np.square(piece.reshape(count, block)).mean(axis=1)
    level_db = 10.0 * np.log10(power + 1.0)
    middles = window.low + np.arange(count) * block + block // 2
    reach = max(window.at - window.low, window.high - window.at, 1)
    cost = level_db + _PULL_DB * np.abs(middles - window.at) / reach
    return int(middles[int(np.argmin(cost))])


class StreamCutter:
    """Cuts a stream of audio chunks. Keeps only the audio that the next line needs."""

    def __init__(self, cuts: Sequence[Cut], settings: CutSettings) -> None:
        self._pending = list(reversed(cuts))
        self._settings = settings
        self._chunks: list[Pcm16] = []
        self._base = 0
        self._end = 0

    @property
    def done(self) -> bool:
        return not self._pending

    def feed(self, chunk: Pcm16) -> Iterator[CutAudio]:
        """Add the next chunk; yields every line that is complete now."""
        self._chunks.append(chunk)
        self._end += len(chunk)
        while self._pending and self._pending[-1].stop.high <= self._end:
            yield self._take(self._pending.pop())
        needed = self._pending[-1].start.low if self._pending else self._end
        self._discard_before(min(needed, self._end))

    def finish(self) -> Iterator[CutPiece]:
        """End the recording; yields the lines at its end, and those after its end."""
        rate = self._settings.sample_rate_hz
        while self._pending:
            cut = self._pending.pop()
            beyond = (cut.stop.at - self._end) / rate
            if beyond > _OVERRUN_SEC or cut.start.low >= self._end:
                total_sec = round(self._end / rate, 3)
                message = "the recording ends before this line does"
                yield OutOfRange(cut, Reject("decode", "out_of_range", cut.line.end_sec, total_sec, message))
            else:
                yield self._take(cut)

    def _discard_before(self, before: int) -> None:
        """Release the audio before a sample."""
        while self._chunks and self._base + len(self._chunks[0]) <= before:
            self._base += len(self._chunks.pop(0))
        if self._chunks and before > self._base:
            self._chunks[0] = self._chunks[0][before - self._base :]
            self._base = before

    def _take(self, cut: Cut) -> CutAudio:
        if len(self._chunks) > 1:
            self._chunks = [np.concatenate(self._chunks)]
        pcm = self._chunks[0]
        start = find_quietest_sample(pcm, cut.start, self._base, self._settings.sample_rate_hz)
        stop = min(find_quietest_sample(pcm, cut.stop, self._base, self._settings.sample_rate_hz), self._end)
        audio = pcm[start - self._base : max(start, stop) - self._base].copy()
        return CutAudio(cut, start, stop, apply_fades(audio, self._settings))
