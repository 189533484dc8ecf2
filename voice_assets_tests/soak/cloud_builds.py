"""Builds of a small corpus on S3, repeated, each compared with a build on local disk."""

import time
from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudCorpus, without_batch_records
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.servers.s3 import S3Server, s3_server
from voice_assets_tests.soak.soak_result import SoakResult

BuildFiles = Callable[[Path, Path, S3Server, int], dict[str, str]]
"""Builds in a folder from a raw folder, with a seed; returns the files of the work root by their hash."""


def create_cloud_corpus(folder: Path, raw_dir: Path, s3: S3Server, endpoint_url: str = "") -> CloudCorpus:
    """A corpus in new buckets; with `endpoint_url`, builds reach them through a proxy there."""
    folder.mkdir(parents=True)
    direct, access = s3.access(), s3.access(endpoint_url)
    buckets = Buckets(s3.new_bucket(), f"{s3.new_bucket()}/work", access, access, direct, direct)
    corpus = CloudCorpus(folder, buckets)
    corpus.raw_dir.rmdir()
    corpus.raw_dir = raw_dir
    corpus.upload()
    return corpus


def repeat_build(
    name: str, rounds: int, folder: Path, build: BuildFiles, progress: Callable[[str], None]
) -> SoakResult:
    """Build in a new place each time, and compare with a build on local disk."""
    started = time.monotonic()
    (folder / "local").mkdir(parents=True)
    local = Corpus(folder / "local")
    for audio_id in "abcd":
        local.add_recording(audio_id, 6.0)
    local.build()
    expected = without_batch_records(local.files())
    wrong = 0
    with s3_server() as s3:
        for number in range(rounds):
            same = without_batch_records(build(folder / str(number), local.raw_dir, s3, number)) == expected
            wrong += not same
            progress(f"{number + 1:4d}  {'the same bytes' if same else 'OTHER BYTES'}")
    return SoakResult(name, rounds, rounds, wrong, time.monotonic() - started)
