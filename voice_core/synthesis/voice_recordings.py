"""Voices that may be recordings: whether an engine has a voice, and the hashes of recordings."""

from collections.abc import Callable, Iterable
from pathlib import Path

from voice_core.fingerprint import sha256
from voice_core.tts.base import SpeechEngine


def describe_voice_problem(engine: SpeechEngine, voice: str) -> str:
    """Why an engine cannot speak with a voice; "" where it can.

    With an engine that clones and cannot identify recordings, any voice may be one.
    """
    try:
        engine.prompt_identity(voice)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def hash_voice_recordings(
    engine: SpeechEngine, voices: Iterable[str], emotions: Iterable[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Hashes of the recordings that are voices, and of those that are emotions, by name: another recording is another
    voice. Names without a readable recording are left out; the engine reports them when it speaks."""
    if not engine.capabilities.clones:
        return {}, {}
    recorded_emotions = {emotion for emotion in emotions if Path(emotion).suffix}
    return _hashes({*voices}, engine.prompt_identity), _hashes(recorded_emotions, _file_hash)


def _file_hash(name: str) -> str:
    return sha256(Path(name).expanduser().read_bytes())


def _hashes(names: Iterable[str], identify: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(names):
        try:
            identity = identify(name)
        except (ValueError, OSError, RuntimeError):  # no such file, an impossible file name, or no such home folder
            continue
        if identity:
            found[name] = identity
    return found
