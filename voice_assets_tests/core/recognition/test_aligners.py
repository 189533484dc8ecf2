"""Words are given the times at which they are heard."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_core.audio.speech_level import detect_speech_frames, measured_level_dbfs, speech_power
from voice_core.moshi.mixing import apply_gain
from voice_core.recognition.aligners import (
    AlignerOptions,
    ApproximateAligner,
    AutoAligner,
    PocketsphinxAligner,
    load_aligner,
)
from voice_core.recognition.text_words import split_words
from voice_core.recognition.word_times import AlignmentError, Word, validate_word_times
from voice_core.tts import SpeechEngine, Utterance, load_engine

RATE = 24_000
SENTENCES = [
    "Hello there, how can I help you with the reservation for Tuesday?",
    "No.",
    "I would like to change it to a quarter past seven please, if that is at all possible.",
    "Well – my name is Zorblaxia Quentanimo, and I was born in 1984!",
    "It costs $25, or 3.5% more at 7:30.",
]


@pytest.fixture(scope="module")
def engine() -> SpeechEngine:
    return load_engine("hibari")


@pytest.fixture(scope="module")
def sphinx() -> PocketsphinxAligner:
    return PocketsphinxAligner()


def say(engine: SpeechEngine, text: str, voice: str = "heart") -> np.ndarray:
    audio = engine.speak(Utterance(text, voice)).audio
    return apply_gain(audio, RATE, -23.0 - measured_level_dbfs([speech_power(audio, RATE)]), -1.0)


@pytest.mark.parametrize("voice", ["heart", "heart-low"])
@pytest.mark.parametrize("text", SENTENCES)
def test_english_words_are_found_and_keep_their_spelling(
    engine: SpeechEngine, sphinx: PocketsphinxAligner, text: str, voice: str
) -> None:
    pcm = say(engine, text, voice)
    alignment = sphinx.align(pcm, RATE, text, "en")
    assert [word.text for word in alignment.words] == split_words(text)
    assert not alignment.approximate
    assert validate_word_times(alignment.words, split_words(text), pcm, RATE) == alignment.words


def test_words_are_found_where_they_were_placed_in_concatenated_speech(
    engine: SpeechEngine, sphinx: PocketsphinxAligner
) -> None:
    """Each word is spoken by itself and set between half seconds of silence, so that its energy says where it is."""
    words = ["Tomorrow", "seven", "people", "travel", "Zorblax", "by", "train."]
    pieces: list[np.ndarray] = []
    truth = []
    at = 0
    for word in words:
        pcm = say(engine, word)
        frames = np.flatnonzero(detect_speech_frames(pcm / 32768.0, RATE))
        pcm = pcm[frames[0] * 480 : (frames[-1] + 1) * 480]
        truth.append(((at + 12_000) / RATE, (at + 12_000 + len(pcm)) / RATE))
        pieces += [np.zeros(12_000, np.int16), pcm]
        at += 12_000 + len(pcm)
    found = sphinx.align(np.concatenate([*pieces, np.zeros(12_000, np.int16)]), RATE, " ".join(words), "en").words
    onsets = [abs(word.start_sec - start) for word, (start, _) in zip(found, truth, strict=True)]
    ends = [abs(word.end_sec - end) for word, (_, end) in zip(found, truth, strict=True)]
    assert np.median(onsets) < 0.04
    assert max(onsets) < 0.12
    assert np.median(ends) < 0.08
    assert max(ends) < 0.2


def test_times_do_not_depend_on_what_was_aligned_before(engine: SpeechEngine, sphinx: PocketsphinxAligner) -> None:
    spoken = [(text, say(engine, text)) for text in SENTENCES]
    fresh = [PocketsphinxAligner().align(pcm, RATE, text, "en") for text, pcm in spoken]
    assert [sphinx.align(pcm, RATE, text, "en") for text, pcm in spoken] == fresh
    assert [sphinx.align(pcm, RATE, text, "en") for text, pcm in reversed(spoken)] == fresh[::-1]


def test_what_pocketsphinx_cannot_find_is_split_and_flagged(engine: SpeechEngine) -> None:
    aligner = AutoAligner()
    pcm = say(engine, "No.")
    assert not aligner.align(pcm, RATE, "No.", "en-GB").approximate
    for text, language in (("東京 です", "en"), ("لا شكرا", "ar"), (" ".join(SENTENCES * 3), "en")):
        alignment = aligner.align(pcm, RATE, text, language)
        assert alignment.approximate
        assert [word.text for word in alignment.words] == split_words(text)


def test_without_pocketsphinx_auto_still_works_and_says_so_in_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    aligner = load_aligner(AlignerOptions())
    assert "pocketsphinx" not in aligner.revision
    tone = (8_000 * np.sin(np.arange(RATE) / 10)).astype(np.int16)
    assert aligner.align(tone, RATE, "one two", "en").approximate
    with pytest.raises(ValueError, match="pip install pocketsphinx"):
        load_aligner(AlignerOptions("pocketsphinx"))


def test_auto_has_pocketsphinx_in_its_revision_where_it_is_installed() -> None:
    assert "pocketsphinx" in load_aligner(AlignerOptions()).revision


@st.composite
def speech(draw: st.DrawFn) -> np.ndarray:
    """Stretches of tone and of silence, a tone at least."""
    stretches = draw(st.lists(st.tuples(st.booleans(), st.integers(1_000, 20_000)), max_size=6))
    pieces = [np.full(n, 8_000 if loud else 0, np.int16) for loud, n in [*stretches, (True, 5_000)]]
    return np.concatenate(pieces)


@settings(deadline=None)
@given(speech(), st.lists(st.text("abcß東,.", min_size=1, max_size=12), min_size=1, max_size=20))
def test_an_approximate_split_has_every_word_in_order_within_the_speech(pcm: np.ndarray, texts: list[str]) -> None:
    text = " ".join(["a", *texts])
    alignment = ApproximateAligner().align(pcm, RATE, text, "en")
    assert alignment.approximate
    assert validate_word_times(alignment.words, split_words(text), pcm, RATE) == alignment.words


def test_an_approximate_split_leaves_pauses_out() -> None:
    tone, silence = np.full(RATE, 8_000, np.int16), np.zeros(RATE, np.int16)
    words = ApproximateAligner().align(np.concatenate([tone, silence, tone]), RATE, "one two", "").words
    assert words == (Word("one", 0.0, 1.0), Word("two", 2.0, 3.0))


def test_words_of_a_script_without_spaces_begin_one_after_the_other() -> None:
    tone = np.full(2 * RATE, 8_000, np.int16)
    words = ApproximateAligner().align(tone, RATE, "今天天气，很好。", "zh").words
    assert "".join(word.text for word in words) == "今天天气，很好。"
    assert np.allclose([word.start_sec for word in words], np.arange(6) / 3, atol=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([Word("one", 0.0, 0.5)], "1 word was found, the text has 2"),
        ([Word("one", 0.0, 0.5), Word("tow", 0.5, 0.9)], "2 words were found"),
        ([Word("one", 0.5, 0.5), Word("two", 0.5, 0.9)], "is outside of the speech"),
        ([Word("one", 0.0, 0.5), Word("two", 0.4, 0.9)], "begins before the previous word ends"),
        ([Word("one", 0.0, 0.5), Word("two", 1.1, 1.8)], "is in silence"),
        ([Word("one", 0.0, 0.5), Word("two", 3.1, 3.5)], "is outside of the speech"),
    ],
)
def test_times_that_cannot_be_are_refused(words: list[Word], message: str) -> None:
    tone, silence = np.full(RATE, 8_000, np.int16), np.zeros(RATE, np.int16)
    with pytest.raises(AlignmentError, match=message):
        validate_word_times(words, ["one", "two"], np.concatenate([tone, silence, tone, silence]), RATE)


def test_silence_cannot_be_aligned() -> None:
    with pytest.raises(AlignmentError, match="there is no speech"):
        ApproximateAligner().align(np.zeros(RATE, np.int16), RATE, "one", "en")
