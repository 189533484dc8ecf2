"""What the validation finds, and what it leaves alone."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.planted_faults import FAULTS, plant
from voice_assets_tests.core.audiobook.speech.babble import make_chunk, write_book
from voice_assets_tests.core.audiobook.speech.conftest import SpeechBuilder, failed_tests
from voice_core.audio.pcm import Pcm16, to_pcm16
from voice_core.audiobook.audio_manifest import ChunkAudioRow
from voice_core.audiobook.validation import tier1, tier2
from voice_core.audiobook.validation.config import DEFAULTS, read_validation_config
from voice_core.audiobook.validation.examine import Examiner
from voice_core.audiobook.validation.sounds import compare_by_sound, read_spoken
from voice_core.demo.script import load_talks
from voice_core.recognition.aligners import ApproximateAligner
from voice_core.settings import ConfigurationError
from voice_core.tts import Utterance, load_engine

LIMITS = DEFAULTS.tier1.limits
SENTENCES = 40


@cache
def speech() -> dict[str, Pcm16]:
    """Ordinary sentences, short and long, and headings, spoken by hibari."""
    lines = [line.spoken for talk in load_talks().values() for line in talk]
    texts = [*lines[:: len(lines) // SENTENCES], "Chapter One", "Yes.", "No, no, no!", "Why?", "The End"]
    engine = load_engine("hibari")
    return {text: to_pcm16(engine.speak(Utterance(text, seed=1)).audio) for text in texts}


def failures_of(pcm: Pcm16, text: str, rate: int = 24_000, language: str = "en") -> set[str]:
    return {test for test, _ in tier1.judge(tier1.measure(pcm, rate, text, language), LIMITS)}


def test_good_speech_passes() -> None:
    assert {text: failures_of(pcm, text) for text, pcm in speech().items()} == {text: set() for text in speech()}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str) -> None:
    rng = np.random.default_rng(1)
    planted = [(text, plant(fault, pcm, text, rng)) for text, pcm in speech().items()]
    with_fault = [(text, pcm) for text, pcm in planted if pcm is not None]
    assert len(with_fault) > SENTENCES / 2
    missed = [text for text, pcm in with_fault if not failures_of(pcm, text)]
    assert len(missed) <= len(with_fault) // 25, missed


def test_other_lengths_and_levels_are_found() -> None:
    text, pcm = next(item for item in speech().items() if len(item[0]) > 60)
    assert "too_short" in failures_of(pcm, text * 3)
    assert "too_long" in failures_of(np.concatenate([pcm] * 3), text)
    assert "level" in failures_of((pcm / 40).astype(np.int16), text)
    assert "outer_silence" in failures_of(np.pad(pcm, (0, 60_000)), text)


def test_measures_of_other_languages_and_rates() -> None:
    text, pcm = next(iter(speech().items()))
    assert failures_of(pcm[::2], text, 12_000) == set()
    seconds, marks = tier1.expected_sec("السلام عليكم، وأهلًا بكم.", "ar")
    assert marks == 1
    assert 1.5 < seconds < 3.0


def test_silence_and_nothing_are_no_speech() -> None:
    for pcm in (np.zeros(0, np.int16), np.zeros(9_000, np.int16), np.ones(9_000, np.int16)):
        assert not tier1.has_speech(pcm, 24_000)
    with pytest.raises(ValueError, match="no speech"):
        tier1.measure(np.zeros(9_000, np.int16), 24_000, "text", "en")


def test_the_defaults_are_those_of_the_seed() -> None:
    assert (DEFAULTS.tier1.enabled, DEFAULTS.tier2.enabled) == (True, False)
    assert (DEFAULTS.tier2.whisper_model, DEFAULTS.tier2.whisper_sample_rate) == ("tiny", 0.02)
    assert read_validation_config("") == DEFAULTS


def test_a_config_sets_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "validation_config.yaml"
    path.write_text("tier2:\n  enabled: true  # for QA\n  whisper_sample_rate: 1\ntier1:\n  limits: {gap_sec: 0.5}\n")
    config = read_validation_config(str(path))
    assert (config.tier2.enabled, config.tier2.whisper_sample_rate, config.tier2.whisper_model) == (True, 1.0, "tiny")
    assert (config.tier1.limits.gap_sec, config.max_retries) == (0.5, DEFAULTS.max_retries)
    path.write_text("# nothing\n")
    assert read_validation_config(str(path)) == DEFAULTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tier3: {}", "tier3 is unknown; there are tier1, tier2, mos_predictor, max_retries"),
        ("tier2: {whisper_modl: tiny}", "tier2.whisper_modl is unknown; there are enabled, whisper_model"),
        ("tier1: {limits: {gap: 1}}", "tier1.limits.gap is unknown; there are fastest_pace"),
        ("tier2: {enabled: 'yes'}", "tier2.enabled: input should be a valid boolean"),
        ("tier2: {whisper_sample_rate: 2}", "tier2.whisper_sample_rate: input should be less than or equal to 1"),
        ("max_retries: two", "max_retries: input should be a valid integer"),
        ("tier2: true", "tier2: input should be"),
        ("- tier1", "must have keys such as tier1 and tier2"),
        ("tier1: [", "is not YAML"),
    ],
)
def test_what_is_wrong_in_a_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "validation_config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        read_validation_config(str(path))
    assert str(path) in str(caught.value)


def test_a_config_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_validation_config(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("written", "heard", "errors"),
    [
        ("Mr. Bennet was among their guests.", "mr bennett was among there guests", 0),
        ("It cost 4 000 pounds.", "It cost four thousand pounds", 0),
        ("It cost 4,000 pounds.", "it cost 4000 pounds.", 0),
        ("She would come to-morrow, or any day.", "she would come tomorrow or any day", 0),
        ("Any thing else?", "Anything else?", 0),
        ("The ferry leaves at 10:15.", "the ferry leaves at 1015", 0),
        ("There are a hundred and sixty four steps.", "there are 164 steps", 0),
        ("He saw a dog by the door.", "he saw a dog door", 2),
        ("He saw a dog by the door.", "he saw a cat by the door", 1),
        ("He saw a dog.", "", 4),
        ("I, Catherine, gave an hundred pounds.", "I Katherine gave 100 pounds", 0),
        ("Patience and the prince.", "patients and the prints", 0),
        ("It was a well-known book--his own.", "it was a well known book his own", 0),
    ],
)
def test_errors_are_counted_by_sound(written: str, heard: str, errors: int) -> None:
    assert compare_by_sound(written, heard, "en").errors == errors


def test_arabic_is_compared_without_vowel_marks() -> None:
    with_marks, plain = (read_spoken(text, "ar").words for text in ("السَّلامُ عليكُمْ", "السلام عليكم"))
    assert with_marks == plain == ["السلام", "عليكم"]


def test_the_book_or_what_the_engine_got_may_be_heard() -> None:
    chunk = make_chunk(1, "Hermione left in 1984.", spoken_text="Hermy oh nee left in nineteen eighty four.")
    for heard in ("Hermione left in 1984", "hermy oh nee left in nineteen eighty-four"):
        assert tier2.compare(heard, chunk).errors == 0


class FakeRecogniser:
    """Hears what it is told to, and counts."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text, self.count = name, text, 0

    def recognise(self, pcm: Pcm16, sample_rate_hz: int, language: str) -> str:
        self.count += 1
        return self.text


TEXT = "It was a dark night on the moor."


def recognising(builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch, *texts: str, share: float = 1.0) -> str:
    """A config whose models hear these texts."""
    models = ("small", "large")[: len(texts)]
    recognisers = {
        str(builder.folder / name): FakeRecogniser(name, text) for name, text in zip(models, texts, strict=True)
    }
    for path in recognisers:
        Path(path).mkdir(exist_ok=True)
    monkeypatch.setattr(tier2, "_load", lambda model, language: recognisers[model])
    larger = "  larger_model: large\n" if len(texts) > 1 else ""
    return builder.config(f"tier2:\n  enabled: true\n  whisper_model: small\n  whisper_sample_rate: {share}\n{larger}")


def first_row(builder: SpeechBuilder, config: str) -> ChunkAudioRow:
    write_book(builder.store, TEXT)
    return builder.build(settings={"validation": config}).manifest.rows[0]


def test_wrong_words_are_an_exception(builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    row = first_row(builder, recognising(builder, monkeypatch, "it was a park bench on the moor"))
    assert (failed_tests(row), row.takes) == (["words"], 3)
    found = json.loads(row.metrics)["tier2"]
    assert (found["words"], found["errors"], found["word_error_rate"]) == (8, 2, 0.25)


def test_the_larger_model_decides(builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    row = first_row(builder, recognising(builder, monkeypatch, "it was a park bench on the moor", TEXT))
    assert (failed_tests(row), row.takes) == ([], 1)
    assert json.loads(row.metrics)["tier2"]["recogniser"] == "large"


def test_the_share_of_chunks_is_always_the_same(builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    write_book(builder.store, *(f"{TEXT} The {word} came." for word in "dog cat fox hen cow pig ant bee".split()))  # noqa: SIM905

    def sampled(share: float) -> set[str]:
        config = recognising(builder, monkeypatch, "", share=share)
        report = builder.build(settings={"validation": config})
        return {row.chunk_id for row in report.manifest.rows if "tier2" in json.loads(row.metrics)}

    half = sampled(0.5)
    assert 0 < len(half) < 8
    assert half == sampled(0.5)
    assert sampled(0.0) == set()
    assert len(sampled(1.0)) == 8


def save_model(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text(str(folder))
    return folder


def make_examiner(model: Path, share: float = 0.1, **settings: Any) -> Examiner:
    tier2_config = DEFAULTS.tier2.model_copy(
        update={"enabled": True, "whisper_model": str(model), "whisper_sample_rate": share, **settings}
    )
    return Examiner(DEFAULTS.model_copy(update={"tier2": tier2_config}), ApproximateAligner())


def test_models_are_identified_by_their_content(tmp_path: Path) -> None:
    here = make_examiner(save_model(tmp_path / "here" / "tiny", b"weights"))
    for same in (
        make_examiner(save_model(tmp_path / "there" / "other name", b"weights")),
        make_examiner(tmp_path / "here" / "tiny", share=0.9, models_folder=str(tmp_path)),
    ):
        assert (same.identity(True), same.identity(False)) == (here.identity(True), here.identity(False))
    first = here.describe()
    assert str(tmp_path) not in repr(first)
    for other in (
        make_examiner(save_model(tmp_path / "here" / "tiny", b"WEIGHTS")),
        make_examiner(tmp_path / "there" / "other name", max_word_errors=0.2),
        make_examiner(tmp_path / "there" / "other name", larger_model=str(tmp_path / "here" / "tiny")),
    ):
        assert other.identity(True) != here.identity(True)
        assert other.identity(False) == here.identity(False)
        assert other.describe() != first


def test_settings_of_models_that_are_not_used_change_nothing(tmp_path: Path) -> None:
    config = DEFAULTS.tier2.model_copy(update={"whisper_model": "/nowhere", "models_folder": str(tmp_path)})
    unused = Examiner(DEFAULTS.model_copy(update={"tier2": config}), ApproximateAligner())
    assert unused.describe() == Examiner(DEFAULTS, ApproximateAligner()).describe()


def test_a_model_in_another_folder_validates_nothing_again(
    builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recognising(builder, monkeypatch, TEXT)
    first_row(builder, config)
    before = builder.files()
    moved = builder.folder / "elsewhere"
    (builder.folder / "small").rename(moved)
    monkeypatch.setattr(tier2, "_load", None)  # nothing is recognised
    again = builder.config(Path(config).read_text().replace("small", str(moved)))
    monkeypatch.setattr(Examiner, "check", lambda *_: None)
    first_row(builder, again)
    assert builder.files() == before


def test_a_model_that_is_not_there_is_an_error(builder: SpeechBuilder) -> None:
    write_book(builder.store, TEXT)
    config = builder.config("tier2:\n  enabled: true\n")
    with pytest.raises(ConfigurationError, match=r"tier2\.whisper_model is 'tiny'.*Nothing is downloaded"):
        builder.build(settings={"validation": config})


def test_pocketsphinx_hears_speech_that_says_something_else(builder: SpeechBuilder) -> None:
    text, pcm = next(item for item in speech().items() if len(item[0]) > 40)
    config = DEFAULTS.tier2.model_copy(update={"whisper_model": "pocketsphinx", "max_word_errors": 0.6})
    said = tier2.recognise(pcm, 24_000, make_chunk(1, text), config)
    compared = tier2.compare(said.text, make_chunk(1, "Colourless green ideas sleep furiously under the bed."))
    other = tier2.Recognition(said.text, len(compared.wanted.words), compared.errors, said.recogniser)
    assert tier2.judge(said, config) == []
    assert [test for test, _ in tier2.judge(other, config)] == ["words"]
