"""Recognisers find speech that does not say its text."""

import json
from pathlib import Path

import numpy as np
import pytest

from voice_assets_tests.core.moshi.conftest import ShardBuilder, make_dialogue
from voice_core.audio.pcm import Pcm16, to_pcm16
from voice_core.moshi.checks import speech_says_its_text
from voice_core.moshi.recognition import load_moshi_recogniser
from voice_core.recognition.recognisers import RecogniserOptions, count_word_errors, load_recogniser
from voice_core.settings import ConfigurationError, MoshiSettings
from voice_core.tts import Utterance, load_engine

SCRIPTS = [make_dialogue(f"d{n}", f"Is this number {n}, or not?", "It is.") for n in range(12)]


class StandIn:
    """Knows a beep by its length, and mishears `wrongly` of what it hears."""

    name = "stand-in"

    def __init__(self, texts: dict[int, str], wrongly: int = 0) -> None:
        self.texts, self.wrongly = texts, wrongly
        self.heard: list[str] = []

    def recognise(self, pcm: Pcm16, sample_rate_hz: int, language: str) -> str:
        text = self.texts[len(pcm)].upper().replace(",", "")
        self.heard.append(text)
        return "something else" if len(self.heard) <= self.wrongly else text


def test_a_sample_of_the_speech_is_compared_with_its_text(workshop: ShardBuilder) -> None:
    manifest = workshop.build(SCRIPTS)
    texts = {row.sample_count: row.text for row in manifest.rows}
    settings = MoshiSettings(recogniser_turns=8)
    good = StandIn(texts)
    outcome = speech_says_its_text(workshop.store, manifest, good, settings)
    assert (outcome.passed, outcome.figures["word_error_rate"], outcome.figures["utterances"]) == (True, 0.0, 8)
    bad = StandIn(texts, wrongly=4)
    outcome = speech_says_its_text(workshop.store, manifest, bad, settings)
    assert bad.heard == good.heard, "the same sample each time"
    assert (outcome.passed, outcome.warning) == (False, True)
    assert "was recognised as 'something else'" in outcome.message
    one_of_many = settings.model_copy(update={"recogniser_turns": 24})
    assert speech_says_its_text(workshop.store, manifest, StandIn(texts, wrongly=1), one_of_many).passed


def test_without_a_recogniser_the_check_says_so(workshop: ShardBuilder) -> None:
    assert load_recogniser(RecogniserOptions("none")) is None
    assert load_recogniser(RecogniserOptions(language="ar")) is None, "pocketsphinx knows English"
    outcome = speech_says_its_text(workshop.store, workshop.build(SCRIPTS[:1]), None, MoshiSettings())
    assert outcome.passed
    assert "no speech was recognised: moshi.recogniser" in outcome.message


def test_a_folder_without_a_model_or_a_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = MoshiSettings(recogniser=str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"moshi\.recogniser is .* folder with model.bin .* or config.json"):
        load_moshi_recogniser(settings)
    (tmp_path / "model.bin").touch()
    monkeypatch.setattr("voice_core.recognition.recognisers.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install faster-whisper"):
        load_moshi_recogniser(settings)
    with pytest.raises(ConfigurationError, match=r"^recogniser is pocketsphinx, which supports English, not ar"):
        load_recogniser(RecogniserOptions("pocketsphinx", "ar"))


def test_pocketsphinx_recognises_hibaris_speech_the_same_way_each_time() -> None:
    pytest.importorskip("pocketsphinx")
    recogniser = load_recogniser(RecogniserOptions())
    assert recogniser is not None
    text = "It came in this morning."
    speech = load_engine("hibari").speak(Utterance(text))
    pcm = to_pcm16(speech.audio)
    first, silence, again = (recogniser.recognise(audio, 24_000, "en") for audio in (pcm, 0 * pcm, pcm))
    assert first == again == "it came in this morning"
    assert count_word_errors(first.split(), silence.split()) >= 4


def test_a_model_of_transformers_listens(tmp_path: Path) -> None:
    """A tiny one, which has learnt nothing."""
    pytest.importorskip("torch")
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghij"]
    (tmp_path / "vocab.json").write_text(json.dumps({letter: n for n, letter in enumerate(letters)}), "utf-8")
    Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json")).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    config = Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    recogniser = load_recogniser(RecogniserOptions(str(tmp_path)))
    assert recogniser is not None
    heard = recogniser.recognise(np.zeros(24_000, np.int16), 24_000, "en")
    assert isinstance(heard, str)
