"""Taking a forgotten recording out of a hub's past."""

import hashlib
import io

import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError

from voice_assets_tests.core.publish.conftest import REPO, PublishedCorpus
from voice_assets_tests.servers.hub import HubServer
from voice_core.corpus.dataset.publications import read_publications
from voice_core.corpus.ingest.tombstones import write_tombstone
from voice_core.publish.errors import HubError
from voice_core.publish.purge import plan_purge, purge

ROWS = "data/news/batch-0001.train.parquet"


def forget(corpus: PublishedCorpus) -> None:
    write_tombstone(corpus.work, "news", "two", "2030-01-01T00:00:00+00:00", "a wish")
    corpus.build()


def tag(hub: HubServer, name: str, revision: str) -> None:
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_tag(REPO, tag=name, revision=revision, repo_type="dataset")


def audio_ids(data: bytes) -> set[str]:
    return set(pq.read_table(io.BytesIO(data), columns=["audio_id"])["audio_id"].to_pylist())


def test_after_a_purge_no_revision_and_no_large_file_holds_the_forgotten_audio(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    first = corpus.publish().revision
    tag(hub, "v1", first)
    old = hub.files(REPO)[ROWS]
    assert "two" in audio_ids(old)
    forget(corpus)
    second = corpus.publish().revision
    assert hub.files(REPO, first)[ROWS] == old  # this is why a purge is needed
    plan = purge(corpus.work, corpus.settings)
    assert plan.refs == ("refs/tags/v1",)
    assert plan.files >= 3
    api = HfApi(endpoint=hub.url, token=hub.token)
    for revision in (first, "v1"):
        with pytest.raises(EntryNotFoundError):
            api.hf_hub_download(REPO, ROWS, repo_type="dataset", revision=revision, local_dir=corpus.work_dir / "x")
    for revision in (*hub.repos[REPO].commits, "main", "v1", second):
        for path, data in hub.files(REPO, revision).items():
            if path.startswith("data/news"):
                assert audio_ids(data) == {"one"}
    assert hashlib.sha256(old).hexdigest() not in {item.oid for item in api.list_lfs_files(REPO, repo_type="dataset")}
    assert len(hub.commit_titles(REPO)) == 1


def test_a_purge_leaves_the_dataset_whole_and_the_record_at_its_new_revision(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    corpus.publish()
    forget(corpus)
    corpus.publish()
    hub.commit_as_other_user(REPO, {"logo.png": b"first picture"})
    hub.commit_as_other_user(REPO, {"logo.png": b"second picture"})
    before = hub.files(REPO)
    purge(corpus.work, corpus.settings)
    assert hub.files(REPO) == before
    assert hashlib.sha256(b"first picture").hexdigest() in hub.repos[REPO].objects  # not ours to delete
    assert read_publications(corpus.work, corpus.settings)[0].revision == hub.repos[REPO].refs["refs/heads/main"]
    assert corpus.publish().difference.empty


def test_what_another_published_branch_uses_now_stays(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.publish()
    corpus.set(hub={"revision": "next"})
    corpus.correct_transcript(text="Said in other words.")
    corpus.publish()
    on_next = hub.files(REPO, "next")
    corpus.set(hub={"revision": "main"})
    purge(corpus.work, corpus.settings)
    assert hub.files(REPO, "next") == on_next


def test_large_files_that_never_came_into_a_commit_and_the_hubs_conversions_go_too(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    hub.fail("POST .*/commit/", 400)
    with pytest.raises(HubError):
        corpus.publish()
    never = set(hub.uploads)
    forget(corpus)
    corpus.publish()
    repo = hub.repos[REPO]
    repo.objects["c" * 64], repo.names["c" * 64] = b"a copy", ("full/train/0000.parquet", "refs/convert/parquet")
    used = {entry.lfs for entry in hub.resolve(repo, "main").files.values() if entry.lfs}
    assert plan_purge(corpus.work, corpus.settings).files == len(never - used) + 1
    purge(corpus.work, corpus.settings)
    assert repo.objects.keys() == used


def test_a_hub_that_does_not_delete_is_not_believed(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.publish()
    forget(corpus)
    corpus.publish()
    repo = hub.repos[REPO]
    kept = dict(repo.objects)
    hub.before("GET .*/lfs-files", lambda: repo.objects.update(kept), times=99)
    with pytest.raises(HubError, match=r"still lists \d large files"):
        purge(corpus.work, corpus.settings)
