"""Taking a forgotten recording out of a hub's past."""

import hashlib
import io

import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError

from voice_assets_tests.core.publish.conftest import REPO, PublishedWorld
from voice_assets_tests.servers.hub import Hub
from voice_core.corpus.dataset.publications import read_published
from voice_core.corpus.ingest.batches import write_tombstone
from voice_core.publish.errors import HubError
from voice_core.publish.purge import plan_purge, purge

ROWS = "data/news/batch-0001.train.parquet"


def forget(world: PublishedWorld) -> None:
    write_tombstone(world.work, "news", "two", "2030-01-01T00:00:00+00:00", "a wish")
    world.build()


def tag(hub: Hub, name: str, revision: str) -> None:
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_tag(REPO, tag=name, revision=revision, repo_type="dataset")


def audio_ids(data: bytes) -> set[str]:
    return set(pq.read_table(io.BytesIO(data), columns=["audio_id"])["audio_id"].to_pylist())


def test_after_a_purge_no_revision_and_no_large_file_holds_the_forgotten_audio(world: PublishedWorld, hub: Hub) -> None:
    first = world.push().revision
    tag(hub, "v1", first)
    old = hub.files(REPO)[ROWS]
    assert "two" in audio_ids(old)
    forget(world)
    second = world.push().revision
    assert hub.files(REPO, first)[ROWS] == old  # this is why a purge is needed
    plan = purge(world.work, world.settings)
    assert plan.refs == ("refs/tags/v1",)
    assert plan.files >= 3
    api = HfApi(endpoint=hub.url, token=hub.token)
    for revision in (first, "v1"):
        with pytest.raises(EntryNotFoundError):
            api.hf_hub_download(REPO, ROWS, repo_type="dataset", revision=revision, local_dir=world.work_dir / "x")
    for revision in (*hub.repos[REPO].commits, "main", "v1", second):
        for path, data in hub.files(REPO, revision).items():
            if path.startswith("data/news"):
                assert audio_ids(data) == {"one"}
    assert hashlib.sha256(old).hexdigest() not in {item.oid for item in api.list_lfs_files(REPO, repo_type="dataset")}
    assert len(hub.titles(REPO)) == 1


def test_a_purge_leaves_the_dataset_whole_and_the_record_at_its_new_revision(world: PublishedWorld, hub: Hub) -> None:
    world.push()
    forget(world)
    world.push()
    hub.commit_as_somebody(REPO, {"logo.png": b"first picture"})
    hub.commit_as_somebody(REPO, {"logo.png": b"second picture"})
    before = hub.files(REPO)
    purge(world.work, world.settings)
    assert hub.files(REPO) == before
    assert hashlib.sha256(b"first picture").hexdigest() in hub.repos[REPO].objects  # not ours to delete
    assert read_published(world.work, world.settings)[0].revision == hub.repos[REPO].refs["refs/heads/main"]
    assert world.push().difference.empty


def test_what_another_published_branch_uses_now_stays(world: PublishedWorld, hub: Hub) -> None:
    world.push()
    world.set(hub={"revision": "next"})
    world.retell(text="Said in other words.")
    world.push()
    on_next = hub.files(REPO, "next")
    world.set(hub={"revision": "main"})
    purge(world.work, world.settings)
    assert hub.files(REPO, "next") == on_next


def test_large_files_that_never_came_into_a_commit_and_the_hubs_conversions_go_too(
    world: PublishedWorld, hub: Hub
) -> None:
    hub.fail("POST .*/commit/", 400)
    with pytest.raises(HubError):
        world.push()
    never = set(hub.uploads)
    forget(world)
    world.push()
    repo = hub.repos[REPO]
    repo.objects["c" * 64], repo.names["c" * 64] = b"a copy", ("full/train/0000.parquet", "refs/convert/parquet")
    used = {entry.lfs for entry in hub.resolve(repo, "main").files.values() if entry.lfs}
    assert plan_purge(world.work, world.settings).files == len(never - used) + 1
    purge(world.work, world.settings)
    assert repo.objects.keys() == used


def test_a_hub_that_does_not_delete_is_not_believed(world: PublishedWorld, hub: Hub) -> None:
    world.push()
    forget(world)
    world.push()
    repo = hub.repos[REPO]
    kept = dict(repo.objects)
    hub.before("GET .*/lfs-files", lambda: repo.objects.update(kept), times=99)
    with pytest.raises(HubError, match=r"still lists \d large files"):
        purge(world.work, world.settings)
