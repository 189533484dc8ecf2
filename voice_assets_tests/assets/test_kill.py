"""Kill -9 at any moment: the next build ends in the bytes of an undisturbed build.

On two recordings; `make soak` does more kills, on the small demo.
"""

import signal
from pathlib import Path

import pytest

from voice_assets.cli.exit_codes import INTERRUPTED_EXIT_CODE
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.processes import process_group_alive, wait_until
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.deployments import create_file_deployment, open_deployment
from voice_assets_tests.soak.kill_loop import build_undisturbed, kill_loop, without_batches
from voice_assets_tests.soak.rounds import killed_worker

pytestmark = pytest.mark.slow

KILLS = {"file": 2, "gcs+s3": 2}  # and S3 alone in `make soak`


@pytest.fixture(scope="module")
def two_recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw bucket of two recordings in two channels, so of two batches."""
    corpus = Corpus(tmp_path_factory.mktemp("two"))
    corpus.add_recording("a", 8.0)
    corpus.add_recording("b", 8.0, channel="talk", extension=".flac")
    return corpus.raw_dir


@pytest.fixture(scope="module")
def local_build(two_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """What an undisturbed build on local disk makes of them, and how long it takes."""
    return build_undisturbed(create_file_deployment(tmp_path_factory.mktemp("local"), two_recordings))


@pytest.mark.parametrize("kind", KILLS)
def test_killed_builds_end_in_the_bytes_of_an_undisturbed_one(
    kind: str,
    two_recordings: Path,
    local_build: tuple[dict[str, bytes], float],
    tmp_path: Path,
    s3_server: S3Server,
    gcs_server: GcsServer,
) -> None:
    with open_deployment(kind, tmp_path / "place", two_recordings, s3_server, gcs_server) as deployment:
        wanted, wall_sec = local_build if kind == "file" else build_undisturbed(deployment)
        assert wanted.keys() == local_build[0].keys()
        assert without_batches(wanted) == without_batches(local_build[0])
        kill_loop(deployment, wanted, kills=KILLS[kind], longest_sec=wall_sec)


def test_a_build_whose_workers_are_killed_is_repaired_by_the_next_one(tmp_path: Path) -> None:
    deployment = killed_worker.create_deployment(tmp_path, recordings=1)
    wanted, _ = build_undisturbed(deployment)
    happened, faults = killed_worker.run_round(deployment, wanted, "cutting", max(killed_worker.KILLS))
    assert not faults, happened


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_terminated_ends_within_seconds_and_the_next_one_resumes(
    sign: signal.Signals, two_recordings: Path, local_build: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    deployment = create_file_deployment(tmp_path / "place", two_recordings)
    build = deployment.start("build")
    segments = tmp_path / "place" / "work" / "segments"
    wait_until("a segment is cut", lambda: build.poll() is not None or any(segments.rglob("*.npz")), poll_sec=0.01)
    assert build.poll() is None, build.read_output()
    build.send_signal(sign)  # to the command alone: its workers are its own affair
    output, _ = build.communicate(timeout=120)
    assert build.returncode == INTERRUPTED_EXIT_CODE
    assert "finished work is kept. Run the same command again to resume." in output
    wait_until("its workers, and what watches over them, end", lambda: not process_group_alive(build.pid))
    deployment.run("build")
    assert not deployment.leftovers()  # a worker that was ended while it wrote left half a file until now
    assert deployment.files() == local_build[0]
