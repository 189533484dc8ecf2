"""Aligners: when each word of an utterance is spoken."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import Pcm16, resample, to_float, to_pcm16
from voice_core.audio.speech_level import detect_speech_frames
from voice_core.language import is_english
from voice_core.recognition.text_words import READINGS, guess_phones, split_words, spoken_forms
from voice_core.recognition.word_times import Aligner, Alignment, AlignmentError, Word, validate_word_times

_EPS_SEC = 1e-9
_SPHINX_HZ = 16_000
_SPHINX_FRAMES_PER_SEC = 100
# Beam widths. The narrow search is fast and finds most words; the wide one finds more, such as names, at several times
# the work.
_BEAMS: tuple[dict[str, float], ...] = ({}, {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100})
_VARIANT = re.compile(r"\(\d+\)$")  # "the(2)" is another way to say "the"


Seconds = npt.NDArray[np.float64]


class ApproximateAligner:
    """Splits the time that is speech among the words by their letters. For any language; pauses are left out."""

    name = "approximate"
    revision = "2"

    def align(self, pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Alignment:
        texts = split_words(text)
        frames = np.flatnonzero(detect_speech_frames(to_float(pcm), sample_rate_hz))
        if not len(frames) or not texts:
            raise AlignmentError("there is no speech" if texts else "there are no words")
        lengths = np.array([sum(char.isalnum() for char in word) + 1 for word in texts], np.float64)
        size = max(1, sample_rate_hz // 50)
        begin = frames * size / sample_rate_hz
        passed = np.cumsum(np.minimum((frames + 1) * size, len(pcm)) / sample_rate_hz - begin)
        edges = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum() * passed[-1]
        starts = [_at(begin, passed, edge) for edge in edges[:-1]]
        ends = [_at(begin, passed, edge, ending=True) for edge in edges[1:]]
        words = [Word(*item) for item in zip(texts, starts, ends, strict=True)]
        return Alignment(validate_word_times(words, texts, pcm, sample_rate_hz), approximate=True)


def _at(begin: Seconds, passed: Seconds, position_sec: float, *, ending: bool = False) -> float:
    """The time at which so much speech has passed; at a pause, its beginning if `ending`, else its end.

    `begin` is where each frame of speech begins, `passed` the speech up to its end; both have shape [frames].
    """
    frame = int(np.searchsorted(passed, position_sec + (-_EPS_SEC if ending else _EPS_SEC), side="right"))
    frame = min(frame, len(passed) - 1)
    before = passed[frame - 1] if frame else 0.0
    return float(begin[frame] + position_sec - before)


class PocketsphinxAligner:
    """English, by the acoustic model and dictionary in the wheel `pocketsphinx` (extra `moshi`).

    A word that the dictionary lacks gets a pronunciation guessed from its letters. Each common reading of a number is
    tried.
    """

    name = "pocketsphinx"

    def __init__(self) -> None:
        """Raises ImportError where pocketsphinx is not installed."""
        from importlib.metadata import version

        from pocketsphinx import Decoder

        self.revision = f"{version('pocketsphinx')}+1"
        self._decoders: list[Any] = []
        self._new = Decoder
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _cached_aligner, (PocketsphinxAligner,)

    def align(self, pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Alignment:
        texts = split_words(text)
        readings = [[spoken_forms(word, reading) for word in texts] for reading in READINGS]
        unreadable = [word for word, spoken in zip(texts, readings[0], strict=True) if not spoken]
        if unreadable or not texts:
            raise AlignmentError(f"{unreadable[0]!r} cannot be read as English" if unreadable else "there are no words")
        audio = to_pcm16(resample(to_float(pcm), sample_rate_hz, _SPHINX_HZ)).tobytes()
        tried: set[tuple[str, ...]] = set()
        last_error = AlignmentError("pocketsphinx could not find the text in the speech")
        for beam in range(len(_BEAMS)):
            tried.clear()
            for spoken in readings:
                forms = tuple(form for word in spoken for form in word)
                if forms in tried:
                    continue
                tried.add(forms)
                with self._lock:
                    found = self._align_forms(beam, audio, forms)
                if found is not None:
                    try:
                        return Alignment(validate_word_times(_words(texts, spoken, found), texts, pcm, sample_rate_hz))
                    except AlignmentError as error:
                        last_error = error
        raise last_error

    def _decoder(self, beam: int) -> Any:
        while len(self._decoders) <= beam:
            # With "batch" the level of an utterance is found in itself, not in earlier ones.
            more = _BEAMS[len(self._decoders)]
            self._decoders.append(self._new(samprate=_SPHINX_HZ, lm=None, loglevel="FATAL", cmn="batch", **more))
        return self._decoders[beam]

    def _align_forms(self, beam: int, audio: bytes, forms: Sequence[str]) -> list[tuple[float, float]] | None:
        """Where each form begins and ends, seconds; None where they are not found."""
        decoder = self._decoder(beam)
        for form in forms:
            if decoder.lookup_word(form) is None:
                decoder.add_word(form, guess_phones(form), True)
        try:
            decoder.reinit_feat()  # otherwise the last utterance influences this one
            decoder.set_align_text(" ".join(forms))
            decoder.start_utt()
            decoder.process_raw(audio, full_utt=True)
            decoder.end_utt()
            segments = list(decoder.seg() or ())
        except RuntimeError:
            return None
        words = [item for item in segments if not item.word.startswith(("<", "["))]
        if [_VARIANT.sub("", item.word) for item in words] != list(forms):
            return None
        rate = _SPHINX_FRAMES_PER_SEC
        return [(item.start_frame / rate, (item.end_frame + 1) / rate) for item in words]


def _words(texts: Sequence[str], spoken: Sequence[Sequence[str]], found: Sequence[tuple[float, float]]) -> list[Word]:
    """A script's word lasts from the first to the last of its spoken forms."""
    words, at = [], 0
    for text, forms in zip(texts, spoken, strict=True):
        words.append(Word(text, found[at][0], found[at + len(forms) - 1][1]))
        at += len(forms)
    return words


class AutoAligner:
    """Pocketsphinx for English, if it is installed; `other` for other languages, if it is given; otherwise, and where
    these fail, an approximate split."""

    name = "auto"

    def __init__(self, other: Aligner | None = None) -> None:
        self._fallback = ApproximateAligner()
        self._other = other
        self._english: Aligner | None
        try:
            self._english = PocketsphinxAligner()
        except ImportError:
            self._english = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _cached_aligner, (AutoAligner, *([self._other] if self._other else []))

    @property
    def revision(self) -> str:
        parts = [aligner for aligner in (self._english, self._other, self._fallback) if aligner is not None]
        return "+".join(f"{aligner.name}-{aligner.revision}" for aligner in parts)

    def align(self, pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Alignment:
        fitting = self._english if is_english(language) else self._other
        if fitting is not None:
            try:
                return fitting.align(pcm, sample_rate_hz, text, language)
            except AlignmentError:  # an approximate split is still possible
                return self._fallback.align(pcm, sample_rate_hz, text, language)
        return self._fallback.align(pcm, sample_rate_hz, text, language)


@cache
def _cached_aligner(aligner: Callable[..., Aligner], *given: Any) -> Aligner:
    return aligner(*given)


AlignerName = Literal["auto", "pocketsphinx", "ctc", "approximate"]


@dataclass(frozen=True, slots=True)
class AlignerOptions:
    """Which aligner to load. `setting_prefix` precedes the option names in error messages, such as "moshi."."""

    aligner: AlignerName = "auto"
    ctc_model: str = ""  # a folder or a hub id
    ctc_revision: str = "main"
    setting_prefix: str = ""


def load_aligner(options: AlignerOptions) -> Aligner:
    """The aligner that the options name. Raises ValueError where its package or its model is missing."""
    prefix = options.setting_prefix
    if options.aligner == "approximate":
        return ApproximateAligner()
    if options.aligner == "ctc" and not options.ctc_model:
        raise ValueError(f"{prefix}aligner is ctc, and {prefix}ctc_model names no model")
    if options.aligner in ("ctc", "auto"):
        from voice_core.recognition.ctc_aligner import ctc_aligner

        try:
            model = ctc_aligner(options.ctc_model, options.ctc_revision) if options.ctc_model else None
        except ValueError as error:
            raise ValueError(f"{prefix}ctc_model: {error}") from None
        return model if model is not None and options.aligner == "ctc" else AutoAligner(model)
    try:
        return PocketsphinxAligner()
    except ImportError:
        raise ValueError(
            f"{prefix}aligner is pocketsphinx, which is not installed: `pip install pocketsphinx`"
        ) from None
