"""A build that is stopped while another one takes its claim over, and continues when that has finished."""

from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudCorpus, without_batch_records
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak import paused_build
from voice_assets_tests.soak.paused_build import continue_group, run_build_process, stop_group, wait_for_process
from voice_core.storage import distributed_lock


def _record(corpus: Corpus, *, corrected: bool) -> None:
    for name in "abcd":
        lines = corpus.add_recording(name, 6.0)
        if corrected:
            for line in lines:
                line["text"] = f"Corrected: {line['text']}"
                line["end"] -= 0.1
        corpus.write_transcript(name, lines)


def test_a_build_that_was_stopped_past_its_claim_writes_nothing_over_the_build_that_took_over(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RENEW_INTERVAL_SEC", "VALID_AFTER_RENEWAL_SEC", "EXPIRY_SEC"):
        monkeypatch.setattr(distributed_lock, name, getattr(paused_build, name))
    folders = [tmp_path / name for name in ("local", "first", "second")]
    for folder in folders:
        folder.mkdir()
    local = Corpus(folders[0])
    _record(local, corrected=True)
    local.build()

    access = s3_server.access()
    buckets = Buckets(s3_server.new_bucket(), f"{s3_server.new_bucket()}/work", access, access, access, access)
    corpus = CloudCorpus(folders[2], buckets)
    _record(corpus, corrected=False)
    corpus.upload()
    with run_build_process(corpus, folders[1]) as first:
        wait_for_process(lambda: any(item.key.endswith(".npz") for item in corpus.work.listing("segments")), first)
        stop_group(first.pid)
        _record(corpus, corrected=True)
        corpus.upload()
        corpus.build()
        continue_group(first.pid)
        output, _ = first.communicate(timeout=60)
    assert "lost the lock on news/batch-0001 to a process that has ended since; nothing was written since" in output
    assert "Traceback" not in output
    assert without_batch_records(corpus.files()) == without_batch_records(local.files())
