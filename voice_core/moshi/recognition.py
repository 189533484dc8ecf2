"""The aligner and the recogniser that the settings of Moshi name."""

from voice_core.recognition.aligners import AlignerOptions, load_aligner
from voice_core.recognition.recognisers import Recogniser, RecogniserOptions, load_recogniser
from voice_core.recognition.word_times import Aligner
from voice_core.settings import MoshiSettings

_PREFIX = "moshi."


def load_moshi_aligner(settings: MoshiSettings) -> Aligner:
    """Raises ValueError where its package or its model is missing."""
    return load_aligner(AlignerOptions(settings.aligner, settings.ctc_model, settings.ctc_revision, _PREFIX))


def load_moshi_recogniser(settings: MoshiSettings) -> Recogniser | None:
    """None where nothing checks the speech. Raises ConfigurationError where its package or its model is missing."""
    return load_recogniser(RecogniserOptions(settings.recogniser, settings.language, _PREFIX))
