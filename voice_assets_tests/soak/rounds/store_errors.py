"""Builds on S3 through a proxy that injects transient errors; each ends in the bytes of a build on local disk."""

from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.servers.faulty_proxy import faulty_proxy
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.cloud_builds import create_cloud_corpus, repeat_build
from voice_assets_tests.soak.fault_injection import inject_random_faults
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "transient store errors, s3"
ROUNDS = 30


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    return [repeat_build(NAME, rounds, folder, _build_with_faults, progress)]


def _build_with_faults(folder: Path, raw_dir: Path, s3: S3Server, seed: int) -> dict[str, str]:
    with faulty_proxy(s3.url) as proxy:
        corpus = create_cloud_corpus(folder, raw_dir, s3, proxy.url)
        inject_random_faults(proxy, seed)
        corpus.build()
    return corpus.files()
