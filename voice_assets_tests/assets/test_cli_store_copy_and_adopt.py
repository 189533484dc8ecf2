"""`voice store copy` and `voice adopt` on the command line."""

from pathlib import Path

import numpy as np
import pytest

from voice_assets_tests.command_server import run_voice as _voice
from voice_assets_tests.core.corpus.small_corpus import speech_like_noise
from voice_assets_tests.dagster_home import create_dagster_home
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.s3 import S3Server
from voice_core.audio.pcm import to_float, to_pcm16
from voice_core.codecs import load_codec


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder of segment files, with codes."""
    codec = load_codec("melvq")
    folder = tmp_path / "segments_cache"
    for name in ("video1", "video2"):
        for index in range(3):
            audio = speech_like_noise(2.0, seed=index + sum(name.encode()))
            path = folder / "newschannel" / f"{name}_seg_{index}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(
                path, audio=audio, codes=codec.encode([to_float(to_pcm16(audio))])[0], text=f"Part {index} of {name}.",
                speaker_id="s1", gender="", dialect="", tone="", duration_sec=2.0, audio_id=name,
            )  # fmt: skip
    return folder


def test_a_folder_is_copied_to_a_bucket_and_back(cache: Path, tmp_path: Path, s3_server: S3Server) -> None:
    bucket, back = s3_server.new_bucket() + "/stage1", tmp_path / "back"
    planned = _voice("store", "copy", str(cache), bucket, "--dry-run", **s3_server.environment())
    assert planned.returncode == 0, planned.stderr
    assert len(planned.stdout.splitlines()) == 6
    assert planned.stdout.startswith("new\t")
    done = _voice("store", "copy", str(cache), bucket, **s3_server.environment())
    assert done.returncode == 0, done.stderr
    assert "6 objects copied" in done.stdout
    assert f"{bucket}/.voice-copy/" in done.stdout
    again = _voice("store", "copy", str(cache), bucket, **s3_server.environment())
    assert "0 objects copied (0.0 MB), 6 identical, 0 deleted, 0 failed; 0 read" in again.stdout
    _voice("store", "copy", bucket, str(back), "--no-record", "--jobs", "4", **s3_server.environment())
    assert files_below(back) == files_below(cache)


def test_objects_that_failed_are_listed_and_the_exit_code_is_1(
    cache: Path, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT", path="video1_seg_1")
    done = _voice("store", "copy", str(cache), s3_server.new_bucket(), **s3_server.environment(s3_proxy.url))
    assert done.returncode == 1
    assert "video1_seg_1.npz" in done.stderr
    assert "access denied" in done.stderr
    assert "5 objects copied" in done.stdout
    assert "not-a-secret" not in done.stdout + done.stderr


def test_what_cannot_be_done_ends_in_one_message_and_exit_code_2(cache: Path, tmp_path: Path) -> None:
    nowhere = _voice("store", "copy", str(tmp_path / "nowhere"), str(tmp_path / "there"))
    assert (nowhere.returncode, "no such folder" in nowhere.stderr) == (2, True)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = _voice("store", "copy", str(empty), str(cache), "--delete")
    assert (refused.returncode, "would empty the destination" in refused.stderr) == (2, True)
    assert len(files_below(cache)) == 6
    work = {"VOICE_WORK_URL": str(tmp_path / "work")}
    assert "--revision" in _voice("adopt", str(cache), "--codec", "melvq", **work).stderr
    assert "--channel" in _voice("adopt", str(cache / "newschannel"), **work).stderr


def test_an_adoption_of_nothing_fails_and_says_what_is_missing(cache: Path, tmp_path: Path) -> None:
    work = {"VOICE_WORK_URL": str(tmp_path / "work")}
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no segment")
    nothing = _voice("adopt", str(empty), **work)
    assert nothing.returncode == 2
    assert f"no segment files found in {empty}" in nothing.stderr
    for path in cache.rglob("*.npz"):
        path.write_bytes(b"no archive")
    rejected = _voice("adopt", str(cache), **work)
    assert rejected.returncode == 1
    assert "No segment was adopted" in rejected.stderr


def test_an_adopted_folder_is_built_to_a_dataset_without_encoding(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    variables = {
        "VOICE_RAW_URL": str(tmp_path / "raw"),
        "VOICE_WORK_URL": str(tmp_path / "work"),
        "DAGSTER_HOME": str(create_dagster_home(tmp_path / "dagster_home", with_databases=True)),
    }
    (cache / "newschannel" / "video2_seg_3.npz").write_bytes(b"no archive")
    (cache / "progress.json").write_text("{}")
    revision = load_codec("melvq").revision
    adopted = _voice("adopt", str(cache), "--codec", "melvq", "--revision", revision, **variables)
    assert adopted.returncode == 0, adopted.stderr
    assert "rejected: adopt, unreadable" in adopted.stdout
    assert "progress.json" in adopted.stderr
    built = _voice("build", **variables)
    assert built.returncode == 0, built.stderr
    assert "0 recordings decoded, 0 segments cut, 0 encoded" in built.stdout
    assert "Nothing to do: 2 recordings" in _voice("build", **variables).stdout
    again = _voice("adopt", str(cache), "--codec", "melvq", "--revision", revision, **variables)
    assert again.returncode == 0
    assert "Nothing to do: 6 segments of 2 recordings adopted before" in again.stdout
    status = _voice("status", **variables)
    assert "2 recordings" in status.stdout
    assert "1 of its 4 segment files cannot be read" in status.stdout
