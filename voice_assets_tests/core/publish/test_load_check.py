"""Before it is published, the dataset is loaded with `datasets` and compared with what was committed."""

import hashlib
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from voice_assets_tests.core.publish.conftest import REPO, PublishedCorpus
from voice_assets_tests.servers.hub import HubServer
from voice_core.corpus.retention.evict import evict_files, plan_eviction
from voice_core.publish.dataset_files import DatasetNotReadyError
from voice_core.publish.publish import publish
from voice_core.storage.store import Store

RECORD = "datasets/voice/dataset.json"


def change_record(corpus: PublishedCorpus, key: str, **changes: Any) -> None:
    """Change what dataset.json says of a Parquet file."""
    record = json.loads(corpus.path(RECORD).read_text("utf-8"))
    (item,) = [item for item in record["files"] if item["key"] == key]
    item |= changes
    corpus.path(RECORD).write_text(json.dumps(record, ensure_ascii=False), "utf-8")


def commit_without_column(corpus: PublishedCorpus, key: str, column: str) -> None:
    """Commit a Parquet file that lacks a column."""
    path = corpus.path(key)
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    data = path.read_bytes()
    change_record(corpus, key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ("full", "datasets/voice/data/talk/batch-0001.train.parquet"),
        ("neutts", "datasets/voice/neutts/أخبار 50%25/batch-0001.train.parquet"),
    ],
)
def test_a_file_that_lacks_a_column_is_named_with_its_config_and_nothing_is_published(
    corpus: PublishedCorpus, hub: HubServer, config: str, key: str
) -> None:
    commit_without_column(corpus, key, "text")
    with pytest.raises(DatasetNotReadyError, match=f"config {config} .*{key}: it has the columns"):
        corpus.publish()
    assert hub.repos == {}


def test_a_file_with_another_number_of_rows_is_named_and_nothing_is_published(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    corpus.publish()
    key = "datasets/voice/pairs/news/batch-0001.train.parquet"
    rows = pq.read_metadata(corpus.path(key)).num_rows
    change_record(corpus, key, rows=rows + 1)
    with pytest.raises(DatasetNotReadyError, match=f"config pairs .*{key}: it has {rows} rows instead of {rows + 1}"):
        corpus.publish()
    assert len(hub.commit_titles(REPO)) == 2  # the hub's own, and the first publication


def test_a_file_that_no_reader_understands_is_named(corpus: PublishedCorpus, hub: HubServer) -> None:
    key = "datasets/voice/neutts/news/batch-0001.train.parquet"
    corpus.path(key).write_bytes(b"no Parquet")
    change_record(corpus, key, sha256=hashlib.sha256(b"no Parquet").hexdigest(), size_bytes=10)
    with pytest.raises(DatasetNotReadyError, match=f"config neutts .*{key}: it cannot be read"):
        corpus.publish()
    assert hub.repos == {}


@pytest.mark.parametrize("wrong", ["path: neutts/*/part-*.parquet", "path: neutts/news/batch-*.train.parquet"])
def test_a_card_that_does_not_list_a_committed_file_is_an_error(
    corpus: PublishedCorpus, hub: HubServer, wrong: str
) -> None:
    card = corpus.path("datasets/voice/README.md")
    card.write_text(card.read_text("utf-8").replace("path: neutts/*/batch-*.train.parquet", wrong), "utf-8")
    with pytest.raises(DatasetNotReadyError, match=r"config neutts .*README\.md does not list neutts/"):
        corpus.publish()
    assert hub.repos == {}


def test_files_that_are_not_committed_are_not_part_of_the_check(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.path("datasets/voice/data/news/batch-0009.train.parquet").write_bytes(b"a leftover")
    assert corpus.publish().committed
    assert "data/news/batch-0009.train.parquet" not in hub.files(REPO)


def test_evicted_files_are_not_read_and_the_others_are_published(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.build()  # the raw files of the fixture are copies with other times
    corpus.publish()
    for plan in plan_eviction(corpus.work, corpus.status().partitions, ["datasets"], corpus.settings):
        assert plan.files, plan.refusal
        evict_files(corpus.work, plan, corpus.settings)
    corpus.correct_transcript(text="Said in other words.")
    assert not corpus.path("datasets/voice/data/talk/batch-0001.train.parquet").exists()
    assert corpus.publish().files_sent == 3
    key = "datasets/voice/data/news/batch-0001.train.parquet"
    commit_without_column(corpus, key, "text")
    with pytest.raises(DatasetNotReadyError, match=f"config full .*{key}: it has the columns"):
        corpus.publish()


def test_copies_of_a_work_root_in_a_bucket_are_compared_before_they_are_committed(
    corpus: PublishedCorpus, hub: HubServer, remote: Store
) -> None:
    key = "datasets/voice/data/talk/batch-0001.train.parquet"
    commit_without_column(corpus, key, "duration_sec")
    remote.put_many({name: corpus.path(name).read_bytes() for name in (key, RECORD)})
    with pytest.raises(DatasetNotReadyError, match=f"config full .*{key}: it has the columns"):
        publish(remote, corpus.settings)
    assert len(hub.commit_titles(REPO)) == 1


def test_the_card_of_a_work_root_in_a_bucket_is_compared_before_anything_is_made(
    corpus: PublishedCorpus, hub: HubServer, remote: Store
) -> None:
    card = corpus.path("datasets/voice/README.md").read_text("utf-8")
    remote.put("datasets/voice/README.md", card.replace("config_name: pairs", "config_name: couples").encode())
    with pytest.raises(DatasetNotReadyError, match=r"README\.md lists the configs .*couples"):
        publish(remote, corpus.settings)
    assert hub.repos == {}
