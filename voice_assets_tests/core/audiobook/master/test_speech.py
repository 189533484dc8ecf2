"""A book that hibari speaks, at the level of the settings."""

import numpy as np

from voice_assets_tests.core.audiobook.master.conftest import BookBuilder, decode, find_offset, row_of
from voice_core.audio.pcm import to_pcm16
from voice_core.audio.speech_level import measured_level_dbfs, speech_power
from voice_core.audiobook.audiobook_checks import acx_is_met, limiter_is_rare
from voice_core.settings import AudiobookSettings
from voice_core.tts import load_engine
from voice_core.tts.base import Utterance

TEXTS = (
    "It was late, and nobody came to the door that evening.",
    "The lamp went out, and then on again, as if somebody had thought better of it.",
    "He sat down by the window and waited for the rain to stop.",
    "Morning!",  # a chapter that is mostly silence
)


def test_real_speech_meets_the_limits_of_acx_and_its_marks_fit(builder: BookBuilder) -> None:
    engine = load_engine("hibari")
    spoken = {text: engine.speak(Utterance(text, "default", "en")).audio for text in TEXTS}
    level = measured_level_dbfs(speech_power(audio, engine.sample_rate_hz) for audio in spoken.values())
    builder.gain_db = AudiobookSettings().level_dbfs - level
    builder.speech = {text: to_pcm16(audio) for text, audio in spoken.items()}
    builder.add_chapter("One", list(TEXTS[:3]))
    builder.add_chapter("Two", [TEXTS[3]])
    builder.write()
    manifest = builder.build("m4b", "acx").manifest
    for outcome in (acx_is_met(manifest), limiter_is_rare(manifest)):
        assert outcome.passed, outcome.message
    audio = decode(builder.work.get(row_of(manifest, "m4b")))
    starts = manifest.chapter_starts()
    for number, texts in ((1, TEXTS[:3]), (2, TEXTS[3:])):
        for text, span in zip(texts, manifest.masters[number].spans, strict=True):
            loudest = int(np.argmax(np.abs(spoken[text][1_000:-3_000]))) + 1_000
            sound = spoken[text][loudest - 1_000 : loudest + 3_000].astype(np.float64)
            place = starts[number] + span.start - span.lead + loudest - 1_000
            assert abs(find_offset(audio, sound, place)) <= builder.rate_hz // 1_000
