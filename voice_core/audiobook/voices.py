"""The voices of a book under names that manifests store: no name depends on where a recording lies.

A voice that is a recording is stored as its file's name and a hash of its content, "anna.wav#3f2a9c01b2d4". So a book
is not spoken again where the same recording is in another folder, and it is where another recording takes its place.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from voice_core.fingerprint import fingerprint
from voice_core.settings import ConfigurationError
from voice_core.settings.audiobook import AudiobookSettings
from voice_core.synthesis.voice_recordings import describe_voice_problem, hash_voice_recordings
from voice_core.tts.base import SpeechEngine

_DIGITS = 12
_STORED = re.compile(rf".#[0-9a-f]{{{_DIGITS}}}$")


def name_voices(engine: SpeechEngine, settings: AudiobookSettings) -> dict[str, str]:
    """The stored name of each voice of the settings, by the voice as it is given there."""
    given = dict.fromkeys((settings.voice, *settings.voices.values()))
    recordings = {voice for voice in given if voice not in ("default", *engine.voices)}
    hashes, _ = hash_voice_recordings(engine, recordings, ())
    return {voice: _stored_name(voice, hashes.get(voice, "")) for voice in given}


def _stored_name(voice: str, digest: str) -> str:
    """
    >>> _stored_name("/home/me/anna.wav", "3f2a9c01b2d4aa"), _stored_name("heart", "")
    ('anna.wav#3f2a9c01b2d4', 'heart')
    """
    name = PurePath(voice).name
    if not digest and name == voice:
        return voice
    return f"{name}#{(digest or fingerprint(voice))[:_DIGITS]}"  # without a digest, the recording cannot be read


def given_voices(stored: Mapping[str, str]) -> dict[str, str]:
    """The voice as the engine takes it, by its stored name."""
    return {name: voice for voice, name in stored.items()}


def hash_stored_recordings(engine: SpeechEngine, voices: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """The hash of the recording that is a voice, by the voice's stored name; names that are no recordings are left
    out."""
    by_voice = {given.get(name, name): name for name in voices}
    hashes, _ = hash_voice_recordings(engine, by_voice, ())
    return {by_voice[voice]: digest for voice, digest in hashes.items()}


def check_voices(engine: SpeechEngine, wanted: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Raises ConfigurationError, which names each voice that the engine lacks.

    `wanted` has a chunk that needs it by the voice's stored name.
    """
    problems = []
    for name, chunk_id in wanted.items():
        if name not in given and _STORED.search(name):
            why = "no recording of the settings has this content; build the text of the book again"
        else:
            why = describe_voice_problem(engine, given.get(name, name))
        if why:
            problems.append(f"the voice {name!r} (chunk {chunk_id}): {why}")
    if problems:
        raise ConfigurationError(f"audiobook.voice, audiobook.voices: {'; '.join(problems)}")
