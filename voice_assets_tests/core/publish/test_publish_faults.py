"""What happens to a publication when the hub, the connection, the token or somebody else gets in its way."""

import logging

import pytest

from voice_assets_tests.core.publish.conftest import REPO, PublishedCorpus
from voice_assets_tests.servers.hub import HubServer
from voice_core.corpus.dataset.publications import read_publications
from voice_core.publish.dataset_files import DatasetNotReadyError
from voice_core.publish.errors import (
    HubAccessError,
    HubConflictError,
    HubError,
    HubUnavailableError,
    RemoteChangedError,
)
from voice_core.publish.hub import HubRepo


def test_a_branch_that_moves_meanwhile_is_compared_again_and_files_of_others_are_kept(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    corpus.publish()
    corpus.correct_transcript(tone="cheerful")
    hub.before("POST .*/commit/", lambda: hub.commit_as_other_user(REPO, {"notes.txt": b"from a colleague"}) and None)
    done = corpus.publish()
    assert done.committed
    assert hub.commit_titles(REPO)[:2] == ["voice: 4 changed", "by somebody"]
    assert hub.files(REPO)["notes.txt"] == b"from a colleague"


def test_a_branch_that_keeps_moving_ends_as_a_conflict(corpus: PublishedCorpus, hub: HubServer) -> None:
    corpus.publish()
    corpus.correct_transcript(tone="cheerful")
    hub.before("POST .*/commit/", lambda: hub.commit_as_other_user(REPO, {"n": b"x"}) and None, times=99)
    with pytest.raises(HubConflictError, match="moved 5 times"):
        corpus.publish()
    assert "voice: 4 changed" not in hub.commit_titles(REPO)


def test_a_change_by_another_user_between_the_comparison_and_the_commit_is_detected(
    corpus: PublishedCorpus, hub: HubServer
) -> None:
    corpus.publish()
    corpus.correct_transcript(tone="cheerful")
    hub.before("POST .*/commit/", lambda: hub.commit_as_other_user(REPO, {"README.md": b"a better card"}) and None)
    with pytest.raises(RemoteChangedError):
        corpus.publish()
    assert hub.files(REPO)["README.md"] == b"a better card"


def test_large_files_that_a_broken_off_run_uploaded_are_not_sent_again(corpus: PublishedCorpus, hub: HubServer) -> None:
    hub.fail("POST .*/commit/", 400, message="not today")
    with pytest.raises(HubError, match="not today"):
        corpus.publish()
    sent = list(hub.uploads)
    assert len(sent) >= 9
    hub.uploads.clear()
    done = corpus.publish()
    assert (hub.uploads, done.files_sent, done.committed) == ([], 0, True)
    assert hub.files(REPO).keys() >= corpus.published_paths()


def test_large_files_go_in_parts_where_the_hub_wants_that(corpus: PublishedCorpus, hub: HubServer) -> None:
    hub.part_bytes = 50_000
    corpus.publish()
    assert any(line.endswith("/2") for line in hub.requests if line.startswith("PUT /storage"))
    name = "data/news/batch-0001.train.parquet"
    assert hub.files(REPO)[name] == corpus.path(f"datasets/voice/{name}").read_bytes()


def test_rate_limits_server_errors_and_broken_connections_are_survived(corpus: PublishedCorpus, hub: HubServer) -> None:
    hub.fail("POST .*/commit/", 429, headers={"Retry-After": "0"})
    hub.fail("GET .*/tree/", 503, headers={"Retry-After": "0"})
    hub.fail("POST .*/repos/create", 500, headers={"Retry-After": "0"})
    hub.reset("PUT /storage", after_bytes=20_000)
    corpus.publish()
    assert hub.files(REPO).keys() >= corpus.published_paths()
    assert len(hub.commit_titles(REPO)) == 2


def test_a_commit_whose_answer_was_lost_is_not_made_twice(corpus: PublishedCorpus, hub: HubServer) -> None:
    hub.drop_response("POST .*/commit/")
    done = corpus.publish()
    assert done.committed
    assert {file.path for file in done.difference.added} == corpus.published_paths()
    assert len(hub.commit_titles(REPO)) == 2
    assert read_publications(corpus.work, corpus.settings)[0].revision == done.revision


def test_a_hub_that_stays_busy_ends_as_an_error_that_says_so(hub: HubServer) -> None:
    hub.create(REPO, private=True)
    hub.fail("GET .*/revision/", 503, times=99)
    with (
        HubRepo(REPO, "main", wait_sec=0.001) as repo,
        pytest.raises(HubUnavailableError, match=r"team/voices.*read its state"),
    ):
        repo.head()
    assert len(hub.requests) == 5


def test_a_pause_longer_than_any_window_of_the_hub_is_not_waited_for(hub: HubServer) -> None:
    hub.create(REPO, private=True)
    hub.fail("GET .*/revision/", 429, headers={"Retry-After": "86400"})
    with HubRepo(REPO, "main") as repo, pytest.raises(HubUnavailableError, match="limits the rate"):
        repo.head()


def test_a_token_that_may_only_read_is_named_as_the_reason(
    corpus: PublishedCorpus, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create(REPO, private=True)
    monkeypatch.setenv("HF_TOKEN", hub.read_token)
    assert not corpus.publish(dry_run=True).difference.empty
    with pytest.raises(HubAccessError, match="needs write access"):
        corpus.publish()


def test_a_corrupt_file_is_not_published(corpus: PublishedCorpus, hub: HubServer) -> None:
    path = corpus.path("datasets/voice/data/talk/batch-0001.train.parquet")
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetNotReadyError, match=r"talk/batch-0001.*not the file that was committed"):
        corpus.publish()
    assert "voice: 12 added" not in hub.commit_titles(REPO)


def test_no_token_is_logged_or_in_a_message(
    corpus: PublishedCorpus, hub: HubServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The hub repeats what it is given, in messages that the client hands on; the client logs signed addresses."""
    caplog.set_level(logging.DEBUG)
    told = ""
    wrong = "hf_wrongwrongwrongwrong"
    monkeypatch.setenv("HF_TOKEN", wrong)
    with pytest.raises(HubAccessError, match="HF_TOKEN") as refused:
        corpus.publish()
    told += _everything(refused.value)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.fail("POST .*/commit/", 400, message=f"you sent Authorization: Bearer {hub.token}")
    hub.reset("PUT /storage", after_bytes=1_000)
    hub.fail("PUT /storage", 503, headers={"Retry-After": "0"})
    with pytest.raises(HubError, match="you sent") as refused:
        corpus.publish()
    told += _everything(refused.value)
    assert "***" in told
    corpus.publish()
    written = b"".join(path.read_bytes() for path in corpus.work_dir.rglob("*") if path.is_file())
    assert "X-Amz-Signature" not in caplog.text
    for secret in (wrong, hub.token, hub.signature):
        assert secret not in told + caplog.text + repr(HubRepo(REPO, "main"))
        assert secret.encode() not in written
        assert all(secret.encode() not in data for data in hub.files(REPO).values())


def _everything(error: BaseException) -> str:
    """What a traceback shows of an error."""
    shown = ""
    found: BaseException | None = error
    while found is not None:
        shown += f"{found} {found!r} {vars(found)}"
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return shown
