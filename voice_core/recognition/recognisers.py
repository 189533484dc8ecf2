"""Speech recognisers, and the comparison of what they recognise with a script."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import Pcm16, resample, to_float, to_pcm16
from voice_core.language import is_english, primary_subtag
from voice_core.recognition.text_words import split_words, spoken_forms
from voice_core.settings import ConfigurationError

SAMPLE_RATE_HZ = 16_000
_MOST_TOKENS = 220  # of 448 in Whisper, half are for what precedes
_LOOP_RATIO = 2.4  # text that compresses better is a loop of the recogniser
_LOOP_WORDS = 4  # tokens that may not come twice in a row of words, after a loop
_LEAST = 1e-12  # a probability of 0 has no logarithm
_UNSPACED = r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]"  # scripts without spaces: each letter counts as a word
_WORD = re.compile(rf"{_UNSPACED}|(?:(?!{_UNSPACED})[^\W_])+")


class Recogniser(Protocol):
    """Speech → its text, in any spelling."""

    @property
    def name(self) -> str: ...

    def recognise(self, pcm: Pcm16, sample_rate_hz: int, language: str) -> str: ...


@dataclass(frozen=True, slots=True)
class RecogniserOptions:
    """Which recogniser to load: "auto", "none", "pocketsphinx", or the folder of a model.

    `setting_prefix` precedes the option names in error messages, such as "moshi.".
    """

    recogniser: str = "auto"
    language: str = "en"  # BCP-47
    setting_prefix: str = ""


def load_recogniser(options: RecogniserOptions) -> Recogniser | None:
    """The recogniser that the options name, or None. Nothing is downloaded.

    Raises ConfigurationError for a folder without a model, and where a package is missing.
    """
    named, setting = options.recogniser, f"{options.setting_prefix}recogniser"
    if named in ("", "none"):
        return None
    if named == "auto":
        able = is_english(options.language) and find_spec("pocketsphinx") is not None
        return PocketsphinxRecogniser() if able else None
    if named == "pocketsphinx":
        if not is_english(options.language):
            raise ConfigurationError(f"{setting} is pocketsphinx, which supports English, not {options.language}")
        _require("pocketsphinx", "pocketsphinx", setting)
        return PocketsphinxRecogniser()
    folder = Path(named).expanduser()
    if (folder / "model.bin").is_file():
        _require("faster_whisper", "faster-whisper", setting)
        return FasterWhisperRecogniser(folder)
    if (folder / "config.json").is_file():
        _require("transformers", "transformers torch", setting)
        return TransformersRecogniser(folder)
    raise ConfigurationError(
        f"{setting} is {named!r}: neither auto, none or pocketsphinx nor a folder with model.bin (of "
        "faster-whisper) or config.json (of transformers)"
    )


def _require(package: str, install: str, setting: str) -> None:
    if find_spec(package) is None:
        raise ConfigurationError(f"{setting} needs a package that is not installed: `pip install {install}`")


@runtime_checkable
class WeighingRecogniser(Recogniser, Protocol):
    """A recogniser that also says how likely given texts are."""

    def log_probabilities(
        self, pcm: Pcm16, sample_rate_hz: int, language: str, texts: Sequence[str]
    ) -> list[float] | None:
        """The natural logarithm of the probability of each text for this speech. None where the model cannot take the
        speech or a text as a whole, since it is too long."""


class PocketsphinxRecogniser:
    """English, by the models in the wheel `pocketsphinx`. In clear speech it gets one word in seven wrong, which is
    good enough to notice speech that says something else, or nothing."""

    name = "pocketsphinx"

    def recognise(self, pcm: Pcm16, sample_rate_hz: int, language: str) -> str:
        self._decoder.reinit_feat()  # otherwise the last utterance influences this one
        self._decoder.start_utt()
        self._decoder.process_raw(to_pcm16(_at_16_khz(pcm, sample_rate_hz)).tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    @cached_property
    def _decoder(self) -> Any:
        from pocketsphinx import Decoder

        return Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL", cmn="batch")


class _FromFolder:
    """A recogniser whose model is in a folder. It runs on the CPU: the speech engine uses the GPU."""

    package = ""

    def __init__(self, folder: Path) -> None:
        self.name = f"{self.package} {folder.name}"
        self._folder = str(folder)


class FasterWhisperRecogniser(_FromFolder):
    """A Whisper model in CTranslate2's format."""

    package = "faster-whisper"

    def recognise(self, pcm: Pcm16, sample_rate_hz: int, language: str) -> str:
        audio = _at_16_khz(pcm, sample_rate_hz)
        code = primary_subtag(language) or None
        segments = self._transcribe(audio, code)
        if any(segment.compression_ratio > _LOOP_RATIO for segment in segments):
            segments = self._transcribe(audio, code, no_repeat_ngram_size=_LOOP_WORDS)
        return " ".join(segment.text.strip() for segment in segments)

    def _transcribe(self, audio: npt.NDArray[np.float32], code: str | None, **options: Any) -> list[Any]:
        """Without sampling, which the library tries after loops: the same speech would not give the same text."""
        segments, _ = self._model.transcribe(
            audio, language=code, beam_size=5, condition_on_previous_text=False, temperature=0.0, **options
        )
        return list(segments)

    def log_probabilities(
        self, pcm: Pcm16, sample_rate_hz: int, language: str, texts: Sequence[str]
    ) -> list[float] | None:
        audio = _at_16_khz(pcm, sample_rate_hz)
        model = self._model
        frames = len(audio) // model.feature_extractor.hop_length
        tokenizer = self._tokenizer(primary_subtag(language) or "en")
        tokens = [tokenizer.encode(f" {text.strip()}") for text in texts]
        if frames > model.feature_extractor.nb_max_frames or max(map(len, tokens)) > _MOST_TOKENS:
            return None
        encoded = model.encode(_padded(model.feature_extractor(audio), model.feature_extractor.nb_max_frames))
        found = (
            model.model.align(encoded, tokenizer.sot_sequence, [item], frames)[0].text_token_probs for item in tokens
        )
        return [float(np.log(np.maximum(probabilities, _LEAST)).sum()) for probabilities in found]

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        multilingual = model.model.is_multilingual
        return Tokenizer(model.hf_tokenizer, multilingual, task="transcribe", language=language)

    @cached_property
    def _model(self) -> Any:
        from faster_whisper import WhisperModel

        return WhisperModel(self._folder, device="cpu", compute_type="int8", local_files_only=True)


class TransformersRecogniser(_FromFolder):
    """Any speech recogniser that the pipeline of transformers loads."""

    package = "transformers"

    def recognise(self, pcm: Pcm16, sample_rate_hz: int, language: str) -> str:
        audio = _at_16_khz(pcm, sample_rate_hz)
        return str(self._pipeline({"raw": audio, "sampling_rate": SAMPLE_RATE_HZ})["text"])

    @cached_property
    def _pipeline(self) -> Any:
        from transformers import pipeline

        return pipeline("automatic-speech-recognition", model=self._folder, device="cpu")


def _padded(features: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    """Features of exactly so many frames."""
    features = features[:, :frames]
    return np.pad(features, ((0, 0), (0, frames - features.shape[1])))


def _at_16_khz(pcm: Pcm16, sample_rate_hz: int) -> npt.NDArray[np.float32]:
    return resample(to_float(pcm), sample_rate_hz, SAMPLE_RATE_HZ)


def normalize_words(text: str, language: str) -> list[str]:
    """The words of a text for comparison: without case and punctuation, English numbers as they are spoken.

    >>> normalize_words("Well – yes, at 7:30!", "en-GB"), normalize_words("Ja, straße 東京", "de")
    (['well', 'yes', 'at', 'seven', 'thirty'], ['ja', 'strasse', '東', '京'])
    """
    if is_english(language):
        return [form for word in split_words(text) for form in spoken_forms(word)]
    return _WORD.findall(text.casefold())


def count_word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """How many words must be inserted, deleted or replaced to turn one sequence into the other.

    >>> count_word_errors("it is on time".split(), "it was on".split()), count_word_errors([], ["a"])
    (2, 1)
    """
    row = list(range(len(hypothesis) + 1))
    for number, word in enumerate(reference, 1):
        corner, row[0] = row[0], number
        for place, other in enumerate(hypothesis, 1):
            corner, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, corner + (word != other))
    return row[-1]
