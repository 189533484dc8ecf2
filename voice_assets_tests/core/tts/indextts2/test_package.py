"""The package that is installed: its switches, its files, what it prints, and the check of the real one."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.tts import fake_indextts
from voice_assets_tests.core.tts.fake_indextts import recorded_calls
from voice_core.settings import IndexTTS2Settings
from voice_core.tts import EngineUnavailableError, Utterance, load_engine
from voice_core.tts.indextts2 import IndexTTS2Engine


def lacking() -> type:
    """The package of an earlier version, whose constructor has fewer switches."""

    class Earlier(fake_indextts.IndexTTS2):
        def __init__(self, cfg_path="c", model_dir="m", use_fp16=False, device=None, use_cuda_kernel=None):
            super().__init__(cfg_path, model_dir, use_fp16, device, use_cuda_kernel)

    return Earlier


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
    assert recorded_calls(engine)[0].items() >= {**spoken, "emo_alpha": 0.5, "num_beams": 1, "top_p": 0.9}.items()


def test_by_default_the_package_gets_its_own_defaults(engine: IndexTTS2Engine, options: dict[str, Any]) -> None:
    engine.warm("anna")
    model_dir = options["model_dir"]
    own = fake_indextts.IndexTTS2(str(Path(model_dir, "config.yaml")), model_dir)
    assert engine._model.built == own.built


@pytest.mark.parametrize(
    ("asked_for", "told"),
    [({"use_accel": True}, "has no use_accel"), ({"use_qwen_emo": False}, "has no use_qwen_emo")],
)
def test_a_switch_that_the_installed_version_lacks_is_refused_only_when_it_is_set(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, asked_for: dict[str, Any], told: str
) -> None:
    fake_indextts.install(monkeypatch, lacking())
    assert load_engine("indextts2", **options).speak(Utterance("Hello.", "anna")).duration_sec > 0
    with pytest.raises(EngineUnavailableError, match=told):
        load_engine("indextts2", **options, **asked_for).speak(Utterance("Hello.", "anna"))


def test_generation_arguments_that_would_be_ignored_or_collide_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must not contain do_sample, text: do_sample is always on"):
        load_engine("indextts2", **options, generation={"do_sample": False, "text": 1})


def test_a_missing_package_and_missing_files_are_named_with_their_cure(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(options["model_dir"], "gpt.pth").unlink()
    Path(options["model_dir"], "qwen0.6bemo4-merge").rmdir()
    with pytest.raises(EngineUnavailableError, match=r"has no gpt.pth, qwen0.6bemo4-merge. Download them: hf download"):
        load_engine("indextts2", **options).speak(Utterance("Hello.", "anna"))
    monkeypatch.setitem(sys.modules, "indextts.infer_v2", None)
    with pytest.raises(EngineUnavailableError, match=r"not on PyPI: pip install git.*Also: .*has no gpt.pth"):
        load_engine("indextts2", **options).speak(Utterance("Hello.", "anna"))
    with pytest.raises(EngineUnavailableError, match=r"has no gpt.pth\. Download"):
        assert load_engine("indextts2", **options, use_qwen_emo=False).revision


def test_the_hubs_cache_is_in_the_folder_of_the_weights_and_the_variable_is_unchanged(
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


def test_the_settings_have_every_parameter_of_the_packages_constructor() -> None:
    import inspect

    parameters = inspect.signature(fake_indextts.IndexTTS2).parameters
    assert set(parameters) <= set(IndexTTS2Settings.model_fields)


def test_the_check_of_the_real_package_runs_and_finds_the_fake_one_as_it_should_be(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CI has no weights; so that the check works where there are some, it is run here against the fake package."""
    root = Path(__file__).parents[4]
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
