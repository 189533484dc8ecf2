"""Errors of the speech are told from those of the recogniser."""

from collections.abc import Sequence

import numpy as np
import pytest

from voice_assets_tests.core.audiobook.speech.babble import make_chunk
from voice_core.audio.pcm import Pcm16
from voice_core.audiobook.validation import tier2
from voice_core.audiobook.validation.config import DEFAULTS
from voice_core.audiobook.validation.doubts import corrected_texts
from voice_core.audiobook.validation.sounds import compare_by_sound

TEXT = "It was a dark night on the moor."


class Weighing:
    """Hears what it is told to, and finds each text as likely as it is told to."""

    name = "weighing"

    def __init__(self, text: str) -> None:
        self.text = text

    def recognise(self, pcm: Pcm16, sample_rate_hz: int, language: str) -> str:
        return self.text

    likelihoods: Sequence[float] | None = None
    texts: Sequence[str] = ()

    def log_probabilities(
        self, pcm: Pcm16, sample_rate_hz: int, language: str, texts: Sequence[str]
    ) -> list[float] | None:
        self.texts = texts
        return None if self.likelihoods is None else list(self.likelihoods)


def weigh(monkeypatch: pytest.MonkeyPatch, heard: str, *likelihoods: float) -> tuple[tier2.Recognition, Sequence[str]]:
    recogniser = Weighing(heard)
    recogniser.likelihoods = likelihoods or None
    monkeypatch.setattr(tier2, "_load", lambda model, language: recogniser)
    config = DEFAULTS.tier2.model_copy(update={"whisper_model": "pocketsphinx"})
    return tier2.recognise(np.zeros(9, np.int16), 24_000, make_chunk(1, TEXT), config), recogniser.texts


@pytest.mark.parametrize(
    ("heard", "likelihoods", "confirmed"),
    [
        ("It was a bark night on the moor.", (-10.0, -12.0), 0),  # the text is likely as well: the recogniser erred
        ("It was a silent night on the moor.", (-10.0, -19.0), 1),
        ("It was a dock night on the moor.", (-10.0, -20.0), 0),  # sounds nearly the same
        ("It was a dock night on the moor.", (-10.0, -21.0), 1),
        ("It was a night on a moor.", (-10.0, -19.0, -11.0), 1),
        ("It was a night on the floor.", (-10.0, -19.0, -30.0), 2),
        ("It was a dark night on the moor and fen.", (-10.0, -6.0), 2),  # a beginning is never less likely
        (TEXT, (-10.0,), 0),
    ],
)
def test_a_word_is_wrong_where_its_text_is_unlikely(
    monkeypatch: pytest.MonkeyPatch, heard: str, likelihoods: tuple[float, ...], confirmed: int
) -> None:
    found, _ = weigh(monkeypatch, heard, *likelihoods)
    assert found.confirmed == confirmed
    assert len(tier2.judge(found, DEFAULTS.tier2)) == bool(confirmed)


def test_what_was_heard_is_corrected_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    _, texts = weigh(monkeypatch, "Was a bark, night on the the moor.", 0.0, 0.0, 0.0, 0.0)
    assert list(texts) == [
        "Was a bark, night on the the moor.",
        "It Was a bark, night on the the moor.",
        "Was a dark, night on the the moor.",
        "Was a bark, night on the moor.",
    ]


def test_a_word_at_a_dash_is_corrected_alone() -> None:
    comparison = compare_by_sound(
        "All was delight--her eyes, well-known", "All was to light. Her eyes, well-bone", "en"
    )
    assert corrected_texts(comparison)[1:] == [
        "All was delight. Her eyes, well-bone",
        "All was to light. Her eyes, well-known",
    ]


def test_without_probabilities_some_errors_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = weigh(monkeypatch, "it was a park night on the moor")
    two, _ = weigh(monkeypatch, "it was a park bench on the moor")
    assert (one.confirmed, two.confirmed) == (None, None)
    assert (tier2.judge(one, DEFAULTS.tier2), len(tier2.judge(two, DEFAULTS.tier2))) == ([], 1)
