"""Dialogues to be spoken, and the seed's way to speak them: one after another, through temporary files."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from voice_core.recognition.word_times import Aligner
from voice_core.tts import SpeechEngine, Utterance

VOICES: Final = {"assistant": "heart", "user": "heart-low"}
_PLACES: Final = (
    "the old harbour", "the central station", "the botanical garden", "the town library", "the northern market",
    "the science museum", "the river bridge", "the concert hall", "the summer palace", "the fishing village",
)  # fmt: skip
_QUESTIONS: Final = (
    "Good morning. Could you tell me how to get to {}?",
    "I have never been to {}. Is it worth a visit?",
    "When would be the best time of day to see {}?",
    "My sister would like to spend an afternoon at {}. What should she bring?",
)
_ANSWERS: Final = (
    "Certainly. Take the green line for three stops, and {} will be right in front of you.",
    "I think so. Many people say that {} is the finest place in the whole city.",
    "Early in the morning, before the visitors come, {} is quiet and the light is beautiful.",
    "Comfortable shoes and a warm coat, because the wind around {} can be rather strong.",
)
_REPLIES: Final = (
    "That sounds easy enough. How long does it take?",
    "Wonderful. Do I have to buy a ticket in advance?",
    "Thank you very much. And where can I have lunch near there?",
    "I see. Would you come along if the weather is fine?",
)
_ENDINGS: Final = (
    "About twenty minutes, if the train is not late. You could also walk along the water.",
    "No, you simply pay at the gate. Children and students do not pay anything.",
    "There is a small kitchen behind the church. Ask for the soup, and say hello from me.",
    "I would love to. Let us meet at the fountain and decide about the rest together.",
)


def make_script(count: int) -> list[dict[str, object]]:
    """Lines of a dialogue file: four turns each, user and assistant by turns."""
    lines: list[dict[str, object]] = []
    for number in range(count):
        place = _PLACES[number % len(_PLACES)]
        texts = [
            some[(number // step) % len(some)].format(place)
            for some, step in ((_QUESTIONS, 1), (_ANSWERS, 2), (_REPLIES, 3), (_ENDINGS, 5))
        ]
        turns = [{"role": role, "text": text} for role, text in zip(("user", "assistant") * 2, texts, strict=True)]
        lines.append({"id": f"d{number:06}", "turns": turns})
    return lines


def make_short_script(count: int) -> list[dict[str, object]]:
    """Two words a dialogue: what there are very many of need not be long."""
    return [{"id": f"d{number:06}", "user_text": "Ready?", "assistant_text": "Yes."} for number in range(count)]


def run_seed_pipeline(
    lines: Sequence[dict[str, object]], engine: SpeechEngine, folder: Path, aligner: Aligner | None = None
) -> float:
    """Dialogue by dialogue, turn by turn: speak, write a mono file, read it back; mix, write; flush a line of the list.

    Without alignments, as the first tool had none, unless an aligner is given. Returns the seconds of speech.
    """
    speech_sec = 0.0
    folder.mkdir(parents=True)
    with (folder / "list.jsonl").open("w", encoding="utf-8") as listed:
        for line in lines:
            turns: list[dict[str, str]] = line["turns"]  # type: ignore[assignment]
            files, words = [], []
            for number, turn in enumerate(turns):
                seed = zlib.crc32(f"{line['id']} {number}".encode())
                said = engine.speak(Utterance(turn["text"], VOICES[turn["role"]], "en", seed=seed))
                speech_sec += said.duration_sec
                files.append(folder / f"{line['id']}_{number}.wav")
                soundfile.write(files[-1], said.audio, said.sample_rate_hz, subtype="PCM_16")
            begin, parts, rate = 0, [], 24_000
            for file, turn in zip(files, turns, strict=True):
                audio, rate = soundfile.read(file, dtype="int16")
                parts.append((begin, turn["role"] == "user", audio))
                if aligner is not None:
                    found = aligner.align(audio, rate, turn["text"], "en")
                    words += [
                        [word.text, [begin / rate + word.start_sec, begin / rate + word.end_sec], turn["role"]]
                        for word in found.words
                    ]
                begin += len(audio)
            mix = np.zeros((begin, 2), np.int16)
            for at, channel, audio in parts:
                mix[at : at + len(audio), int(channel)] = audio
            path = folder / f"{line['id']}.wav"
            soundfile.write(path, mix, rate, subtype="PCM_16")
            if aligner is not None:
                path.with_suffix(".json").write_text(json.dumps({"alignments": words}), encoding="utf-8")
            for file in files:
                file.unlink()
            listed.write(json.dumps({"path": path.name, "duration": begin / rate}) + "\n")
            listed.flush()
    return speech_sec
