"""pipeline.json: what is read, merged and left alone."""

import json
import os
import wave
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.audiobook.speech.babble import babble
from voice_assets_tests.core.audiobook.speech.conftest import SpeechBuilder
from voice_assets_tests.core.audiobook.speech.merge_kills import FOREIGN, merge_and_kill
from voice_core.audiobook.checks import check_text
from voice_core.audiobook.chunk_manifest import read_book_manifest
from voice_core.audiobook.pipeline_file import PipelineFileError, merge_results, read_chunk_paths
from voice_core.audiobook.pipeline_json import PipelineReport, speak_pipeline
from voice_core.audiobook.pipeline_text import pipeline_book
from voice_core.synthesis import SynthesisOptions

TEXTS = ("It was a dark night on the moor.", "Nobody had seen the lamp, and nobody asked.", "I refuse to say it.")


def write_json(folder: Path, content: Any) -> Path:
    path = folder / "pipeline.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_pipeline(folder: Path, *texts: str | bytes) -> Path:
    """The chunk files and their pipeline.json."""
    names = []
    for number, text in enumerate(texts, 1):
        (folder / f"c{number}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        names.append(f"c{number}.txt")
    return write_json(folder, {"phase3": {"files": {"my book": {"chunk_paths": names}}}, "phase5": {"a": 1}})


def speak(builder: SpeechBuilder, path: Path, **settings: Any) -> PipelineReport:
    options = SynthesisOptions("serial")
    return speak_pipeline(
        path, "my book", builder.settings(**settings), work=builder.store, options=options, engine=babble()
    )


def entries(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())["phase4"]["files"]["my book"])


def test_chunk_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    paths = ["chunks/a.txt", "/elsewhere/b.txt"]
    path = write_json(tmp_path, {"phase3": {"files": {"emma": {"chunk_paths": paths}}}})
    assert read_chunk_paths(path, "emma") == [tmp_path / "chunks/a.txt", Path("/elsewhere/b.txt")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged, or not JSON"),
        ('{"phase3": ', "is damaged, or not JSON"),
        ("[]", "must be a JSON object"),
        ({}, "phase3 is missing"),
        ({"phase3": {"files": []}}, "phase3.files must be an object"),
        ({"phase3": {"files": {"persuasion": {}}}}, "has no 'emma'; there are: persuasion"),
        ({"phase3": {"files": {"emma": {"chunk_paths": "a.txt"}}}}, "chunk_paths must be a list"),
    ],
)
def test_a_file_without_chunk_paths_is_an_error_that_names_it(tmp_path: Path, content: Any, message: str) -> None:
    path = write_json(tmp_path, content)
    with pytest.raises(PipelineFileError, match=message) as caught:
        read_chunk_paths(path, "emma")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["", '{"phase4": ', "[]", '{"phase4": []}', '{"phase4": {"files": {"emma": 3}}}'])
def test_a_damaged_file_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = write_json(tmp_path, content)
    with pytest.raises(PipelineFileError, match=r"pipeline\.json: "):
        merge_results(path, "emma", {1: {}})
    assert path.read_text() == content


def test_a_missing_file_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(PipelineFileError, match="there is no such file"):
        merge_results(tmp_path / "pipline.json", "emma", {1: {}})
    assert not list(tmp_path.iterdir())


def test_merging_changes_nothing_else(tmp_path: Path) -> None:
    path = write_json(tmp_path, FOREIGN)
    path.chmod(0o640)
    merge_results(path, "emma", {2: {"status": "success"}})
    merge_results(path, "new", {1: {"status": "failed"}})
    content = json.loads(path.read_text())
    assert content["phase4"]["files"]["emma"].pop("chunk_2") == {"status": "success"}
    assert content["phase4"]["files"].pop("new") == {"chunk_1": {"status": "failed"}}
    assert list(content.items()) == list(FOREIGN.items())
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = write_json(tmp_path / "real", FOREIGN)
    link = tmp_path / "pipeline.json"
    os.symlink(real, link)
    merge_results(link, "emma", {2: {}})
    assert link.is_symlink()
    assert "chunk_2" in json.loads(real.read_text())["phase4"]["files"]["emma"]


@pytest.mark.parametrize("seed", range(3))
def test_writers_that_are_killed_lose_nothing(tmp_path: Path, seed: int) -> None:
    assert merge_and_kill(tmp_path, seed) >= 6


def test_chunks_are_spoken_and_merged(builder: SpeechBuilder, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, *TEXTS)
    report = speak(builder, path)
    found = entries(path)
    assert (report.chunks, report.succeeded, report.spoken) == (3, 2, 2)
    assert report.failures == ["chunk 3: babble does not say that"]
    assert sorted(found) == ["chunk_1", "chunk_2", "chunk_3"]
    first = found["chunk_1"]
    assert list(first) == [
        "chunk_id", "audio_path", "status", "mos_score", "metrics", "errors", "timestamps",
    ]  # fmt: skip
    assert (first["chunk_id"], first["status"], first["mos_score"], first["errors"]) == ("chunk_1", "success", None, [])
    assert first["metrics"]["validation"]["tier1"]["passed"] is True
    with wave.open(str(tmp_path / first["audio_path"])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        seconds = file.getnframes() / file.getframerate()
    assert seconds == pytest.approx(first["metrics"]["validation"]["tier1"]["duration_sec"], abs=1e-3)
    assert found["chunk_3"]["status"] == "failed"
    assert found["chunk_3"]["errors"] == ["babble does not say that"]
    assert json.loads(path.read_text())["phase5"] == {"a": 1}


def test_a_second_run_speaks_what_changed_and_writes_all_entries(builder: SpeechBuilder, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, *TEXTS)
    speak(builder, path)
    content = json.loads(path.read_text())
    del content["phase4"]
    path.write_text(json.dumps(content))
    report = speak(builder, path)
    assert (report.spoken, report.reused, len(entries(path))) == (0, 2, 3)
    (tmp_path / "c2.txt").write_text("Somebody else had seen the lamp.")
    report = speak(builder, path)
    assert (report.spoken, report.reused) == (1, 1)


def test_chunks_are_spoken_with_the_lexicon_and_in_words(builder: SpeechBuilder, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, "Mr. Bennet met Henry VIII with £4,000.", TEXTS[1])
    speak(builder, path)
    before = entries(path)
    lexicon = tmp_path / "lexicon.toml"
    lexicon.write_text(
        '[[entry]]\nword = "Bennet"\nrespell = "Bennit"\n'
        '[[entry]]\nword = "lamp"\nrespell = "lantern"\nbook = "another book"\n'
    )
    report = speak(builder, path, lexicon=str(lexicon))
    assert (report.spoken, report.reused) == (1, 1)
    text = read_book_manifest(builder.store, pipeline_book(path, "my book"))
    assert text is not None
    first, second = (row.spoken_text for row in text.rows)
    assert first == "Mister Bennit met Henry the eighth with four thousand pounds."
    assert second == TEXTS[1]
    assert entries(path).keys() == before.keys()
    assert all(item.passed for item in check_text(text))


def test_results_of_chunks_that_are_not_in_the_list_any_more_are_removed(
    builder: SpeechBuilder, tmp_path: Path
) -> None:
    path = write_pipeline(tmp_path, *TEXTS[:2], "Who is there?")
    speak(builder, path)
    content = json.loads(path.read_text())
    content["phase3"]["files"]["my book"]["chunk_paths"].pop()
    foreign = {"chunk_9": {"status": "ours"}, "chunk_x": 1, "chunk_03": {}, "total": 3}
    content["phase4"]["files"]["my book"] |= foreign
    path.write_text(json.dumps(content))
    last = tmp_path / entries(path)["chunk_3"]["audio_path"]
    assert last.exists()
    assert speak(builder, path).spoken == 0
    assert sorted(entries(path)) == sorted(["chunk_1", "chunk_2", *foreign])
    assert not last.exists()
    assert len(list(last.parent.iterdir())) == 2


def test_two_files_in_one_folder_have_audio_of_their_own(builder: SpeechBuilder, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, TEXTS[0])
    other = tmp_path / "second.json"
    (tmp_path / "d1.txt").write_text(TEXTS[1])
    other.write_text(json.dumps({"phase3": {"files": {"my book": {"chunk_paths": ["d1.txt"]}}}}))
    speak(builder, path)
    speak(builder, other)
    names = [entries(item)["chunk_1"]["audio_path"] for item in (path, other)]
    assert names == ["artifacts/audio/my book_chunk_0001.wav", "artifacts/audio/second.json/my book_chunk_0001.wav"]
    assert len({(tmp_path / name).read_bytes() for name in names}) == 2


def test_bad_chunk_files_fail_alone(builder: SpeechBuilder, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, TEXTS[0], b"", b"caf\xe9 au lait", TEXTS[1])
    (tmp_path / "c4.txt").unlink()
    report = speak(builder, path)
    assert report.succeeded == 1
    found = entries(path)
    errors = {name: entry["errors"][0] for name, entry in found.items() if entry["status"] == "failed"}
    assert {name: "c" + name[-1] + ".txt" in error for name, error in errors.items()} == dict.fromkeys(errors, True)
    assert [errors[f"chunk_{number}"].split(".txt ")[1] for number in (2, 3, 4)] == [
        "has no words",
        "is not UTF-8 (byte 3)",
        "cannot be read (No such file or directory)",
    ]
