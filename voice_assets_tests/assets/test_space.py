"""`voice clean` and `voice trace`, as a person meets them."""

import json
from pathlib import Path

import pytest

from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_assets_tests.command_server import run_voice as voice
from voice_core.corpus.status import StageState


def npz(built_corpus: BuiltCorpus) -> list[Path]:
    return sorted(built_corpus.work.rglob("*.npz"))


def test_cleaning_asks_for_confirmation_and_a_build_has_nothing_to_do_until_a_freed_file_is_needed(
    built_corpus: BuiltCorpus,
) -> None:
    before = npz(built_corpus)
    looked = voice("clean", "segments", "coded", "--dry-run")
    assert looked.returncode == 0, looked.stderr
    assert "would be freed" in looked.stdout
    declined = voice("clean", "segments", "coded", given="n\n")
    assert declined.returncode == 1
    assert npz(built_corpus) == before
    done = voice("clean", "segments", "coded", given="y\n")
    assert done.returncode == 0, done.stderr
    assert "GB freed" in done.stdout
    assert npz(built_corpus) == []
    assert "Nothing to free" in voice("clean", "segments").stdout

    report = built_corpus.build()
    assert (report.materialised, report.failures) == (0, [])
    assert {item.segments for item in report.status.partitions} == {StageState.FREED}
    assert "segments freed" in voice("status").stdout
    rows = sum(len(item.manifest.kept()) for item in report.status.partitions if item.manifest)
    verified = voice("build", "--verify")
    assert verified.returncode == 0, verified.stderr
    assert "0 recordings decoded, 0 segments cut, 0 encoded" in verified.stdout
    assert npz(built_corpus) == []

    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Put right by hand."))
    report = built_corpus.build()
    assert report.failures == []
    assert report.status.finished
    assert (report.figures["recordings_decoded"], report.figures["segments_encoded"]) == (1, 1)
    assert sum(len(item.manifest.kept()) for item in report.status.partitions if item.manifest) == rows


def test_scratch_of_killed_processes_is_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "1-dead").mkdir(parents=True)
    (scratch / "1-dead" / "audio").write_bytes(b"x" * 1000)
    (scratch / "1-dead.room").write_text("1000")
    monkeypatch.setenv("VOICE_LOCAL_DIR", str(scratch))
    monkeypatch.setenv("VOICE_WORK_URL", str(tmp_path / "work"))
    assert "1 leftover of killed processes" in voice("clean", "scratch", "--dry-run").stdout
    assert (scratch / "1-dead").exists()
    assert voice("clean", "scratch", "--yes").returncode == 0
    assert not (scratch / "1-dead").exists()


def test_a_row_is_traced_and_what_is_not_published_stays(built_corpus: BuiltCorpus) -> None:
    shown = voice("trace", "Atheer_-/atheer_0003_seg_1", "--verify")
    assert shown.returncode == 0, shown.stderr
    for part in ("audio Atheer_-/atheer_0003", "cut from", "snr_db", "row group 0", "same recording", "not published"):
        assert part in shown.stdout
    value = json.loads(voice("trace", "atheer_0003", "1", "--json").stdout)
    assert value["name"] == "Atheer_-/atheer_0003_seg_1"
    assert value["audio"]["sha256"] in shown.stdout
    npz(built_corpus)[0].write_bytes(b"corrupt")
    channel, stem = npz(built_corpus)[0].parts[-3], npz(built_corpus)[0].stem
    corrupt = voice("trace", f"{channel}/{stem}", "--verify")
    assert corrupt.returncode == 1
    assert "repairs it" in corrupt.stdout
    unknown = voice("trace", "Atheer_-/atheer_0003_seg_999")
    assert unknown.returncode == 2
    assert "did you mean" in unknown.stderr

    refused = voice("clean", "datasets", "--yes")
    assert "not published" in " ".join(refused.stdout.replace("│", " ").split())  # its cell is wrapped
    assert "Nothing to free" in refused.stdout
    wrong = voice("clean", "segments", "-p", "nowhere/batch-0001")
    assert wrong.returncode == 2
    assert "there is no partition nowhere/batch-0001" in wrong.stderr
