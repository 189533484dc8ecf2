"""The wrapper of IndexTTS2, against a package with the real one's signatures and habits."""

import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from voice_assets_tests.core.tts import fake_indextts
from voice_core.gpu_lock import Holder, hold, holders
from voice_core.settings import ConfigurationError, IndexTTS2Settings, Settings
from voice_core.synthesis import EngineSpec, Group, SynthesisOptions, synthesise
from voice_core.tts import (
    EngineBrokenError,
    EngineUnavailableError,
    SpeechEngine,
    TransientEngineError,
    Utterance,
    chosen_engine,
    held,
    load_engine,
    ready,
)
from voice_core.tts.indextts2 import EMOTIONS, IndexTTS2Engine


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of an engine with two voices, whose package is the fake one."""
    fake_indextts.install(monkeypatch)
    voices = {name: str(tmp_path / f"{name}.wav") for name in ("anna", "ben")}
    for name, path in voices.items():
        Path(path).write_bytes(name.encode())
    return {"model_dir": str(fake_indextts.checkpoint(tmp_path / "weights")), "voices": voices}


@pytest.fixture
def engine(options: dict[str, Any]) -> IndexTTS2Engine:
    engine = load_engine("indextts2", **options)
    assert isinstance(engine, IndexTTS2Engine)
    return engine


def asked(engine: IndexTTS2Engine) -> list[dict[str, Any]]:
    """What `infer` was called with, call for call."""
    calls: list[dict[str, Any]] = engine._model.asked
    return calls


def lacking(*names: str) -> type:
    """The package of an earlier version, whose constructor has fewer switches."""

    class Earlier(fake_indextts.IndexTTS2):
        def __init__(self, cfg_path="c", model_dir="m", use_fp16=False, device=None, use_cuda_kernel=None):
            super().__init__(cfg_path, model_dir, use_fp16, device, use_cuda_kernel)

    return Earlier


# -- the protocol


def test_it_is_a_speech_engine_that_speaks_mono_floats_at_22_050_hz(engine: IndexTTS2Engine) -> None:
    assert isinstance(engine, SpeechEngine)
    assert engine.voices == ("anna", "ben")
    speech = engine.speak(Utterance("Hello there.", "anna"))
    assert (speech.sample_rate_hz, speech.audio.dtype, speech.audio.shape) == (22_050, np.float32, (12_000,))
    assert float(np.abs(speech.audio).max()) == 1.0
    assert (speech.engine, speech.revision) == ("indextts2", engine.revision)
    assert asked(engine)[0]["output_path"] is None


def test_nothing_is_imported_before_something_is_said(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "indextts.infer_v2", None)
    engine = load_engine("indextts2", **options)
    assert engine.revision
    with pytest.raises(EngineUnavailableError):
        engine.speak(Utterance("Hello.", "anna"))


def test_every_utterance_is_seeded_whatever_was_said_before_it(engine: IndexTTS2Engine) -> None:
    first = engine.speak(Utterance("Hello.", "anna", seed=5))
    engine.speak(Utterance("Something else.", "ben", seed=6))
    torch.rand(10)
    again = engine.speak(Utterance("Hello.", "anna", seed=5))
    other = engine.speak(Utterance("Hello.", "anna", seed=6))
    assert np.array_equal(first.audio, again.audio)
    assert not np.array_equal(first.audio, other.audio)


def test_a_copy_in_another_process_speaks_alike_with_weights_of_its_own(engine: IndexTTS2Engine) -> None:
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


def test_an_unknown_voice_is_answered_with_the_known_ones(engine: IndexTTS2Engine) -> None:
    with pytest.raises(ValueError, match=r"no voice 'carla', and no recording lies there; it has anna, ben"):
        engine.speak(Utterance("Hello.", "carla"))


def test_a_language_that_the_weights_do_not_speak_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"speaks zh, en, not ar .*'مرحبا'"):
        load_engine("indextts2", **options).speak(Utterance("مرحبا", "anna", language="ar"))
    tuned = load_engine("indextts2", **options, languages=("ar",))
    assert tuned.speak(Utterance("مرحبا", "anna", language="ar-SA")).duration_sec > 0


# -- recordings of voices


def test_work_that_is_grouped_by_voice_computes_each_voice_once(engine: IndexTTS2Engine) -> None:
    for voice in ("anna", "anna", "anna", "ben", "ben", "ben"):
        engine.speak(Utterance("Hello.", voice))
    assert engine.prompt_misses == 2
    for voice in ("anna", "ben", "anna", "ben"):
        engine.speak(Utterance("Hello.", voice))
    assert engine.prompt_misses == 6


def test_a_recording_that_changed_under_its_path_is_heard(engine: IndexTTS2Engine, options: dict[str, Any]) -> None:
    path = Path(options["voices"]["anna"])
    before, identity = engine.speak(Utterance("Hello.", "anna")).audio, engine.prompt_identity("anna")
    path.write_bytes(b"anna, ten years later")
    after = engine.speak(Utterance("Hello.", "anna")).audio
    assert not np.array_equal(before, after)
    assert engine.prompt_identity("anna") != identity
    path.write_bytes(b"anna")
    assert np.array_equal(engine.speak(Utterance("Hello.", "anna")).audio, before)
    assert engine.prompt_misses == 3


def test_a_voice_is_computed_when_it_is_warmed_and_not_again(engine: IndexTTS2Engine) -> None:
    engine.warm("anna")
    engine.warm("anna")
    assert engine.prompt_misses == 1
    engine.speak(Utterance("Hello.", "anna"))
    assert (engine.prompt_misses, len(asked(engine))) == (1, 2)
    engine.warm("nobody")


def test_clearing_forgets_recordings_and_all_that_the_model_keeps(engine: IndexTTS2Engine) -> None:
    engine.clear()
    engine.speak(Utterance("Hello.", "anna"))
    copy = Path(asked(engine)[0]["spk_audio_prompt"])
    assert copy.is_file()
    engine.clear()
    assert not copy.exists()
    assert {value for name, value in vars(engine._model).items() if name.startswith("cache_")} == {None}
    engine.speak(Utterance("Hello.", "anna"))
    assert engine.prompt_misses == 2


def test_a_worker_that_is_ended_takes_its_copies_with_it(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notes = fake_indextts.install_everywhere(monkeypatch, tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("VOICE_LOCAL_DIR", str(tmp_path / "tmp" / "scratch"))
    (tmp_path / "tmp").mkdir()
    said = Group("one", (Utterance("Hello.", "anna"), Utterance("Good morning.", "ben")))
    (spoken,) = synthesise([said], EngineSpec("indextts2", options), SynthesisOptions("process", workers=1))
    assert not spoken.failures
    assert len(notes.read_text().splitlines()) == 5
    assert [path.name for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == ["ledger.lock"]


# -- emotions


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_named_emotion_is_its_place_in_the_vector(engine: IndexTTS2Engine, emotion: str) -> None:
    engine.speak(Utterance("Hello.", "anna", emotion=emotion))
    order = ["happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm"]
    assert asked(engine)[0]["emo_vector"] == [0.8 if name == emotion else 0.0 for name in order]


def test_a_path_is_an_emotional_recording_and_any_other_text_a_description(
    engine: IndexTTS2Engine, tmp_path: Path
) -> None:
    angry = tmp_path / "angry.wav"
    angry.write_bytes(b"grr")
    for emotion in ("", str(angry), "close to tears"):
        engine.speak(Utterance("Hello.", "anna", emotion=emotion))
    plain, recorded, described = asked(engine)
    assert (plain["emo_audio_prompt"], plain["emo_vector"], plain["use_emo_text"]) == (None, None, False)
    assert Path(recorded["emo_audio_prompt"]).read_bytes() == b"grr"
    assert (described["use_emo_text"], described["emo_text"]) == (True, "close to tears")
    assert (engine.prompt_misses, engine.emotion_misses) == (1, 3)


def test_a_recording_or_a_description_that_cannot_be_used_is_refused(options: dict[str, Any]) -> None:
    engine = load_engine("indextts2", **options, use_qwen_emo=False)
    with pytest.raises(ValueError, match=r"nowhere/angry.wav cannot be read: No such file"):
        engine.speak(Utterance("Hello.", "anna", emotion="/nowhere/angry.wav"))
    with pytest.raises(ValueError, match=r"'close to tears', needs indextts2.use_qwen_emo; without, there are happy"):
        engine.speak(Utterance("Hello.", "anna", emotion="close to tears"))


# -- switches


def test_every_switch_and_argument_is_passed_on(options: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("")
    switches = {
        "use_fp16": True,
        "use_cuda_kernel": False,
        "use_deepspeed": True,
        "use_accel": True,
        "use_torch_compile": True,
        "use_qwen_emo": False,
        "aux_paths": {"bigvgan": "/w/bigvgan"},
    }
    spoken = {
        "use_random": True,
        "interval_silence": 0,
        "verbose": True,
        "max_text_tokens_per_segment": 60,
        "more_segment_before": 4,
    }
    engine = load_engine(
        "indextts2",
        **{**options, **switches, **spoken},
        device="cpu",
        cfg_path=str(config),
        emo_alpha=0.5,
        generation={"num_beams": 1, "top_p": 0.9},
    )
    assert isinstance(engine, IndexTTS2Engine)
    engine.speak(Utterance("Hello.", "anna", emotion="sad"))
    given = {"cfg_path": str(config), "model_dir": options["model_dir"], "device": "cpu"}
    assert engine._model.built == {**given, **switches}
    assert asked(engine)[0].items() >= {**spoken, "emo_alpha": 0.5, "num_beams": 1, "top_p": 0.9}.items()


def test_by_default_the_package_gets_its_own_defaults(engine: IndexTTS2Engine, options: dict[str, Any]) -> None:
    engine.warm("anna")
    model_dir = options["model_dir"]
    own = fake_indextts.IndexTTS2(str(Path(model_dir, "config.yaml")), model_dir)
    assert engine._model.built == own.built


@pytest.mark.parametrize(
    ("asked_for", "told"),
    [({"use_accel": True}, "has no use_accel"), ({"use_qwen_emo": False}, "has no use_qwen_emo")],
)
def test_a_switch_that_the_installed_version_lacks_is_refused_only_when_it_is_asked_for(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, asked_for: dict[str, Any], told: str
) -> None:
    fake_indextts.install(monkeypatch, lacking())
    assert load_engine("indextts2", **options).speak(Utterance("Hello.", "anna")).duration_sec > 0
    with pytest.raises(EngineUnavailableError, match=told):
        load_engine("indextts2", **options, **asked_for).speak(Utterance("Hello.", "anna"))


def test_generation_arguments_that_would_be_ignored_or_collide_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot have do_sample, text: it always samples"):
        load_engine("indextts2", **options, generation={"do_sample": False, "text": 1})


def test_an_unknown_option_is_answered_with_the_known_ones(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"indextts2 has no option 'use_bf16'; it has .*use_fp16"):
        load_engine("indextts2", **options, use_bf16=True)


def test_what_is_heard_changes_the_revision_and_where_it_runs_does_not(options: dict[str, Any]) -> None:
    def revision(**changed: Any) -> str:
        return load_engine("indextts2", **{**options, **changed}).revision

    same = {revision(), revision(device="cpu"), revision(verbose=True)}
    assert len(same) == 1
    assert len({*same, revision(use_fp16=True), revision(generation={"top_k": 5})}) == 3
    Path(options["model_dir"], "gpt.pth").write_text("other weights")
    assert revision() not in same


# -- what goes wrong


@pytest.mark.parametrize("text", ["tongue", "endless", " "])
def test_a_text_that_is_not_said_in_full_is_refused_by_name(engine: IndexTTS2Engine, text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        engine.speak(Utterance(text, "anna"))
    with pytest.raises(ValueError, match=repr(text)):
        list(engine.stream(Utterance(text, "anna")))
    assert engine.speak(Utterance("Hello.", "anna")).duration_sec > 0


def test_a_gpu_whose_memory_runs_out_is_worth_another_try(engine: IndexTTS2Engine) -> None:
    with pytest.raises(TransientEngineError, match="memory ran out at 'memory'"):
        engine.speak(Utterance("memory", "anna"))


def test_a_gpu_that_is_lost_to_the_process_ends_the_engine(engine: IndexTTS2Engine) -> None:
    with pytest.raises(EngineBrokenError, match=r"since 'assert': CUDA error: device-side assert triggered$"):
        engine.speak(Utterance("assert", "anna"))


def test_a_missing_package_and_missing_files_are_named_with_their_cure(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(options["model_dir"], "gpt.pth").unlink()
    Path(options["model_dir"], "qwen0.6bemo4-merge").rmdir()
    with pytest.raises(EngineUnavailableError, match=r"has no gpt.pth, qwen0.6bemo4-merge. Fetch them: hf download"):
        load_engine("indextts2", **options).speak(Utterance("Hello.", "anna"))
    monkeypatch.setitem(sys.modules, "indextts.infer_v2", None)
    with pytest.raises(EngineUnavailableError, match=r"not on PyPI: pip install git.*Also: .*has no gpt.pth"):
        load_engine("indextts2", **options).speak(Utterance("Hello.", "anna"))
    with pytest.raises(EngineUnavailableError, match=r"has no gpt.pth\. Fetch"):
        assert load_engine("indextts2", **options, use_qwen_emo=False).revision


def test_the_hubs_cache_lies_beside_the_weights_and_the_variable_is_left_as_it_was(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Looking(fake_indextts.IndexTTS2):
        def __init__(self, cfg_path="c", model_dir="m", device=None):
            seen.append(os.environ["HF_HUB_CACHE"])
            super().__init__(cfg_path, model_dir)

    fake_indextts.install(monkeypatch, Looking)
    load_engine("indextts2", **options).warm("anna")
    assert seen == [str(Path(options["model_dir"], "hf_cache"))]
    assert "HF_HUB_CACHE" not in os.environ


# -- GPUs


def test_it_is_loaded_onto_a_gpu_that_is_kept_from_other_processes_meanwhile(
    engine: IndexTTS2Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VOICE_GPU_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.setattr("voice_core.tts.indextts2.engine._gpus", lambda _: {"GPU-0": "cuda:0", "GPU-1": "cuda:1"})
    with hold(["GPU-0"], "somebody else's work"), ThreadPoolExecutor(1) as elsewhere:

        def speak() -> dict[str, Holder | None]:
            with ready(engine, "speaking"):
                engine.speak(Utterance("Hello.", "anna"))
                return holders()

        held = elsewhere.submit(speak).result()
    assert {gpu: holder.purpose for gpu, holder in held.items() if holder} == {
        "GPU-0": "somebody else's work",
        "GPU-1": "speaking",
    }
    built = engine._model.built
    # The package takes its kernel on a GPU that it chooses itself, which is what "auto" asks for.
    assert (built["device"], built["use_cuda_kernel"]) == ("cuda:1", True)


def test_without_a_gpu_it_is_loaded_where_the_package_likes_unless_one_is_asked_for(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    engine = load_engine("indextts2", **options)
    assert isinstance(engine, IndexTTS2Engine)
    with ready(engine, "speaking"):
        assert engine._model.built["device"] is None
    wanting = load_engine("indextts2", **options, device="cuda:1")
    with pytest.raises(EngineUnavailableError, match=r"device is cuda:1, and torch .* sees 0 GPUs"), ready(wanting, ""):
        pass
    with ready(load_engine("noise"), "speaking"):
        pass


# -- streams


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


# -- logs


def test_what_the_package_prints_is_logged_and_a_bar_is_one_line(
    engine: IndexTTS2Engine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "voice_core.tts.indextts2"):
        engine.speak(Utterance("One. Two.", "anna"))
    assert capfd.readouterr() == ("", "")
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert {record.name for record in caplog.records} == {"voice_core.tts.indextts2"}
    assert ("INFO", f">> GPT weights restored from: {engine.settings.model_dir}") in told
    assert ("WARNING", ">> Failed to load DeepSpeed. Falling back to normal inference.") in told
    assert ("DEBUG", ">> RTF: 0.5000") in told
    bars = [message for _, message in told if "%|" in message]
    assert len(bars) == 2
    assert all("25/25" in bar for bar in bars)


def test_a_log_handler_that_writes_to_standard_error_does_not_go_in_circles(
    engine: IndexTTS2Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    class Current(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sys.stderr.write(f"log: {record.getMessage()}\n")

    log = logging.getLogger("voice_core.tts.indextts2")
    handler = Current(logging.WARNING)
    log.addHandler(handler)
    try:
        engine.warm("anna")
    finally:
        log.removeHandler(handler)
    assert capsys.readouterr().err == "log: >> Failed to load DeepSpeed. Falling back to normal inference.\n"


# -- settings


def test_the_settings_choose_the_engine_and_its_options(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen_engine(Settings.load()) == ("hibari", {})
    monkeypatch.setenv("VOICE_SPEECH__ENGINE", "indextts2")
    monkeypatch.setenv("VOICE_INDEXTTS2__MODEL_DIR", options["model_dir"])
    monkeypatch.setenv("VOICE_INDEXTTS2__VOICES", f'{{"anna": "{options["voices"]["anna"]}"}}')
    monkeypatch.setenv("VOICE_INDEXTTS2__GENERATION", '{"num_beams": 1, "temperature": 0.7}')
    name, chosen = pickle.loads(pickle.dumps(chosen_engine(Settings.load())))
    engine = load_engine(name, **chosen)
    assert isinstance(engine, IndexTTS2Engine)
    assert engine.settings == Settings.load().indextts2
    assert engine.settings.generation == {"num_beams": 1, "temperature": 0.7}
    assert engine.speak(Utterance("Hello.", "anna")).duration_sec > 0


def test_wrong_settings_are_told_by_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_INDEXTTS2__EMO_ALPHA", "7")
    with pytest.raises(ConfigurationError, match="VOICE_INDEXTTS2__EMO_ALPHA"):
        Settings.load()
    monkeypatch.delenv("VOICE_INDEXTTS2__EMO_ALPHA")
    with pytest.raises(ValueError, match=r"speech.engine is 'festival'; known engines: hibari"):
        chosen_engine(Settings.load(speech={"engine": "festival"}))


def test_the_settings_have_every_parameter_of_the_packages_constructor() -> None:
    import inspect

    parameters = inspect.signature(fake_indextts.IndexTTS2).parameters
    assert set(parameters) <= set(IndexTTS2Settings.model_fields)


def test_the_check_of_the_real_package_runs_and_finds_the_fake_one_as_it_should_be(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CI has no weights; so that the check works where there are some, it is run here against the fake package."""
    root = Path(__file__).parents[3]
    install = f"import pytest; from {fake_indextts.__name__} import install; install(pytest.MonkeyPatch())"
    (tmp_path / "as_if_installed.py").write_text(install)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    monkeypatch.setenv("VOICE_INDEXTTS2__MODEL_DIR", options["model_dir"])
    monkeypatch.setenv("VOICE_INDEXTTS2__VOICES", json.dumps(options["voices"]))
    monkeypatch.setenv("VOICE_GPU_LOCK_DIR", str(tmp_path / "locks"))
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "as_if_installed", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "voice_assets_tests/real/indextts2.py"], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "16 passed" in run.stdout


def test_a_gpu_is_held_for_workers_that_load_engines_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VOICE_GPU_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.setattr("voice_core.tts.indextts2.engine._gpus", lambda _: {"GPU-0": "cuda:0", "GPU-1": "cuda:1"})
    with held(load_engine("indextts2"), "one") as first, held(load_engine("noise"), "none") as nothing:
        assert first == {"device": "cuda:0", "use_cuda_kernel": True}
        assert nothing == {}
        found: list[dict[str, object]] = []

        def other() -> None:
            with held(load_engine("indextts2", use_cuda_kernel=False), "another") as second:
                found.append(second)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(20)
        assert found == [{"device": "cuda:1", "use_cuda_kernel": False}]
