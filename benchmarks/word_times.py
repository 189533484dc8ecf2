"""Word times of the left channel, held against a recogniser of another make and against where sound begins and ends.

Whisper's word times come from its attention, in steps of 20 ms, and who is right is not said by a difference. So there
are two judges more, which know nothing of words. Where the channel's energy rises after a pause, a word begins, and
where it falls before one, a word ends. And a word that begins with a hiss, after one that does not end with one,
begins where most of the power goes beyond 4 kHz: that is in the middle of speech, where no pause helps.
"""

import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile

RECOGNISER_VARIABLE: Final = "BENCH_RECOGNISER"
"""Path of a virtual environment, or of a Python, that has what `recogniser` needs."""
_FRAME_SEC: Final = 0.005
_BELOW_PEAK_DB: Final = 40.0
_PAUSE_SEC: Final = 0.15
_NEAR_SEC: Final = 0.5  # a word further from an edge than this is not the one that makes it
_HISS_HZ: Final = 4_000
_HISS_WITHIN_SEC: Final = 0.15  # it is looked for so much before the first and after the last that anybody says
_HISS_FRAMES: Final = 5  # 25 ms: shorter ones are the bursts of t and k
_HISSING = re.compile(r"(?:s|z|c[eiy])")
_HISSED = re.compile(r"(?:[sxzc]|[cszx]e|[sc]h|ge|t|ts|d)$")  # t and d may hiss, too

TimedWord = tuple[str, float, float]
"""Word, start, end: seconds."""


@dataclass(slots=True)
class TimingErrors:
    """Absolute differences, milliseconds."""

    start_ms: list[float] = field(default_factory=list)
    end_ms: list[float] = field(default_factory=list)
    signed_start_ms: list[float] = field(default_factory=list)
    signed_end_ms: list[float] = field(default_factory=list)

    def add(self, start_sec: float | None, end_sec: float | None) -> None:
        for value, plain, signed in (
            (start_sec, self.start_ms, self.signed_start_ms),
            (end_sec, self.end_ms, self.signed_end_ms),
        ):
            if value is not None:
                plain.append(abs(1000 * value))
                signed.append(1000 * value)

    def row(self, name: str) -> list[str]:
        def shown(values: Sequence[float], signed: Sequence[float]) -> list[str]:
            if not values:
                return ["–", "–", "–"]
            return [f"{percentile(values, 50):.0f}", f"{percentile(values, 90):.0f}", f"{percentile(signed, 50):+.0f}"]

        numbers = [*shown(self.start_ms, self.signed_start_ms), *shown(self.end_ms, self.signed_end_ms)]
        return [name, f"{len(self.start_ms)}", *numbers]

    def figures(self) -> dict[str, float]:
        return {
            f"{name}_{share}_ms": round(percentile(values, share), 1)
            for name, values in (
                ("start", self.start_ms),
                ("end", self.end_ms),
                ("signed_start", self.signed_start_ms),
                ("signed_end", self.signed_end_ms),
            )
            for share in (50, 90)
            if values
        }


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share))


@dataclass(slots=True)
class RecogniserComparison:
    """A recogniser: our times against its, and its own against edges and hisses. `matched` is a share of our words."""

    ours: TimingErrors = field(default_factory=TimingErrors)
    at_edges: TimingErrors = field(default_factory=TimingErrors)
    at_hisses: TimingErrors = field(default_factory=TimingErrors)
    matched: float = 0.0


@dataclass(slots=True)
class WordTimes:
    """`recognisers` is empty where none is installed."""

    words: int = 0
    at_edges: TimingErrors = field(default_factory=TimingErrors)
    at_hisses: TimingErrors = field(default_factory=TimingErrors)
    recognisers: dict[str, RecogniserComparison] = field(default_factory=dict)


def write_left_channels(wavs: Sequence[Path], folder: Path) -> None:
    for wav in wavs:
        sound, rate = soundfile.read(wav, dtype="int16", always_2d=True)
        soundfile.write(folder / wav.name, sound[:, 0], rate, subtype="PCM_16")


def read_main_words(wav: Path) -> list[TimedWord]:
    found = json.loads(wav.with_suffix(".json").read_text("utf-8"))["alignments"]
    return [(word, start, end) for word, (start, end), label in found if label == "SPEAKER_MAIN"]


def compare_word_times(wavs: Sequence[Path]) -> WordTimes:
    """Compare the sidecars of these stereo files."""
    result = WordTimes()
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as name:
        folder = Path(name)
        write_left_channels(wavs, folder)
        recognised_words = run_recognisers(folder)
        result.recognisers = {model: RecogniserComparison() for model in recognised_words}
        pairs = dict.fromkeys(recognised_words, 0)
        for wav in wavs:
            ours = read_main_words(wav)
            result.words += len(ours)
            sound, rate = soundfile.read(folder / wav.name, dtype="float32")
            begins, ends = find_sound_edges(sound, rate)
            _add_edge_errors(result.at_edges, ours, begins, ends)
            known: dict[str, dict[TimedWord, TimedWord]] = {}
            for model, comparison in result.recognisers.items():
                theirs = recognised_words[model][wav.stem]
                _add_edge_errors(comparison.at_edges, theirs, begins, ends)
                known[model] = dict(match_words(ours, theirs))
                pairs[model] += len(known[model])
                for mine, other in known[model].items():
                    comparison.ours.add(mine[1] - other[1], mine[2] - other[2])
            for before, mine in pairwise(ours):
                compared = [(result.at_hisses, mine)]
                compared += [
                    (comparison.at_hisses, known[model][mine])
                    for model, comparison in result.recognisers.items()
                    if mine in known[model]
                ]
                _add_hiss_error(sound, rate, before, mine, compared)
    for model, comparison in result.recognisers.items():
        comparison.matched = pairs[model] / result.words if result.words else 0.0
    return result


def run_recognisers(folder: Path) -> dict[str, dict[str, list[TimedWord]]]:
    """What recognisers heard in each file: by model, then by stem; empty where there is none."""
    from benchmarks import recogniser

    named = os.environ.get(RECOGNISER_VARIABLE)
    if not named:
        try:
            return recogniser.recognise_folder(folder)
        except ImportError:
            return {}
    python = Path(named, "bin", "python") if Path(named).is_dir() else Path(named)
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [str(python), str(Path(recogniser.__file__)), str(folder)]
    done = subprocess.run(command, env=clean, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"{RECOGNISER_VARIABLE}={named} cannot recognise:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {}
    return {
        model: {stem: [(word, start, end) for word, start, end in words] for stem, words in found.items()}
        for model, found in json.loads(done.stdout).items()
    }


def match_words(ours: Sequence[TimedWord], theirs: Sequence[TimedWord]) -> list[tuple[TimedWord, TimedWord]]:
    """Words that both have, by text alone.

    >>> match_words([("Yes,", 0, 1), ("it", 1, 2), ("is.", 2, 3)], [("yes", 0, 1), ("is", 2, 3)])
    [(('Yes,', 0, 1), ('yes', 0, 1)), (('is.', 2, 3), ('is', 2, 3))]
    """
    plain = [[re.sub(r"[^a-z']", "", word.lower()) for word, _, _ in side] for side in (ours, theirs)]
    blocks = difflib.SequenceMatcher(None, plain[0], plain[1], autojunk=False).get_matching_blocks()
    return [(ours[block.a + step], theirs[block.b + step]) for block in blocks for step in range(block.size)]


def find_sound_edges(sound: npt.NDArray[np.float32], rate: int) -> tuple[list[float], list[float]]:
    """Where sound begins after a pause of at least 0.15 s, and where it ends before one, in seconds."""
    size = round(rate * _FRAME_SEC)
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    level = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))
    loud = np.flatnonzero(level > level.max() * 10 ** (-_BELOW_PEAK_DB / 20))
    gaps = np.flatnonzero(np.diff(loud) > _PAUSE_SEC / _FRAME_SEC)
    begins = [loud[0], *loud[gaps + 1]]
    ends = [*(loud[gaps] + 1), loud[-1] + 1]
    return [float(at) * _FRAME_SEC for at in begins], [float(at) * _FRAME_SEC for at in ends]


def _add_edge_errors(
    errors: TimingErrors, words: Sequence[TimedWord], begins: Sequence[float], ends: Sequence[float]
) -> None:
    """The word nearest to each edge."""
    if not words:
        return
    for place, found in ((1, begins), (2, ends)):
        times = np.array([word[place] for word in words])
        for edge in found:
            off = float(times[np.abs(times - edge).argmin()] - edge)
            if abs(off) < _NEAR_SEC:
                errors.add(off if place == 1 else None, off if place == 2 else None)


def _add_hiss_error(
    sound: npt.NDArray[np.float32],
    rate: int,
    before: TimedWord,
    word: TimedWord,
    compared: Sequence[tuple[TimingErrors, TimedWord]],
) -> None:
    """Where the word begins with a hiss, and the one hiss near it begins."""
    plain = [re.sub(r"[^a-z]", "", text.lower()) for text, _, _ in (before, word)]
    if _HISSED.search(plain[0]) or not _HISSING.match(plain[1]) or word[1] - before[2] > 0.05:
        return
    times = [timed[1] for _, timed in compared]
    found = find_hiss_onsets(sound, rate, min(times) - _HISS_WITHIN_SEC, max(times) + _HISS_WITHIN_SEC)
    if len(found) == 1:
        for errors, timed in compared:
            errors.add(timed[1] - found[0], None)


def find_hiss_onsets(sound: npt.NDArray[np.float32], rate: int, from_sec: float, to_sec: float) -> list[float]:
    """Where stretches of hiss begin, seconds; not one that has begun before `from_sec`."""
    step, size = round(rate * _FRAME_SEC), round(rate * 2 * _FRAME_SEC)
    first = max(0, round(from_sec / _FRAME_SEC))
    places = range(first, min(round(to_sec / _FRAME_SEC), (len(sound) - size) // step))
    power = [np.abs(np.fft.rfft(sound[at * step : at * step + size] * np.hanning(size))) ** 2 for at in places]
    border = round(_HISS_HZ * size / rate)
    floor = float(np.max([each.sum() for each in power], initial=0.0)) * 10 ** (-_BELOW_PEAK_DB / 10)
    is_hiss = [bool(each[border:].sum() > max(each[:border].sum(), floor)) for each in power]
    begins, at = [], first
    for hissing, run in groupby(is_hiss):
        length = len(list(run))
        if hissing and length >= _HISS_FRAMES and at > first:
            begins.append((at + 0.5) * _FRAME_SEC)  # a frame's middle lies a step after its beginning
        at += length
    return begins
