"""Publishing with the real client to a hub over HTTP: what its commits hold."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from voice_assets_tests.core.corpus.small_corpus import make_lines
from voice_assets_tests.core.publish.conftest import REPO, PublishedCorpus
from voice_assets_tests.servers.hub import HubServer
from voice_core.corpus.dataset.publications import read_publications
from voice_core.corpus.ingest.tombstones import write_tombstone
from voice_core.corpus.retention.evict import evict_files, plan_eviction
from voice_core.publish.dataset_files import DatasetNotReadyError
from voice_core.publish.errors import HubError, RemoteChangedError
from voice_core.publish.publish import publish
from voice_core.settings import ConfigurationError
from voice_core.storage.scratch import ScratchLimitError
from voice_core.storage.store import Store


def test_the_first_publication_makes_a_private_repository_and_one_commit_with_the_whole_dataset(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    done = corpus.publish()
    assert hub.repos[REPO].private
    assert len(hub.commit_titles(REPO)) == 2  # the hub's own, and ours
    files = hub.files(REPO)
    assert files.keys() == corpus.published_paths() | {".gitattributes"}
    for path in corpus.published_paths() - {"dataset.json"}:
        assert files[path] == corpus.path(f"datasets/voice/{path}").read_bytes()
    assert done.revision == hub.repos[REPO].refs["refs/heads/main"]
    assert {item["path"] for item in json.loads(files["dataset.json"])["files"]} <= files.keys()


def test_a_second_publication_commits_nothing_and_a_lost_record_is_written_again(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    first = corpus.publish()
    record = corpus.path("datasets/voice/published.json")
    before = record.read_bytes()
    record.unlink()
    second = corpus.publish()
    assert (second.committed, second.difference.empty, second.revision) == (False, True, first.revision)
    assert record.read_bytes() == before
    assert len(hub.commit_titles(REPO)) == 2


def test_one_changed_partition_uploads_its_files_and_the_card(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.publish()
    hub.uploads.clear()
    corpus.correct_transcript(text="Said in other words.")
    done = corpus.publish()
    rows = {f"{folder}/news/batch-0001.train.parquet" for folder in ("data", "neutts", "pairs")}
    assert hub.changes(REPO) == dict.fromkeys([*rows, "README.md", "dataset.json"], "changed")
    assert (done.files_sent, len(hub.uploads)) == (3, 3)
    assert hub.commit_titles(REPO)[0] == "voice: 5 changed"


def test_of_many_partitions_with_one_file_each_one_is_uploaded(tmp_path: Path, hub: HubServer) -> None:
    """Without codes there is no config for NeuTTS, and without speakers there are no pairs."""
    (tmp_path / "many").mkdir()
    corpus = PublishedCorpus(tmp_path / "many")
    corpus.set(hub={"repo_id": REPO}, codec="none", split={"test_fraction": 0.0}, batch={"max_recordings": 1})
    for number in range(6):
        corpus.add_recording(f"talk{number}", 4, make_lines(4, f"talk {number}", speaker_id=""))
    corpus.build()
    assert corpus.publish().files_sent == 6
    hub.uploads.clear()
    lines = make_lines(4, "talk 3", speaker_id="")
    lines[0]["text"] = "Said in other words."
    corpus.write_transcript("talk3", lines)
    corpus.build()
    corpus.publish()
    changes = dict.fromkeys(["data/news/batch-0004.train.parquet", "README.md", "dataset.json"], "changed")
    assert hub.changes(REPO) == changes
    assert len(hub.uploads) == 1


def test_removed_files_are_deleted_at_the_hub_and_files_of_others_stay(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.publish()
    before = hub.commit_as_other_user(REPO, {"logo.png": b"a picture", "data/notes.txt": b"mine"})
    corpus.set(codec="none")
    corpus.build()
    corpus.publish()
    changes = hub.changes(REPO)
    assert {path for path, verb in changes.items() if verb == "deleted"} == {
        path for path in hub.files(REPO, before) if path.startswith("neutts/")
    }
    assert hub.files(REPO).keys() == corpus.published_paths() | {".gitattributes", "logo.png", "data/notes.txt"}


def test_a_dry_run_shows_the_difference_and_writes_nothing(corpus: PublishedCorpus, hub: HubServer) -> None:
    before = corpus.files()
    told = corpus.publish(dry_run=True)
    assert told.creates
    assert {file.path for file in told.difference.added} == corpus.published_paths()
    assert hub.repos == {}
    corpus.publish()
    before = corpus.files()
    corpus.correct_transcript(text="Said in other words.")
    built = corpus.files()
    hub.requests.clear()
    told = corpus.publish(dry_run=True)
    assert {file.path for file in told.difference.changed if file.key} == {
        f"{folder}/news/batch-0001.train.parquet" for folder in ("data", "neutts", "pairs")
    }
    assert told.difference.bytes == sum(file.size for file in told.difference.changed)
    assert [line for line in hub.requests if not line.startswith(("GET", "HEAD"))] == []
    assert corpus.files() == built != before


def test_files_that_another_user_changed_are_overwritten_only_with_overwrite(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    corpus.publish()
    hub.commit_as_other_user(REPO, {"README.md": b"a better card"})
    corpus.correct_transcript(tone="cheerful")
    assert corpus.publish(dry_run=True).difference.conflicts == ("README.md",)
    with pytest.raises(RemoteChangedError, match=r"README\.md.*--overwrite"):
        corpus.publish()
    assert hub.files(REPO)["README.md"] == b"a better card"
    corpus.publish(overwrite=True)
    assert hub.files(REPO)["README.md"] == corpus.path("datasets/voice/README.md").read_bytes()


def test_a_public_repository_is_refused_where_a_private_one_is_meant(corpus: PublishedCorpus, hub: HubServer) -> None:
    hub.create(REPO, private=False)
    with pytest.raises(ConfigurationError, match="VOICE_HUB__PRIVATE=false"):
        corpus.publish()
    corpus.set(hub={"private": False})
    assert corpus.publish().committed


def test_another_branch_is_created_and_recorded_in_addition_to_the_first(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    corpus.publish()
    corpus.set(hub={"revision": "next"})
    corpus.correct_transcript(tone="cheerful")
    corpus.publish()
    assert hub.commit_titles(REPO, "next")[0] == "voice: 4 changed"
    assert hub.commit_titles(REPO)[0] == "voice: 12 added"
    branches = [(item.branch, item.revision) for item in read_publications(corpus.work, corpus.settings)]
    assert branches == [(name, hub.repos[REPO].refs[f"refs/heads/{name}"]) for name in ("main", "next")]


def free_rows(corpus: PublishedCorpus) -> None:
    """As `voice clean datasets --force`."""
    corpus.build()  # the raw files of the fixture are copies with other times
    for plan in plan_eviction(corpus.work, corpus.status().partitions, ["datasets"], corpus.settings, force=True):
        assert plan.files, plan.refusal
        evict_files(corpus.work, plan, corpus.settings)
    assert not list(corpus.path("datasets/voice/data").rglob("*.parquet"))


def test_freed_rows_are_copied_at_the_hub_to_another_branch(corpus: PublishedCorpus, hub: HubServer) -> None:
    hub.create(REPO, private=True)
    hub.repos[REPO].refs["refs/heads/empty"] = hub.repos[REPO].refs["refs/heads/main"]
    first = corpus.publish()
    free_rows(corpus)
    hub.uploads.clear()
    corpus.set(hub={"revision": "empty"})
    assert corpus.publish(dry_run=True).difference.added == first.difference.added
    done = corpus.publish()
    assert (done.committed, done.files_sent, hub.uploads) == (True, 0, [])
    assert hub.files(REPO, "empty") == hub.files(REPO)


def test_freed_rows_that_the_hub_does_not_have_are_named_with_what_writes_them_again(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    corpus.publish()
    free_rows(corpus)
    corpus.set(hub={"repo_id": "team/other"})
    with pytest.raises(DatasetNotReadyError, match=r"no copy: delete .*/freed/datasets/voice/ and run `voice build`"):
        corpus.publish()
    assert "team/other" not in hub.repos
    shutil.rmtree(corpus.path("freed/datasets/voice"))
    corpus.build()
    assert corpus.publish().committed
    assert hub.files("team/other") == hub.files(REPO)


def test_what_another_branch_has_is_not_read_again_from_the_store(
    corpus: PublishedCorpus, hub: HubServer, remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create(REPO, private=True)
    hub.repos[REPO].refs["refs/heads/empty"] = hub.repos[REPO].refs["refs/heads/main"]
    publish(remote, corpus.settings)
    read: list[str] = []
    download = Store.download

    def note(store: Store, key: str, path: Path) -> str:
        read.append(key)
        return download(store, key, path)

    monkeypatch.setattr(Store, "download", note)
    corpus.set(hub={"revision": "empty"})
    assert publish(remote, corpus.settings).committed
    assert [key for key in read if key.endswith(".parquet")] == []


def test_an_unfinished_dataset_is_not_published(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.write_transcript("one", make_lines(8, "something else"))
    corpus.build(card=False)
    with pytest.raises(DatasetNotReadyError, match="other rows or settings"):
        corpus.publish()
    corpus.path("datasets/voice/dataset.json").unlink()
    with pytest.raises(DatasetNotReadyError, match="run `voice build`"):
        corpus.publish()
    assert hub.repos == {}


def test_a_forgotten_recording_is_not_published_before_its_rows_are_removed(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    write_tombstone(corpus.work, "news", "one", "2030-01-01T00:00:00+00:00", "a wish")
    with pytest.raises(DatasetNotReadyError, match="one, which was forgotten"):
        corpus.publish()
    assert hub.repos == {}


def test_a_remote_work_root_is_published_in_slices_within_the_local_disk_budget(
    corpus: PublishedCorpus, hub: HubServer, remote: Store, tmp_path: Path
) -> None:
    files = sorted(corpus.path("datasets/voice").rglob("*.parquet"), key=lambda path: path.stat().st_size)
    largest, everything = files[-1].stat().st_size, sum(path.stat().st_size for path in files)
    scratch = tmp_path / "scratch"
    corpus.set(local_gb=largest * 1.2 / 1e9, local_dir=str(scratch))
    held: list[int] = []

    def look() -> None:
        held.append(sum(path.stat().st_size for path in scratch.rglob("*.parquet")))

    hub.before("PUT /storage", look, times=99)
    publish(remote, corpus.settings)
    assert max(held) <= largest * 1.2 < everything
    assert hub.files(REPO).keys() >= corpus.published_paths()
    assert not [path for path in scratch.rglob("*") if path.is_dir()]
    corpus.set(local_gb=largest * 0.9 / 1e9, hub={"repo_id": "team/second"})
    with pytest.raises(ScratchLimitError, match="VOICE_LOCAL_GB"):
        publish(remote, corpus.settings)


def test_files_that_the_hub_has_are_not_sent_again_from_a_remote_work_root(
    corpus: PublishedCorpus, hub: HubServer, remote: Store
) -> None:
    hub.fail("POST .*/commit/", 400)
    with pytest.raises(HubError):
        corpus.publish()
    hub.uploads.clear()
    done = publish(remote, corpus.settings)
    assert (hub.uploads, done.files_sent, done.committed) == ([], 0, True)
    assert hub.files(REPO).keys() >= corpus.published_paths()


@pytest.mark.parametrize("path", ["settings", "repository"])
def test_what_is_not_set_is_named(corpus: PublishedCorpus, hub: HubServer, path: str) -> None:
    corpus.set(hub={"repo_id": "" if path == "settings" else "voices"})
    with pytest.raises(ConfigurationError, match="VOICE_HUB__REPO_ID"):
        corpus.publish()


def test_the_client_reads_what_was_published(corpus: PublishedCorpus, hub: HubServer, tmp_path: Path) -> None:
    corpus.publish()
    name = "data/أخبار 50%25/batch-0001.train.parquet"
    api = HfApi(endpoint=hub.url, token=hub.read_token)
    path = api.hf_hub_download(REPO, name, repo_type="dataset", local_dir=tmp_path)
    assert Path(path).read_bytes() == corpus.path(f"datasets/voice/{name}").read_bytes()


def test_trainers_load_it_from_the_hub(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.publish()
    code = f"""
        import json
        from datasets import get_dataset_config_names, load_dataset
        rows = load_dataset("{REPO}", "neutts", split="train")
        channels = {{key.split("/")[0] for key in rows["__key__"]}}
        print(json.dumps([get_dataset_config_names("{REPO}"), len(rows), rows.column_names, sorted(channels)]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    configs, count, columns, channels = json.loads(done.stdout.splitlines()[-1])
    assert configs == ["full", "neutts", "pairs"]
    assert count == 3 * (4 + 3)
    assert sorted(columns) == ["__key__", "codes", "text"]
    assert channels == ["news", "talk", "أخبار 50%25"]
