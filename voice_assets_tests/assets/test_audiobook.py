"""Books through Dagster: the sensor, the assets and their checks, and what an edit speaks and masters again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.corpus import CorpusResource
from voice_assets.definitions import build_definitions
from voice_assets.defs.audiobook.sensors import BOOK_INBOX
from voice_assets.inbox import inbox_sensor
from voice_assets_tests.core.audiobook.epub_builder import build_epub
from voice_core.settings import Settings

TEXT = """# The Ferry

## Out

The ferry leaves at six. It carries 12 people and one dog.

## Back

Nobody came back on the ferry. The dog did, though, and slept by the stove.
"""


class Library:
    """A folder of books, a work root, and the definitions over them."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.books, self.work, self.instance = folder / "books", folder / "work", instance
        self.books.mkdir()
        self.cursor: str | None = None

    def tick(self) -> list[str]:
        """The books that the sensor asks for."""
        sensor = inbox_sensor(BOOK_INBOX, Settings.load(), dg.DefaultSensorStatus.STOPPED)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"corpus": CorpusResource()}
        ) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return [request.partition_key or "" for request in result.run_requests or []]

    def ticks(self) -> list[str]:
        return self.tick() + self.tick()

    def build(self, book: str, **config: Any) -> dg.ExecuteInProcessResult:
        job = build_definitions(Settings.load()).resolve_job_def("build_audiobook")
        ops = {"chunk_audio": {"config": {"backend": "serial", **config}}}
        return job.execute_in_process(
            instance=self.instance, partition_key=book, run_config={"ops": ops}, raise_on_error=False
        )


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    monkeypatch.setenv("VOICE_AUDIOBOOK__BOOKS_URL", str(tmp_path / "books"))
    monkeypatch.setenv("VOICE_WORK_URL", str(tmp_path / "work"))
    monkeypatch.setenv("VOICE_AUDIOBOOK__FORMATS", '["m4b"]')
    monkeypatch.setenv("VOICE_WORKERS", "1")
    with dg.instance_for_test() as instance:
        yield Library(tmp_path, instance)


def metadata(result: dg.ExecuteInProcessResult, asset: str, name: str) -> Any:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
    return event.materialization.metadata[name].value


def failure(result: dg.ExecuteInProcessResult) -> str:
    return str(result.filter_events(lambda event: event.is_step_failure)[0].event_specific_data)


def test_a_book_is_built_and_an_edit_speaks_and_masters_only_what_changed(library: Library) -> None:
    book = library.books / "ferry.md"
    book.write_text(TEXT, "utf-8")
    assert library.ticks() == ["ferry"]
    first = library.build("ferry")
    assert first.success
    assert {check.check_name for check in first.get_asset_check_evaluations() if not check.passed} == set()
    assert metadata(first, "chunk_audio", "utterances_spoken") == metadata(first, "book_chunks", "chunks") > 4
    assert metadata(first, "audiobook", "chapters_mastered") == len(list((library.work / "audiobooks").rglob("*.m4a")))
    assert library.ticks() == []  # built: nothing is asked for again

    book.write_text(TEXT.replace("by the stove", "on the stairs"), "utf-8")
    assert library.ticks() == ["ferry"]
    second = library.build("ferry")
    assert metadata(second, "chunk_audio", "utterances_spoken") == 1
    assert metadata(second, "audiobook", "chapters_mastered") == 1
    assert len(list((library.work / "audiobooks").rglob("*.m4b"))) == 1


def test_a_chunk_is_spoken_again_on_request_and_stays_so(library: Library) -> None:
    (library.books / "ferry.md").write_text(TEXT, "utf-8")
    library.ticks()
    library.build("ferry")
    before = metadata(library.build("ferry", redo=["001-0001"]), "chunk_audio", "utterances_spoken")
    assert before == 1
    assert metadata(library.build("ferry"), "chunk_audio", "utterances_spoken") == 0
    failed = library.build("ferry", redo=["009-0001"])
    assert not failed.success
    assert "has no chunk 009-0001" in str(
        failed.filter_events(lambda event: event.is_step_failure)[0].event_specific_data
    )


def test_a_file_that_is_no_book_fails_alone_and_is_named(library: Library) -> None:
    (library.books / "broken.epub").write_bytes(b"PK\x03\x04 not really")
    (library.books / "ferry.epub").write_bytes(
        build_epub(title="The Ferry", documents={"one.xhtml": "<p>It left.</p>"})
    )
    (library.books / "ferry.txt").write_text("The same name.", "utf-8")
    assert library.ticks() == ["broken", "ferry"]
    failed = library.build("broken")
    assert not failed.success
    assert "broken.epub" in failure(failed)
    built = library.build("ferry")
    assert built.success
    assert metadata(built, "book_chunks", "file") == "ferry.epub"


def test_text_that_the_engine_would_drop_is_listed_and_the_rest_is_spoken(library: Library) -> None:
    text = "He wrote كتاب on the door. Then he left."
    (library.books / "words.txt").write_text(text, "utf-8")
    library.ticks()
    result = library.build("words")
    assert result.success
    [refused] = [check for check in result.get_asset_check_evaluations() if check.check_name == "nothing_refused"]
    assert not refused.passed
    assert "كتاب" in (refused.description or "")
    rows = [record.data for record in metadata_table(result)]
    assert sum(row["characters"] for row in rows) == sum(
        not char.isspace() for char in "He wrote كتاب on the door. Then he left."
    )


def metadata_table(result: dg.ExecuteInProcessResult) -> Any:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey("book_chunks")]
    return event.materialization.metadata["characters"].records  # type: ignore[union-attr]


def test_without_a_folder_of_books_the_sensor_says_so(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICE_AUDIOBOOK__BOOKS_URL")
    sensor = inbox_sensor(BOOK_INBOX, Settings.load(), dg.DefaultSensorStatus.STOPPED)
    with dg.build_sensor_context(instance=library.instance, resources={"corpus": CorpusResource()}) as context:
        result = sensor(context)
    assert isinstance(result, dg.SkipReason)
    assert "VOICE_AUDIOBOOK__BOOKS_URL" in (result.skip_message or "")
