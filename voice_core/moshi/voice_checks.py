"""Whether the engine has the voices of dialogues, and hashes of those that are recordings."""

from collections.abc import Iterable

from voice_core.language import primary_subtag
from voice_core.moshi.script import BadDialogueLine, Dialogue
from voice_core.settings import ConfigurationError, MoshiSettings
from voice_core.synthesis.voice_recordings import describe_voice_problem, hash_voice_recordings
from voice_core.tts.base import SpeechEngine


def check_voices(engine: SpeechEngine, settings: MoshiSettings) -> None:
    """Raises ConfigurationError where the engine lacks a role's voice or the scripts' language: every dialogue would
    fail, or be spoken as if it were in another language.

    With an engine that clones and cannot identify recordings, any voice may be one.
    """
    spoken = engine.capabilities.languages
    if spoken and settings.language and primary_subtag(settings.language) not in map(primary_subtag, spoken):
        raise ConfigurationError(
            f"moshi.language is {settings.language!r}, and {engine.name} speaks {', '.join(spoken)}: choose another "
            "engine (VOICE_SPEECH__ENGINE), or set the language of the scripts (VOICE_MOSHI__LANGUAGE)"
        )
    for setting in ("assistant_voice", "user_voice"):
        voice: str = getattr(settings, setting)
        why = describe_voice_problem(engine, voice)
        if why:
            raise ConfigurationError(f"moshi.{setting} is {voice!r}: {why}")


def hash_recordings(
    engine: SpeechEngine, items: Iterable[Dialogue | BadDialogueLine], settings: MoshiSettings
) -> tuple[dict[str, str], dict[str, str]]:
    """Hashes of the recordings that are voices of the dialogues, and of those that are emotions, by the names that
    scripts use."""
    turns = [turn for item in items if isinstance(item, Dialogue) for turn in item.turns]
    voices = {settings.assistant_voice, settings.user_voice, *(turn.voice for turn in turns if turn.voice)}
    return hash_voice_recordings(engine, voices, {turn.emotion for turn in turns})
