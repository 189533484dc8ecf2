"""The wrapper of IndexTTS2, against a package with the real one's signatures and habits."""

import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from voice_assets_tests.core.tts.fake_indextts import recorded_calls
from voice_core.compute.gpu_lock import GpuHolder, hold_gpu, read_gpu_holders
from voice_core.settings import ConfigurationError, Settings
from voice_core.tts import (
    EngineBrokenError,
    EngineUnavailableError,
    SpeechEngine,
    TransientEngineError,
    Utterance,
    configured_engine,
    load_engine,
)
from voice_core.tts.indextts2 import IndexTTS2Engine


def test_it_is_a_speech_engine_that_speaks_mono_floats_at_22_050_hz(engine: IndexTTS2Engine) -> None:
    assert isinstance(engine, SpeechEngine)
    assert engine.voices == ("anna", "ben")
    speech = engine.speak(Utterance("Hello there.", "anna"))
    assert (speech.sample_rate_hz, speech.audio.dtype, speech.audio.shape) == (22_050, np.float32, (12_000,))
    assert float(np.abs(speech.audio).max()) == 1.0
    assert (speech.engine, speech.revision) == ("indextts2", engine.revision)
    assert recorded_calls(engine)[0]["output_path"] is None


def test_nothing_is_imported_before_the_first_utterance(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "indextts.infer_v2", None)
    engine = load_engine("indextts2", **options)
    assert engine.revision
    with pytest.raises(EngineUnavailableError):
        engine.speak(Utterance("Hello.", "anna"))


def test_every_utterance_is_seeded_whatever_was_spoken_before_it(engine: IndexTTS2Engine) -> None:
    first = engine.speak(Utterance("Hello.", "anna", seed=5))
    engine.speak(Utterance("Something else.", "ben", seed=6))
    torch.rand(10)
    again = engine.speak(Utterance("Hello.", "anna", seed=5))
    other = engine.speak(Utterance("Hello.", "anna", seed=6))
    assert np.array_equal(first.audio, again.audio)
    assert not np.array_equal(first.audio, other.audio)


def test_a_copy_in_another_process_loads_its_own_weights_and_speaks_alike(engine: IndexTTS2Engine) -> None:
    speech = engine.speak(Utterance("Hello.", "anna"))
    copy = pickle.loads(pickle.dumps(engine))
    assert copy._model is None
    assert np.array_equal(copy.speak(Utterance("Hello.", "anna")).audio, speech.audio)


def test_a_path_is_a_voice_and_the_default_is_the_first(engine: IndexTTS2Engine, options: dict[str, Any]) -> None:
    by_name, by_path, default = (
        engine.speak(Utterance("Hello.", voice)).audio for voice in ("anna", options["voices"]["anna"], "default")
    )
    assert np.array_equal(by_name, by_path)
    assert np.array_equal(by_name, default)
    assert engine.prompt_misses == 1


def test_an_unknown_voice_is_an_error_that_lists_the_known_ones(engine: IndexTTS2Engine) -> None:
    with pytest.raises(ValueError, match=r"no voice 'carla', and no recording exists at that path; it has anna, ben"):
        engine.speak(Utterance("Hello.", "carla"))


def test_a_language_that_the_weights_do_not_speak_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"speaks zh, en, not ar .*'مرحبا'"):
        load_engine("indextts2", **options).speak(Utterance("مرحبا", "anna", language="ar"))
    tuned = load_engine("indextts2", **options, languages=("ar",))
    assert tuned.speak(Utterance("مرحبا", "anna", language="ar-SA")).duration_sec > 0


def test_an_unknown_option_is_an_error_that_lists_the_known_ones(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"indextts2 has no option 'use_bf16'; it has .*use_fp16"):
        load_engine("indextts2", **options, use_bf16=True)


def test_the_revision_depends_on_the_audio_and_not_on_the_device(options: dict[str, Any]) -> None:
    def revision(**changed: Any) -> str:
        return load_engine("indextts2", **{**options, **changed}).revision

    same = {revision(), revision(device="cpu"), revision(verbose=True)}
    assert len(same) == 1
    assert len({*same, revision(use_fp16=True), revision(generation={"top_k": 5})}) == 3
    Path(options["model_dir"], "gpt.pth").write_text("other weights")
    assert revision() not in same


@pytest.mark.parametrize("text", ["tongue", "endless", " "])
def test_a_text_that_is_cut_off_is_refused_by_name(engine: IndexTTS2Engine, text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        engine.speak(Utterance(text, "anna"))
    with pytest.raises(ValueError, match=repr(text)):
        list(engine.stream(Utterance(text, "anna")))
    assert engine.speak(Utterance("Hello.", "anna")).duration_sec > 0


def test_a_gpu_whose_memory_runs_out_is_worth_another_try(engine: IndexTTS2Engine) -> None:
    with pytest.raises(TransientEngineError, match="out of memory at 'memory'"):
        engine.speak(Utterance("memory", "anna"))


def test_a_gpu_that_is_lost_to_the_process_ends_the_engine(engine: IndexTTS2Engine) -> None:
    lost = r"since it failed at 'assert': CUDA error: device-side assert triggered$"
    with pytest.raises(EngineBrokenError, match=lost):
        engine.speak(Utterance("assert", "anna"))


def test_it_is_loaded_onto_a_gpu_that_is_kept_from_other_processes_meanwhile(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    locks = str(tmp_path / "locks")
    engine = load_engine("indextts2", **options, gpu_lock_dir=locks)
    assert isinstance(engine, IndexTTS2Engine)
    monkeypatch.setattr("voice_core.tts.indextts2.engine._gpus", lambda _: {"GPU-0": "cuda:0", "GPU-1": "cuda:1"})
    with hold_gpu(["GPU-0"], "somebody else's work", locks), ThreadPoolExecutor(1) as elsewhere:

        def speak() -> dict[str, GpuHolder | None]:
            with engine.ready("speaking"):
                engine.speak(Utterance("Hello.", "anna"))
                return read_gpu_holders(locks)

        held = elsewhere.submit(speak).result()
    assert {gpu: holder.purpose for gpu, holder in held.items() if holder} == {
        "GPU-0": "somebody else's work",
        "GPU-1": "speaking",
    }
    built = engine._model.built
    # The package takes its kernel on a GPU that it chooses itself, which is what "auto" asks for.
    assert (built["device"], built["use_cuda_kernel"]) == ("cuda:1", True)


def test_without_a_gpu_the_package_chooses_the_device_unless_one_is_requested(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    engine = load_engine("indextts2", **options)
    assert isinstance(engine, IndexTTS2Engine)
    with engine.ready("speaking"):
        assert engine._model.built["device"] is None
    wanting = load_engine("indextts2", **options, device="cuda:1")
    with (
        pytest.raises(EngineUnavailableError, match=r"device is cuda:1, and torch .* sees 0 GPUs"),
        wanting.ready(""),
    ):
        pass
    with load_engine("noise").ready("speaking"):
        pass


@pytest.mark.parametrize("silence_ms", [200, 0])
def test_a_stream_is_the_same_audio_part_for_part(options: dict[str, Any], silence_ms: int) -> None:
    engine = load_engine("indextts2", **options, interval_silence=silence_ms)
    utterance = Utterance("One. Two. Three.", "anna", seed=3)
    pieces = [*engine.stream(utterance)]
    assert len(pieces) == (5 if silence_ms else 3)
    assert all(piece.dtype == np.float32 and piece.ndim == 1 for piece in pieces)
    assert np.array_equal(np.concatenate(pieces), engine.speak(utterance).audio)


def test_between_the_pieces_of_a_stream_standard_output_is_the_callers(
    engine: IndexTTS2Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in engine.stream(Utterance("One. Two.", "anna")):
        sys.stdout.write("heard\n")
    assert capsys.readouterr().out == "heard\n" * 3


def test_the_settings_choose_the_engine_and_its_options(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configured_engine(Settings.load()) == ("hibari", {})
    monkeypatch.setenv("VOICE_SPEECH__ENGINE", "indextts2")
    monkeypatch.setenv("VOICE_INDEXTTS2__MODEL_DIR", options["model_dir"])
    monkeypatch.setenv("VOICE_INDEXTTS2__VOICES", f'{{"anna": "{options["voices"]["anna"]}"}}')
    monkeypatch.setenv("VOICE_INDEXTTS2__GENERATION", '{"num_beams": 1, "temperature": 0.7}')
    name, chosen = pickle.loads(pickle.dumps(configured_engine(Settings.load())))
    engine = load_engine(name, **chosen)
    assert isinstance(engine, IndexTTS2Engine)
    assert engine.settings == Settings.load().indextts2
    assert engine.settings.generation == {"num_beams": 1, "temperature": 0.7}
    assert engine.speak(Utterance("Hello.", "anna")).duration_sec > 0


def test_wrong_settings_are_errors_that_name_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_INDEXTTS2__EMO_ALPHA", "7")
    with pytest.raises(ConfigurationError, match="VOICE_INDEXTTS2__EMO_ALPHA"):
        Settings.load()
    monkeypatch.delenv("VOICE_INDEXTTS2__EMO_ALPHA")
    with pytest.raises(ValueError, match=r"speech.engine: unknown speech engine; known: hibari"):
        configured_engine(Settings.load(speech={"engine": "festival"}))


def test_a_gpu_is_held_for_workers_that_load_their_own_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    locks = str(tmp_path / "locks")
    monkeypatch.setattr("voice_core.tts.indextts2.engine._gpus", lambda _: {"GPU-0": "cuda:0", "GPU-1": "cuda:1"})
    with (
        load_engine("indextts2", gpu_lock_dir=locks).held("one") as first,
        load_engine("noise").held("none") as nothing,
    ):
        assert first == {"device": "cuda:0", "use_cuda_kernel": True}
        assert nothing == {}
        found: list[dict[str, object]] = []

        def other() -> None:
            with load_engine("indextts2", use_cuda_kernel=False, gpu_lock_dir=locks).held("another") as second:
                found.append(second)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(20)
        assert found == [{"device": "cuda:1", "use_cuda_kernel": False}]
