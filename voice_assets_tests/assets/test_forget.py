"""`voice forget` as a person meets it: what is left in the work root, whatever the settings are then."""

from pathlib import Path

from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_assets_tests.command_server import run_voice as voice
from voice_assets_tests.core.corpus.forget.leftovers import find_leftovers
from voice_assets_tests.files import files_below
from voice_core.report.page import _TITLE

FORGOTTEN = "snow-006"


def test_a_recording_is_removed_from_everything_whatever_the_settings_are(built_corpus: BuiltCorpus) -> None:
    built_corpus.build(VOICE_DATASET="other")
    done = voice("forget", FORGOTTEN, "--yes", VOICE_CODEC="none", VOICE_CHANNELS='["Atheer_-"]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert find_leftovers(built_corpus.work, FORGOTTEN) == []
    told = " ".join((done.stdout + done.stderr).split())
    assert "datasets/other, datasets/voice" in told
    assert "Searched: " in told
    assert "Not reached: " in told
    before = built_corpus.files()
    again = voice("forget", f"harbour-radio/{FORGOTTEN}")
    assert again.returncode == 0, again.stderr
    assert "nothing of it is left" in " ".join(again.stdout.split())
    assert built_corpus.files() == before


def test_a_recording_is_removed_though_the_build_that_follows_cannot_run(
    built_corpus: BuiltCorpus, tmp_path: Path
) -> None:
    built_corpus.raw.rename(tmp_path / "away")
    page = built_corpus.root / "listen.html"
    page.write_bytes(f"<title>x {_TITLE}<td>{FORGOTTEN}</td>".encode())
    (notebook := _notebook(built_corpus)).parent.mkdir(parents=True, exist_ok=True)
    notebook.write_text("sound")
    done = voice("forget", FORGOTTEN, "--yes")
    assert find_leftovers(built_corpus.work, FORGOTTEN) == []
    assert done.returncode == 1
    assert "VOICE_RAW_URL" in " ".join(done.stderr.split())
    assert not page.exists()
    assert not notebook.exists()
    (tmp_path / "away").rename(built_corpus.raw)
    assert voice("forget", FORGOTTEN, "--yes").returncode == 0
    assert not page.exists()


def _notebook(built_corpus: BuiltCorpus) -> Path:
    storage = Path(built_corpus.instance.storage_directory())
    return storage / "listen" / "coded_segments" / "harbour-radio" / "batch-0001.ipynb"


def test_dagsters_store_holds_no_text_speaker_or_tone_of_a_recording(built_corpus: BuiltCorpus) -> None:
    marks = ("Xylophone text", "Xylophone speaker", "Xylophone tone", "Xylophone header", "Xylophone key")
    text, speaker, tone, header, key = marks
    built_corpus.edit_transcript(
        "Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text=text, speaker_id=speaker, tone=tone)
    )
    folder = built_corpus.raw / "harbour-radio"
    for name, transcript in (("loose.vtt", f"{header}\n"), ("odd.json", f'{{"{key}": 1}}'), ("said.json", f'"{text}"')):
        (folder / name).write_text(transcript, "utf-8")
        (folder / name).with_suffix(".mp3").write_bytes((folder / "snow-006.mp3").read_bytes())
    report = built_corpus.build()
    assert {item.audio_id for item in report.status.partitions[1].batch.recordings} >= {"loose", "odd", "said"}
    assert any(speaker.encode() in data for data in built_corpus.files().values())
    home = files_below(built_corpus.root / "dagster_home")
    recorded = {name: data for name, data in home.items() if "/listen/" not in name}
    assert [(name, mark) for name, data in recorded.items() for mark in marks if mark.encode() in data] == []
    assert not [line for line in report.warnings for mark in marks if mark in line]
