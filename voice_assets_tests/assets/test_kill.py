"""Kill -9 at any moment: the next build ends in the bytes of a build that nobody disturbed. `make soak` does more."""

from pathlib import Path

import pytest

from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.kill_loop import kill_loop, undisturbed
from voice_assets_tests.soak.places import KINDS, place
from voice_core.demo.world import World

KILLS = {"file": 3, "s3": 3, "gcs+s3": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_builds_end_in_the_bytes_of_an_undisturbed_one(
    kind: str, small_world: World, built: Path, tmp_path: Path, s3_server: S3Server, gcs_server: GcsServer
) -> None:
    with place(kind, tmp_path / "place", small_world.raw, s3_server, gcs_server) as corpus:
        wanted, wall_sec = undisturbed(corpus)
        local = {path.relative_to(built / "work").as_posix() for path in (built / "work").rglob("*") if path.is_file()}
        assert wanted.keys() == local
        same = {key: data for key, data in wanted.items() if not key.startswith("batches/")}
        assert all((built / "work" / key).read_bytes() == data for key, data in same.items())
        kill_loop(corpus, wanted, kills=KILLS[kind], longest_sec=wall_sec)
