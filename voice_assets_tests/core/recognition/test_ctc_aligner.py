"""Words' times from a model that hears letters."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from voice_core.moshi.recognition import load_moshi_aligner
from voice_core.recognition import ctc_aligner
from voice_core.recognition.aligners import AlignerOptions, load_aligner
from voice_core.recognition.ctc_aligner import STAR, CtcAligner, forced_align
from voice_core.recognition.text_words import split_words
from voice_core.recognition.word_times import AlignmentError
from voice_core.settings import MoshiSettings

VOCABULARY = {name: number for number, name in enumerate(["<pad>", "|", "a", "b", "c", "d", "e", "é", "ب"])}
RATE = 24_000


def heard(path: str) -> np.ndarray:
    """A frame a letter, `.` the blank: that is nine times as likely as all others."""
    places = ["." if name == "<pad>" else name for name in VOCABULARY]
    found = np.full((len(path), len(places)), 0.1 / (len(places) - 1))
    found[np.arange(len(path)), [places.index(char) for char in path]] = 0.9
    return np.log(found)


def path_of(path: str, text: str) -> list[tuple[int, int]]:
    return forced_align(heard(path), [STAR if char == "*" else VOCABULARY[char] for char in text], 0)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("..aab.", "ab", [(2, 4), (4, 5)]),
        ("ab", "ab", [(0, 1), (1, 2)]),
        (".a..a.", "aa", [(1, 2), (4, 5)]),
        ("a|.bb", "a|b", [(0, 1), (1, 2), (3, 5)]),
        (".a.d.b.", "a*b", [(1, 2), (3, 4), (5, 6)]),
        ("aaa", "ab", [(0, 2), (2, 3)]),  # the least unlikely place for what was not heard
    ],
)
def test_each_letter_is_aligned_where_it_is_spoken(path: str, text: str, expected: list[tuple[int, int]]) -> None:
    assert path_of(path, text) == expected


def test_more_letters_than_frames_cannot_be_aligned() -> None:
    with pytest.raises(AlignmentError, match="2 frames of speech are too few for 2 letters"):
        path_of("aa", "aa")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that has learnt nothing."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("ctc")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, pad_token_id=0,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY), "utf-8")
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 16000, "do_normalize": true}')
    return folder


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).integers(-9_000, 9_000, round(seconds * RATE)).astype(np.int16)


def test_words_are_at_the_frames_of_their_letters(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "." * 5 + "aab" + "|" * 10 + "." * 12 + "cdd" + "|" * 4 + "é" + "." * 12
    monkeypatch.setattr(ctc_aligner, "_loaded", lambda folder: lambda audio: heard(path))
    alignment = CtcAligner(str(model)).align(noise(1.0), RATE, "AB, cd É.", "fr")
    assert not alignment.approximate
    assert [(word.text, word.start_sec, word.end_sec) for word in alignment.words] == [
        ("AB,", 0.1, 0.16), ("cd", 0.6, 0.66), ("É.", 0.74, 0.76),
    ]  # fmt: skip


def test_a_word_that_the_vocabulary_cannot_spell_is_placed_and_flagged(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "." * 5 + "aab" + "|" + "." * 6 + "dd" + "." * 6 + "|" + "c" + "." * 25
    monkeypatch.setattr(ctc_aligner, "_loaded", lambda folder: lambda audio: heard(path))
    alignment = CtcAligner(str(model)).align(noise(1.0), RATE, "ab 42 c", "fr")
    assert alignment.approximate
    assert [(word.text, word.start_sec, word.end_sec) for word in alignment.words][1] == ("42", 0.3, 0.34)


@pytest.mark.parametrize("text", ["abc d, eb – a!", "با ب", "ab 17 cd"])
def test_a_real_model_places_every_word_in_order_and_always_alike(model: Path, text: str) -> None:
    aligner = CtcAligner(str(model))
    alignment = aligner.align(noise(2.0), RATE, text, "xx")
    assert [word.text for word in alignment.words] == split_words(text)
    assert aligner.align(noise(2.0), RATE, text, "xx") == alignment
    assert pickle.loads(pickle.dumps(aligner)).align(noise(2.0), RATE, text, "xx") == alignment


def test_log_probabilities_have_a_row_for_each_frame_and_sum_to_one(model: Path) -> None:
    found = ctc_aligner._loaded(model)(noise(1.0)[:16_000].astype(np.float32))
    assert found.shape == (49, len(VOCABULARY))
    assert np.allclose(np.exp(found).sum(axis=1), 1)


def test_the_settings_choose_it_for_all_or_for_what_is_not_english(model: Path) -> None:
    alone = load_aligner(AlignerOptions("ctc", str(model)))
    assert isinstance(alone, CtcAligner)
    auto = load_aligner(AlignerOptions(ctc_model=str(model)))
    assert f"ctc-{alone.revision}" in auto.revision
    assert auto.align(noise(2.0), RATE, "ab cd", "fr") == alone.align(noise(2.0), RATE, "ab cd", "fr")
    assert auto.align(noise(2.0), RATE, "ab " * 200, "fr").approximate
    assert pickle.loads(pickle.dumps(auto)).revision == auto.revision


def test_other_weights_are_another_revision(model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert CtcAligner(str(tmp_path)).revision == CtcAligner(str(model)).revision
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert CtcAligner(str(tmp_path)).revision != CtcAligner(str(model)).revision


def test_what_is_missing_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"moshi\.ctc_model names no model"):
        load_moshi_aligner(MoshiSettings(aligner="ctc"))
    with pytest.raises(ValueError, match=r"^aligner is ctc, and ctc_model names no model"):
        load_aligner(AlignerOptions("ctc"))
    with pytest.raises(ValueError, match=r"^moshi\.ctc_model: .*vocab\.json cannot be read"):
        load_moshi_aligner(MoshiSettings(ctc_model=str(tmp_path)))
    with pytest.raises(ValueError, match=r"vocab\.json cannot be read"):
        CtcAligner(str(tmp_path))
    (tmp_path / "vocab.json").write_text('{"fra": {"a": 0}}')
    with pytest.raises(ValueError, match="vocabularies of several languages"):
        CtcAligner(str(tmp_path))
