"""Hibari: the embedded speech engine. English, 24 kHz, weights in the wheel, no GPU and no download."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
from av import AudioFrame, AudioResampler
from hibari import SAMPLE_RATE, Hibari, __version__
from hibari.dsp import FFT_BACKEND
from hibari.voices import DEFAULT, VOICES

from voice_core.tts.base import Capabilities, EngineBase, Samples, Speech, Utterance
from voice_core.tts.declaration import EngineDeclaration, NoSettings

LOW_SUFFIX: Final = "-low"
LOW_RATIO: Final = 0.85
"""Pitch and formants of a low voice against its original: 0.85 is 15 % lower, about three semitones."""


class HibariEngine(EngineBase):
    """The voices in the wheel, and each of them also as `<voice>-low`, 15 % lower.

    A low voice is spoken faster and then slowed down by the same factor, so that both voices have about the same pace.
    `default` is the wheel's default voice. One instance may be used by several threads; the model runs on the calling
    thread alone.
    """

    name = "hibari"
    # The two FFT libraries differ in the last bit, and so does the audio.
    revision = f"{__version__}+{FFT_BACKEND}.shift1"
    sample_rate_hz = SAMPLE_RATE
    capabilities = Capabilities(deterministic=True, thread_safe=True, languages=("en",), inline_phonemes=True)
    voices = tuple(
        name for voice, about in VOICES.items() if about.get("bundled") for name in (voice, voice + LOW_SUFFIX)
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, Hibari] = {}

    def speak(self, utterance: Utterance) -> Speech:
        """Say `utterance.text` at 24 kHz.

        Raises:
            ValueError: the voice is unknown, or the text has nothing that this engine can pronounce
                (it is empty, or in another script than Latin).
        """
        began = time.perf_counter()
        voice = DEFAULT if utterance.voice == "default" else utterance.voice
        if voice not in self.voices:
            raise ValueError(f"hibari has no voice {voice!r}; it has {', '.join(self.voices)}")
        say = partial(self._model(voice.removesuffix(LOW_SUFFIX)), utterance.text, seed=utterance.seed)
        audio = lower_pitch(say(speed=1 / LOW_RATIO)) if voice.endswith(LOW_SUFFIX) else say()
        if not len(audio):
            raise ValueError(f"hibari cannot pronounce any of {utterance.text!r}; it reads English text only")
        return Speech(audio, SAMPLE_RATE, self.name, self.revision, time.perf_counter() - began)

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """The whole audio as one piece: the model is faster than a split by sentences would be."""
        yield self.speak(utterance).audio

    def warm(self, voice: str) -> None:
        """Load the model. An unknown voice is ignored here; `speak` rejects it."""
        name = (DEFAULT if voice == "default" else voice).removesuffix(LOW_SUFFIX)
        if name in self.voices:
            self._model(name)

    def clear(self) -> None:
        """Nothing to drop: the models cannot change."""

    def _model(self, voice: str) -> Hibari:
        with self._lock:
            if voice not in self._models:
                model = Hibari(voice)
                _ = model.g2p  # loads its dictionaries, which two threads must not do at once
                self._models[voice] = model
            return self._models[voice]


def lower_pitch(audio: npt.NDArray[np.float32], ratio: float = LOW_RATIO) -> npt.NDArray[np.float32]:
    """Slow mono `audio` down to `ratio` of its speed: lower by `ratio`, longer by 1/`ratio`.

    The audio is taken as sampled at `ratio` times its rate and resampled back by libswresample's windowed
    sinc, which leaves no images above the old band.
    """
    if not len(audio):
        return audio
    resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE, options={"filter_size": "256"})
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(audio[None]), format="flt", layout="mono")
    frame.sample_rate = round(SAMPLE_RATE * ratio)
    slowed = [out.to_ndarray()[0] for step in (frame, None) for out in resampler.resample(step)]
    return np.concatenate(slowed).astype(np.float32, copy=False)


def _create(_: NoSettings) -> HibariEngine:
    return HibariEngine()


ENGINE = EngineDeclaration("hibari", _create, memory_gb=0.3)
