"""What a publication would change, as a function of plain values; and what a purge takes away."""

import json
import logging

from voice_core.publish.difference import LocalFile, RemoteFile, compare_files, group_identities, parse_hub_record
from voice_core.publish.errors import redact_client_logs

ROWS = "data/news/batch-0001.train.parquet"
OLD = "data/news/batch-0002.train.parquet"


def large(path: str, sha256: str) -> RemoteFile:
    return RemoteFile(path, 9, "pointer", sha256)


def small(path: str, sha1: str) -> RemoteFile:
    return RemoteFile(path, 9, sha1)


def there(*files: RemoteFile) -> dict[str, RemoteFile]:
    return {file.path: file for file in files}


LOCAL = (LocalFile(ROWS, 9, "new", key="k"), LocalFile("README.md", 9, "card", git_sha1="card1", data=b"card"))


def test_large_files_are_compared_by_sha256_and_small_ones_by_their_git_blob() -> None:
    same = compare_files(LOCAL, there(large(ROWS, "new"), small("README.md", "card1")), {})
    assert same.empty
    assert same.unchanged == 2
    differs = compare_files(LOCAL, there(large(ROWS, "old"), small("README.md", "card0")), {})
    assert [file.path for file in differs.changed] == ["README.md", ROWS]


def test_a_small_file_that_the_hub_keeps_as_a_large_one_is_known_too() -> None:
    assert compare_files(LOCAL[1:], there(large("README.md", "card")), {}).empty


def test_only_what_was_published_from_here_is_deleted() -> None:
    remote = there(large(OLD, "old"), large("data/other/batch-0001.train.parquet", "x"), small("logo.svg", "y"))
    known = group_identities([{"path": OLD, "sha256": "old"}, {"path": "data/long-gone.parquet", "sha256": "z"}])
    difference = compare_files(LOCAL, remote, known)
    assert difference.deleted == (OLD,)
    assert difference.conflicts == ()
    assert difference.unrecognised == ("data/other/batch-0001.train.parquet",)


def test_what_others_changed_is_foreign_whether_it_is_replaced_or_deleted() -> None:
    known = group_identities([{"path": ROWS, "sha256": "a"}, {"path": OLD, "sha256": "b"}])
    difference = compare_files(LOCAL[:1], there(large(ROWS, "theirs"), large(OLD, "theirs")), known)
    assert difference.conflicts == (ROWS, OLD)
    assert compare_files(LOCAL[:1], there(large(ROWS, "a"), large(OLD, "b")), known).conflicts == ()


def test_an_edited_list_does_not_lead_to_other_files() -> None:
    listed = [{"path": path, "sha256": "x"} for path in (".gitattributes", "../data/x", "models/a.bin", ROWS)]
    assert [item["path"] for item in parse_hub_record(json.dumps({"files": listed}).encode())] == [ROWS]
    for odd in (b"[]", b"{", b'{"files": [1]}', b'{"files": {"a": 1}}', None):
        assert parse_hub_record(odd) == []


def test_later_log_records_of_clients_are_redacted_too() -> None:
    """A filter of a logger does not see what its children log; some of them do not exist yet."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        with redact_client_logs("a-secret"):
            for name in ("huggingface_hub.utils._http", "huggingface_hub._commit_api", "httpx"):
                logging.getLogger(name).error("%s: PUT https://cdn/x?sig=%s", name, "a-secret")
    finally:
        logging.getLogger().removeHandler(handler)
    assert [line.split(": ", 1)[1] for line in lines] == ["PUT https://cdn/x?***"] * 3
