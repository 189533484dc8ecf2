"""The level of a voice: measured once, over sentences that are always the same, and stored.

Where an utterance's gain depends on its voice's level alone, two voices come out equally loud, what one of them says
softly stays softer than what it says loudly, and other utterances do not change it.
"""

import dataclasses
import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voice_core.audio.speech_level import NoSpeechError, SpeechPower, measured_level_dbfs, speech_power
from voice_core.fingerprint import canonical_json, fingerprint
from voice_core.language import primary_subtag
from voice_core.storage.store import ConflictError, Store
from voice_core.synthesis.types import SynthesisFailure
from voice_core.tts.base import Speech, Utterance

CALIBRATION_VERSION = 1
_log = logging.getLogger(__name__)
STAGE = "moshi_voices"
"""Folder of the levels in the work root. Moshi was the first to store them, hence the name."""

_ENGLISH = (
    "The ferry leaves at six, so join the queue.",
    "Could you measure this thick blue cloth?",
    "She chose a warm jumper and good yellow shoes.",
)
SENTENCES = {
    "en": _ENGLISH,
    "zh": (
        "早上下了一场小雨。",
        "请把那本蓝色的书放好。",
        "他爱吃热面，我只想喝茶。",
    ),
}
"""By language: vowels and consonants of all kinds, in 7 to 9 s."""


def sentences_for(language: str, own_text: str = "") -> tuple[str, ...]:
    """What voices say to be measured: the lines of `own_text`, or built-in sentences.

    >>> {sentences_for(language)[0] for language in ("zh", "zh-CN", "zh_TW")}
    {'早上下了一场小雨。'}
    >>> sentences_for("en", "Moin!\\n\\n Wie geht es dir? ")
    ('Moin!', 'Wie geht es dir?')
    """
    own = tuple(line.strip() for line in own_text.splitlines() if line.strip())
    return own or SENTENCES.get(primary_subtag(language), _ENGLISH)


@dataclass(frozen=True, slots=True)
class CalibrationSentence:
    """Identifies the sentence number `sentence`, from 0, of a voice whose level is measured."""

    voice: str
    sentence: int

    @property
    def group(self) -> str:
        return self.voice


@dataclass(frozen=True, slots=True)
class LevelUnknown:
    """Why a voice has no level: none of its sentences could be spoken."""

    message: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that a voice's level depends on. `recording` is the hash of the recording that is the voice, if it is one."""

    engine: str
    revision: str
    voice: str
    recording: str
    language: str
    sentences: tuple[str, ...]

    @property
    def identity(self) -> str:
        return fingerprint(CALIBRATION_VERSION, dataclasses.asdict(self))

    @property
    def key(self) -> str:
        return f"{STAGE}/{self.identity}.json"

    @property
    def utterances(self) -> list[Utterance]:
        """Neutral, each with a fixed seed of its own."""
        return [Utterance(text, self.voice, self.language, seed=at) for at, text in enumerate(self.sentences)]


def read_level(store: Store, calibration: Calibration) -> float | None:
    """The stored level; None where there is none or it cannot be read."""
    data = store.find(calibration.key)
    return parse_level(data) if data is not None else None


def parse_level(data: bytes) -> float | None:
    """The level in a file; None where it cannot be read."""
    try:
        level = float(json.loads(data)["level_dbfs"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return level if math.isfinite(level) else None


def remove_damaged_levels(store: Store) -> None:
    """Delete the files that cannot be read: these voices are measured again when they next speak."""
    keys = [item.key for item in store.listing(f"{STAGE}/") if item.key.endswith(".json")]
    found = zip(keys, store.map_keys(store.find, keys), strict=True)
    damaged = [key for key, data in found if data is not None and parse_level(data) is None]
    for key in damaged:
        _log.warning("%s/%s cannot be read and is removed; the voice is measured again", store.url, key)
    store.delete(damaged)


def store_level(store: Store, calibration: Calibration, level_dbfs: float, measured: int) -> float:
    """Store a level that was measured over `measured` sentences. A level that another process has stored meanwhile
    takes precedence; the one that counts is returned."""
    about = {**dataclasses.asdict(calibration), "version": CALIBRATION_VERSION}
    data = canonical_json({**about, "level_dbfs": level_dbfs, "sentences_measured": measured}).encode() + b"\n"
    try:
        store.put(calibration.key, data, if_absent=True)
    except ConflictError:
        there = read_level(store, calibration)
        if there is not None:
            return there
        store.put(calibration.key, data)
    return level_dbfs


class VoiceLevels:
    """The levels of the voices of one run: stored ones, and those that are measured during the run."""

    def __init__(self, store: Store, calibrations: Sequence[Calibration]) -> None:
        """`calibrations` has one for each voice."""
        self._store = store
        by_key = {item.key: item for item in calibrations}
        found = dict(zip(by_key, store.map_keys(lambda key: read_level(store, by_key[key]), by_key), strict=True))
        self._missing = {item.voice: item for key, item in by_key.items() if found[key] is None}
        self._measured: dict[str, dict[int, SpeechPower | str]] = {voice: {} for voice in self._missing}
        self._levels: dict[str, float | LevelUnknown] = {
            by_key[key].voice: level for key, level in found.items() if level is not None
        }

    @property
    def missing_utterances(self) -> list[tuple[CalibrationSentence, Utterance]]:
        """The sentences of each voice whose level is not stored."""
        return [
            (CalibrationSentence(voice, number), utterance)
            for voice, item in self._missing.items()
            for number, utterance in enumerate(item.utterances)
        ]

    def add_result(self, where: CalibrationSentence, result: Speech | SynthesisFailure) -> bool:
        """Add the result for a sentence. Returns whether it was the voice's last; its level is stored then."""
        calibration, measured = self._missing[where.voice], self._measured[where.voice]
        measured[where.sentence] = _power(result)
        if len(measured) < len(calibration.sentences):
            return False
        powers = [item for item in measured.values() if isinstance(item, SpeechPower)]
        if powers:
            level = measured_level_dbfs(powers)
            self._levels[where.voice] = store_level(self._store, calibration, level, len(powers))
        else:
            why = next(error for _, error in sorted(measured.items()))
            message = f"the level of the voice {where.voice!r} could not be measured: {why}"
            self._levels[where.voice] = LevelUnknown(message)
        return True

    def levels_of(self, voices: Iterable[str]) -> dict[str, float | LevelUnknown] | None:
        """The levels of these voices, dBFS; None while one is being measured."""
        voices = set(voices)
        return {voice: self._levels[voice] for voice in voices} if voices <= self._levels.keys() else None


def _power(result: Speech | SynthesisFailure) -> SpeechPower | str:
    """The power of a sentence's speech, or why there is none."""
    if isinstance(result, SynthesisFailure):
        return result.description
    try:
        return speech_power(result.audio, result.sample_rate_hz)
    except NoSpeechError as error:
        return str(error)
