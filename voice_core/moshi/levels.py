"""How loud a voice is by itself: measured once, over sentences that are always the same.

The gain of an utterance hangs on its voice's level alone. So two voices come out equally loud, what one of them says
softly stays softer than what it says loudly, and what else a batch says changes nothing of an utterance.
"""

import dataclasses
import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voice_core.fingerprint import canonical_json, fingerprint
from voice_core.language import primary_subtag
from voice_core.moshi.mixing import NoSpeechError, SpeechPower, speech_power
from voice_core.moshi.synthesis_types import UtteranceFailure, UtteranceIndex
from voice_core.settings import MoshiSettings
from voice_core.storage.store import ConflictError, Store
from voice_core.tts.base import Speech, Utterance

CALIBRATION_VERSION = 1
_log = logging.getLogger(__name__)
STAGE = "moshi_voices"
LEVEL_UNKNOWN = "voice_level_unknown"
"""The reason of a turn whose voice said none of the sentences."""

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


def sentences_for(settings: MoshiSettings) -> tuple[str, ...]:
    """What voices say to be measured: the setting's lines, or our own sentences.

    >>> {sentences_for(MoshiSettings(language=language))[0] for language in ("zh", "zh-CN", "zh_TW")}
    {'早上下了一场小雨。'}
    >>> sentences_for(MoshiSettings(level_text="Moin!\\n\\n Wie geht es dir? "))
    ('Moin!', 'Wie geht es dir?')
    """
    own = tuple(line.strip() for line in settings.level_text.splitlines() if line.strip())
    return own or SENTENCES.get(primary_subtag(settings.language), _ENGLISH)


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that a voice's level depends on. `recording`: the hash of the recording that it is, if it is one."""

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
        """Neutral, and each with a seed of its own that never changes."""
        return [Utterance(text, self.voice, self.language, seed=at) for at, text in enumerate(self.sentences)]


def measured_level_dbfs(powers: Iterable[SpeechPower]) -> float:
    """RMS over the speech of all sentences, in dB of full scale; may be above 0. To 0.01 dB, so that the last bits of a
    sum change nothing."""
    powers = list(powers)
    energy, samples = math.fsum(item.energy for item in powers), sum(item.samples for item in powers)
    return round(10 * math.log10(energy / samples), 2)


def read_level(store: Store, calibration: Calibration) -> float | None:
    """The level that is stored; None where there is none, or nothing that can be read."""
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
        _log.warning("%s/%s cannot be read; it is removed, and the voice measured again", store.url, key)
    store.delete(damaged)


def store_level(store: Store, calibration: Calibration, level_dbfs: float, measured: int) -> float:
    """Store a level, measured over so many of the sentences. Where another process has stored one meanwhile, that one
    counts."""
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
    """The levels of the voices that a batch lets speak: stored ones, and those that are measured while it is spoken."""

    def __init__(self, store: Store, calibrations: Sequence[Calibration]) -> None:
        self._store = store
        by_key = {item.key: item for item in calibrations}
        found = dict(zip(by_key, store.map_keys(lambda key: read_level(store, by_key[key]), by_key), strict=True))
        self._missing = [item for key, item in by_key.items() if found[key] is None]
        self._heard: list[dict[int, SpeechPower | str]] = [{} for _ in self._missing]
        self._levels: dict[str, float | UtteranceFailure] = {
            by_key[key].voice: level for key, level in found.items() if level is not None
        }

    @property
    def missing_utterances(self) -> list[tuple[UtteranceIndex, Utterance]]:
        """The sentences of each voice whose level is not stored."""
        return [
            ((-1 - number, at), utterance)
            for number, item in enumerate(self._missing)
            for at, utterance in enumerate(item.utterances)
        ]

    def add_result(self, where: UtteranceIndex, said: Speech | UtteranceFailure) -> bool:
        """Take the answer to one of these. Whether it was the voice's last; its level is stored then."""
        number = -1 - where[0]
        calibration, heard = self._missing[number], self._heard[number]
        heard[where[1]] = _power(said)
        if len(heard) < len(calibration.sentences):
            return False
        powers = [item for item in heard.values() if isinstance(item, SpeechPower)]
        if powers:
            level = measured_level_dbfs(powers)
            self._levels[calibration.voice] = store_level(self._store, calibration, level, len(powers))
        else:
            why = next(told for _, told in sorted(heard.items()))
            self._levels[calibration.voice] = UtteranceFailure(
                f"the level of the voice {calibration.voice!r} could not be measured: {why} "
                "(moshi.level_text sets what it says for that)",
                LEVEL_UNKNOWN,
            )
        return True

    def levels_of(self, voices: Iterable[str]) -> dict[str, float | UtteranceFailure] | None:
        """These voices' levels, dBFS, or why there is none; None while one is being measured."""
        voices = set(voices)
        return {voice: self._levels[voice] for voice in voices} if voices <= self._levels.keys() else None


def _power(said: Speech | UtteranceFailure) -> SpeechPower | str:
    """Of a sentence's speech; or why there is none."""
    if isinstance(said, UtteranceFailure):
        return said.message
    try:
        return speech_power(said.audio, said.sample_rate_hz)
    except NoSpeechError as error:
        return str(error)
