"""Kill -9 at any moment: the next build ends in the bytes of a build that nobody disturbed. `make soak` does more."""

import signal
import time
from pathlib import Path

import pytest

from voice_assets.signals import INTERRUPTED_EXIT_CODE
from voice_assets_tests.processes import process_group_alive
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.deployments import STORAGE_KINDS, create_file_deployment, open_deployment
from voice_assets_tests.soak.kill_loop import build_undisturbed, kill_loop
from voice_assets_tests.soak.rounds import killed_worker
from voice_core.demo.sample_data import SampleData

KILLS = {"file": 3, "s3": 3, "gcs+s3": 2}


@pytest.mark.parametrize("kind", STORAGE_KINDS)
def test_killed_builds_end_in_the_bytes_of_an_undisturbed_one(
    kind: str, small_demo: SampleData, built: Path, tmp_path: Path, s3_server: S3Server, gcs_server: GcsServer
) -> None:
    with open_deployment(kind, tmp_path / "place", small_demo.raw, s3_server, gcs_server) as deployment:
        wanted, wall_sec = build_undisturbed(deployment)
        local = {path.relative_to(built / "work").as_posix() for path in (built / "work").rglob("*") if path.is_file()}
        assert wanted.keys() == local
        same = {key: data for key, data in wanted.items() if not key.startswith("batches/")}
        assert all((built / "work" / key).read_bytes() == data for key, data in same.items())
        kill_loop(deployment, wanted, kills=KILLS[kind], longest_sec=wall_sec)


def test_a_build_whose_workers_are_killed_is_repaired_by_the_next_one(tmp_path: Path) -> None:
    deployment = killed_worker.create_deployment(tmp_path)
    wanted, _ = build_undisturbed(deployment)
    happened, faults = killed_worker.run_round(deployment, wanted, "cutting", max(killed_worker.KILLS))
    assert not faults, happened


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_asked_to_stop_does_so_within_seconds_and_goes_on_the_next_time(
    sign: signal.Signals, small_demo: SampleData, built: Path, tmp_path: Path
) -> None:
    deployment = create_file_deployment(tmp_path / "place", small_demo.raw)
    build = deployment.start("build")
    deadline = time.monotonic() + 60
    while not list((tmp_path / "place" / "work" / "segments").rglob("*.npz")):
        assert time.monotonic() < deadline
        assert build.poll() is None
        time.sleep(0.05)
    build.send_signal(sign)  # to the command alone: its workers are its own affair
    output, _ = build.communicate(timeout=30)
    assert build.returncode == INTERRUPTED_EXIT_CODE
    assert "what was finished is kept, and the same command goes on from there" in output
    while process_group_alive(build.pid):  # its workers, and what watches over them
        assert time.monotonic() < deadline
        time.sleep(0.1)
    deployment.run("build")
    assert not deployment.leftovers()  # a worker that was ended while it wrote left half a file until now
    assert all((built / "work" / key).read_bytes() == data for key, data in deployment.files("batches/").items())
