"""Two builds of one corpus on S3 at the same time; they end in the bytes of a build on local disk."""

from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.cloud_builds import create_cloud_corpus, repeat_build
from voice_assets_tests.soak.concurrent_builds import build_concurrently
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "two builds at once, s3"
ROUNDS = 30


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    return [repeat_build(NAME, rounds, folder, _build_concurrently, progress)]


def _build_concurrently(folder: Path, raw_dir: Path, s3: S3Server, seed: int) -> dict[str, str]:
    corpus = create_cloud_corpus(folder, raw_dir, s3)
    build_concurrently(corpus, folder / "other")
    return corpus.files()
