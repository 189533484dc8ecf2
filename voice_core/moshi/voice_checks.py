"""The voices of dialogues: whether the engine has them, and what lies in the recordings that some of them are."""

from collections.abc import Callable, Iterable
from pathlib import Path

from voice_core.fingerprint import sha256
from voice_core.language import primary_subtag
from voice_core.moshi.script import BadDialogueLine, Dialogue
from voice_core.settings import ConfigurationError, MoshiSettings
from voice_core.tts.base import SpeechEngine


def check_voices(engine: SpeechEngine, settings: MoshiSettings) -> None:
    """Raises ConfigurationError where the engine lacks a role's voice, or speaks other languages than the scripts':
    every dialogue would fail of the one, and be read out as if it were English, say, with the other.

    Of an engine that clones and cannot tell what a recording is, any voice may be one.
    """
    spoken = engine.capabilities.languages
    if spoken and settings.language and primary_subtag(settings.language) not in map(primary_subtag, spoken):
        raise ConfigurationError(
            f"moshi.language is {settings.language!r}, and {engine.name} speaks {', '.join(spoken)}: choose another "
            "engine (VOICE_SPEECH__ENGINE), or say what the scripts are in (VOICE_MOSHI__LANGUAGE)"
        )
    for setting in ("assistant_voice", "user_voice"):
        voice: str = getattr(settings, setting)
        why = _refusal(engine, voice)
        if why:
            raise ConfigurationError(f"moshi.{setting} is {voice!r}: {why}")


def _refusal(engine: SpeechEngine, voice: str) -> str:
    try:
        engine.prompt_identity(voice)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def hash_recordings(
    engine: SpeechEngine, items: Iterable[Dialogue | BadDialogueLine], settings: MoshiSettings
) -> tuple[dict[str, str], dict[str, str]]:
    """Hashes of the recordings that are voices, and of those that are emotions, by what scripts call them: another
    recording is another voice. What is none, or cannot be read, is left out: the engine says what is wrong with it."""
    if not engine.capabilities.clones:
        return {}, {}
    turns = [turn for item in items if isinstance(item, Dialogue) for turn in item.turns]
    voices = {settings.assistant_voice, settings.user_voice, *(turn.voice for turn in turns if turn.voice)}
    emotions = {turn.emotion for turn in turns if Path(turn.emotion).suffix}
    return _hashes(voices, engine.prompt_identity), _hashes(emotions, _file_hash)


def _file_hash(name: str) -> str:
    return sha256(Path(name).expanduser().read_bytes())


def _hashes(names: Iterable[str], identify: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(names):
        try:
            identity = identify(name)
        except (ValueError, OSError, RuntimeError):  # no such file, none of a name like this, or no such home folder
            continue
        if identity:
            found[name] = identity
    return found
