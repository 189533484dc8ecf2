"""Tier 2: what a recogniser hears in a take, compared with its text by sound."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from voice_core.audio.pcm import Pcm16
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.validation.config import Tier2Config
from voice_core.audiobook.validation.doubts import corrected_texts, count_confirmed
from voice_core.audiobook.validation.heard import heard_text
from voice_core.audiobook.validation.sounds import Comparison, compare_by_sound
from voice_core.recognition.recognisers import Recogniser, RecogniserOptions, WeighingRecogniser, load_recogniser
from voice_core.settings import ConfigurationError

VERSION = 2
_WORDS_WITH_ERRORS = 5
_PREFIX = "audiobook.validation: tier2."


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was recognised; `words` is the number of words of the text, `errors` how many were heard wrong, by sound.

    `confirmed` is how many of these are errors of the speech and not of the recogniser; None where the recogniser gives
    no probabilities.
    """

    text: str
    words: int
    errors: int
    recogniser: str
    confirmed: int | None = None

    @property
    def error_rate(self) -> float:
        return round(self.errors / max(1, self.words), 4)

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "word_error_rate": self.error_rate}


def resolve_model(name: str, config: Tier2Config, key: str = "whisper_model") -> str:
    """The recogniser that a model's name stands for: pocketsphinx, or a folder. Raises ConfigurationError."""
    if name == "pocketsphinx":
        return name
    folders = [Path(name).expanduser()]
    if config.models_folder:
        folders.append(Path(config.models_folder).expanduser() / name)
    for folder in folders:
        if folder.is_dir():
            return str(folder)
    raise ConfigurationError(
        f"{_PREFIX}{key} is {name!r}, and there is no such folder"
        + (f" here or in {config.models_folder}" if config.models_folder else "")
        + ". Nothing is downloaded: name the folder of a model of faster-whisper (with model.bin) or transformers, set "
        "tier2.models_folder to the folder that has it, or use pocketsphinx"
    )


def check_models(config: Tier2Config, languages: Iterable[str]) -> None:
    """Raises ConfigurationError where a model that the settings name is missing, or does not know a language."""
    models = [resolve_model(config.whisper_model, config)]
    if config.larger_model:
        models.append(resolve_model(config.larger_model, config, "larger_model"))
    for model in models:
        for language in languages:
            _load(model, language or "en")


@cache
def _load(model: str, language: str) -> Recogniser:
    """The recogniser, once in each process."""
    recogniser = load_recogniser(RecogniserOptions(model, language, _PREFIX))
    if recogniser is None:
        raise ConfigurationError(f"{_PREFIX}whisper_model selects no recogniser")
    return recogniser


def recognise(pcm: Pcm16, sample_rate_hz: int, chunk: ChunkRow, config: Tier2Config) -> Recognition:
    """Recognise a take; where too many words are wrong, again by the larger model, which counts then."""
    found = _recognise(resolve_model(config.whisper_model, config), pcm, sample_rate_hz, chunk, config)
    if config.larger_model and judge(found, config):
        model = resolve_model(config.larger_model, config, "larger_model")
        return _recognise(model, pcm, sample_rate_hz, chunk, config)
    return found


def _recognise(model: str, pcm: Pcm16, sample_rate_hz: int, chunk: ChunkRow, config: Tier2Config) -> Recognition:
    language = chunk.language or "en"
    recogniser = _load(model, language)
    text = recogniser.recognise(pcm, sample_rate_hz, language)
    comparison = compare(text, chunk)
    confirmed = None
    if isinstance(recogniser, WeighingRecogniser):
        texts = corrected_texts(comparison)
        found = recogniser.log_probabilities(pcm, sample_rate_hz, language, texts) if comparison.errors else [0.0]
        confirmed = None if found is None else count_confirmed(comparison, found, language, config.least_log_ratio)
    return Recognition(text, len(comparison.wanted.words), comparison.errors, recogniser.name, confirmed)


def compare(text: str, chunk: ChunkRow) -> Comparison:
    """What was recognised against the book's words and the words that the engine got; the nearer of both counts."""
    written = dict.fromkeys((heard_text(chunk), chunk.text))
    compared = [compare_by_sound(item, text, chunk.language or "en") for item in written]
    return min(compared, key=lambda item: (item.errors, len(item.wanted.words)))


def judge(found: Recognition, config: Tier2Config) -> list[tuple[str, str]]:
    """The tests that a take fails, each with a message.

    A recogniser gets about one word in a hundred wrong itself: where it cannot tell these, some errors are allowed.
    """
    always = config.allowed_errors if found.words >= _WORDS_WITH_ERRORS else 0
    allowed = max(always, int(config.max_word_errors * found.words)) if found.confirmed is None else 0
    errors = found.errors if found.confirmed is None else found.confirmed
    if errors <= allowed:
        return []
    return [("words", f"{errors} of {found.words} words are wrong; {found.recogniser} heard {found.text!r}")]
