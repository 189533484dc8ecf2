"""Publishing as a person, Dagster and a wish to be forgotten meet it: the command, the asset, the hub over HTTP."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError

from voice_assets.cli.forget import remove_from_hub
from voice_assets.definitions import build_definitions
from voice_assets.defs.voice_dataset.jobs import publish_job
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_assets_tests.command_server import RunningCommand, start_voice
from voice_assets_tests.command_server import run_voice as _voice
from voice_assets_tests.dagster_home import corpus_variables, create_dagster_home
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.hub import HubServer
from voice_core.corpus.dataset.publications import read_publications
from voice_core.publish.publish import publish
from voice_core.settings import Settings
from voice_core.storage.store import Store

REPO = "team/demo-voices"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")  # the client's own


@pytest.fixture
def finished(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small world's finished work root, with a Dagster home, to publish from."""
    root = tmp_path / "finished"
    shutil.copytree(built / "work", root / "work", copy_function=shutil.copy2)
    home = create_dagster_home(root / "home", with_databases=True)
    for name, value in corpus_variables(built / "raw", root / "work", home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VOICE_HUB__REPO_ID", REPO)
    return root


@pytest.fixture
def instance(finished: Path) -> Iterator[dg.DagsterInstance]:
    made = dg.DagsterInstance.from_config(str(finished / "home"))
    yield made
    made.dispose()


def _kept(folder: Path) -> bytes:
    """All that was written below a folder."""
    return b"".join(files_below(folder).values())


def test_the_command_shows_the_difference_first_and_publishes_it_once(
    built_corpus: BuiltCorpus, hub: HubServer
) -> None:
    built_corpus.monkeypatch.setenv("VOICE_HUB__REPO_ID", REPO)
    done = _voice("publish")
    assert done.returncode == 0, done.stderr
    assert f"Published: {hub.url}/datasets/{REPO}/tree/" in done.stdout
    again = _voice("publish")
    assert (again.returncode, len(hub.commit_titles(REPO))) == (0, 2)
    assert "Nothing to do" in again.stdout
    built_corpus.edit_transcript(
        "Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="A line that was put right.")
    )
    stale = _voice("publish")
    assert stale.returncode == 2
    assert "`voice build` first" in " ".join(stale.stderr.split())
    built_corpus.build()
    told = _voice("publish", "--dry-run")
    assert told.returncode == 0, told.stderr
    rows = [line for line in told.stdout.splitlines() if "batch-" in line]
    assert rows
    assert all("changed" in line and "Atheer_-/batch-0001" in line for line in rows)
    assert "Nothing was done" in told.stdout
    assert len(hub.commit_titles(REPO)) == 2


def test_a_forgotten_recording_leaves_the_hub_and_with_a_purge_its_past_too(
    built_corpus: BuiltCorpus, hub: HubServer
) -> None:
    done = _voice("publish", "--force", "--repo", REPO)
    assert done.returncode == 0, done.stderr
    first = hub.repos[REPO].refs["refs/heads/main"]
    rows = "data/harbour-radio/batch-0001.train.parquet"
    assert {"snow-006", "clocks-004"} <= _audio_ids(hub.files(REPO)[rows])
    old = hub.repos[REPO].commits[first].files[rows].lfs

    done = _voice("forget", "clocks-004", "--yes")
    assert done.returncode == 0, done.stderr
    assert "Old revisions" in done.stderr
    assert f"voice publish --repo {REPO} --revision main --purge-history" in " ".join(done.stderr.split())
    assert "clocks-004" not in _audio_ids(hub.files(REPO)[rows])
    assert "clocks-004" in _audio_ids(hub.files(REPO, first)[rows])

    done = _voice("forget", "snow-006", "--yes", "--purge-history")
    assert done.returncode == 0, done.stderr
    assert "Purged" in done.stdout
    api = HfApi(endpoint=hub.url, token=hub.token)
    gone = 0
    for revision in (*hub.repos[REPO].commits, "main"):
        try:
            file = api.hf_hub_download(
                REPO, rows, repo_type="dataset", revision=revision, local_dir=built_corpus.root / revision
            )
        except EntryNotFoundError:
            gone += 1
            continue
        assert not _audio_ids(Path(file).read_bytes()) & {"snow-006", "clocks-004"}
    assert gone >= 2  # the hub's first commit, which had none, and ours
    assert old not in {item.oid for item in api.list_lfs_files(REPO, repo_type="dataset")}
    for name in (b"snow-006", b"clocks-004"):
        assert name not in b"".join(hub.repos[REPO].objects.values())
        assert name not in (built_corpus.work / "datasets" / "voice" / "published.json").read_bytes()


def _audio_ids(data: bytes) -> set[str]:
    return set(pq.read_table(io.BytesIO(data), columns=["audio_id"])["audio_id"].to_pylist())


def test_a_place_that_cannot_be_reached_is_named_with_what_to_run_later(
    finished: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.load()
    work = Store(settings.work_url)
    publish(work, settings)
    (place,) = read_publications(work, settings)
    hub.repos.clear()
    assert not remove_from_hub(work, settings, place, purge_history=False, yes=True)
    monkeypatch.setenv("HF_ENDPOINT", "https://elsewhere.example")
    assert not remove_from_hub(work, settings, place, purge_history=True, yes=True)
    said = " ".join(capsys.readouterr().err.split())
    assert f"It is still at {place.url}" in said
    assert "is not visible to this token, or deleted" in said
    assert f"set it to {hub.url}" in said
    assert hub.repos == {}


def test_a_killed_publication_is_resumed(finished: Path, hub: HubServer) -> None:
    publishing: list[RunningCommand] = []
    hub.before("POST .*/commit/", lambda: publishing[0].kill())
    publishing.append(start_voice("publish", "--force"))
    assert publishing[0].wait(timeout=120) < 0
    sent = list(hub.uploads)
    assert sent
    done = _voice("publish", "--force")
    assert done.returncode == 0, done.stderr
    assert hub.uploads == sent
    assert len(hub.commit_titles(REPO)) == 2


def test_the_asset_publishes_and_says_what_it_did(finished: Path, hub: HubServer, instance: dg.DagsterInstance) -> None:
    result = build_definitions(Settings.load()).resolve_job_def(publish_job.name).execute_in_process(instance=instance)
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    revision = hub.repos[REPO].refs["refs/heads/main"]
    assert metadata["revision"].value == f"{hub.url}/datasets/{REPO}/tree/{revision}"
    assert "README.md" in metadata["added"].value  # type: ignore[operator]
    assert metadata["bytes_sent"].value > 0  # type: ignore[operator]
    assert (event.materialization.tags or {})["dagster/data_version"] == revision
    assert hub.token.encode() not in _kept(finished)


def test_without_a_repository_there_is_no_asset_and_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICE_HUB__REPO_ID", raising=False)
    defs = build_definitions(Settings.load())
    assert "published_dataset" not in {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    assert publish_job.name not in defs.get_repository_def().job_names


def test_a_hub_that_repeats_the_token_does_not_bring_it_into_dagsters_records(
    finished: Path, hub: HubServer, instance: dg.DagsterInstance
) -> None:
    hub.fail("POST .*/commit/", 400, message=f"you sent Authorization: Bearer {hub.token}")
    job: dg.JobDefinition = build_definitions(Settings.load()).resolve_job_def(publish_job.name)
    assert not job.execute_in_process(instance=instance, raise_on_error=False).success
    kept = _kept(finished)
    assert b"you sent" in kept
    for secret in (hub.token, hub.signature):
        assert secret.encode() not in kept


def test_without_a_valid_token_the_command_says_where_tokens_are_read(
    finished: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = _voice("publish", "--force", HF_TOKEN="hf_mistyped0123456789abcdef")
    assert wrong.returncode == 2
    assert "the token is wrong" in " ".join(wrong.stderr.split())
    assert "mistyped" not in wrong.stderr + wrong.stdout
    monkeypatch.delenv("HF_TOKEN")
    none = _voice("publish", "--force")
    assert none.returncode == 2
    assert "set HF_TOKEN" in " ".join(none.stderr.split())
