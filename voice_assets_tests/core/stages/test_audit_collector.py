"""What an audit collects of files that are not checked by a checksum, in every pipeline."""

import pytest

from voice_core.audiobook.integrity import audit_book
from voice_core.layout import BookKey
from voice_core.stages.integrity import AuditCollector
from voice_core.storage.state_files import DamagedStateError
from voice_core.storage.store import Store


@pytest.fixture
def found() -> AuditCollector:
    return AuditCollector(Store("memory://"))


@pytest.mark.parametrize(("remedy", "expected"), [("", "is damaged"), ("Run it again", "is damaged. Run it again")])
def test_a_file_that_cannot_be_parsed_is_wrong(found: AuditCollector, remedy: str, expected: str) -> None:
    found.work.put("a.json", b"?")

    def parse(data: bytes) -> str:
        raise DamagedStateError(found.work, "a.json", "is damaged", remedy)

    assert found.parse("a.json", parse) is None
    assert found.wrong == {"a.json": expected}


def test_a_file_is_parsed_and_counted_and_a_missing_one_is_not_wrong_by_itself(found: AuditCollector) -> None:
    found.work.put("a.txt", b"text")
    assert found.parse("a.txt", bytes.decode) == "text"
    assert found.parse("b.txt", bytes.decode) is None
    assert (found.files_read, found.size_bytes, found.wrong) == (1, 4, {})


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], {}),
        (["a"], {"key": "is missing, but 1 file of its book exists"}),
        (["a", "b"], {"key": "is missing, but 2 files of its book exist"}),
    ],
)
def test_files_without_their_commit_record_are_counted(
    found: AuditCollector, there: list[str], expected: dict[str, str]
) -> None:
    found.add_missing_record("key", there, "book")
    assert found.wrong == expected


def test_what_is_wrong_already_is_kept(found: AuditCollector) -> None:
    found.wrong["key"] = "cannot be read"
    found.add_missing_record("key", ["a"], "book")
    assert found.wrong == {"key": "cannot be read"}


def test_a_book_with_a_damaged_and_a_missing_manifest_names_both() -> None:
    work = Store("memory://")
    work.put("book_chunks/ferry/_manifest.parquet", b"?")
    work.put("chunk_audio/ferry/001-0001.flac", b"?")
    wrong = audit_book(work, BookKey("ferry")).wrong
    assert wrong["chunk_audio/ferry/_manifest.parquet"] == "is missing, but 1 file of its book exists"
    assert "book_chunks/ferry/_manifest.parquet" in wrong
