"""`voice demo`, on a machine that has another corpus."""

from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_assets_tests.files import files_below
from voice_core.demo import sample_data


@pytest.mark.slow
def test_the_demo_is_built_in_its_folder_whatever_the_variables_name(
    built_corpus: BuiltCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sample_data, "generate_sample_data", partial(sample_data.generate_sample_data, seconds_scale=0.05)
    )
    monkeypatch.setenv("VOICE_MOSHI__RECOGNISER", "none")  # which takes longer than all else
    own = built_corpus.files()
    done = CliRunner().invoke(app, ["demo", str(tmp_path / "elsewhere")])
    assert done.exit_code == 0, done.output
    made = files_below(tmp_path / "elsewhere" / "work")
    assert {"datasets/voice/dataset.json", "moshi/dialogues/dialogues.jsonl"} <= made.keys()
    assert built_corpus.files() == own
    config = (tmp_path / "elsewhere" / "voice.toml").resolve()
    assert f"VOICE_CONFIG={config}" in done.output
    monkeypatch.setenv("VOICE_CONFIG", str(config))
    for name in ("VOICE_RAW_URL", "VOICE_WORK_URL", "VOICE_CHANNEL_MAPPING"):
        monkeypatch.delenv(name)
    again = CliRunner().invoke(app, ["build"])
    assert "Nothing to do: 21 recordings" in " ".join(again.output.split())
