"""Places that must not lie within each other."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from voice_assets_tests.core.corpus.adopt.segment_cache import SegmentCache
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage import copy_store
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.store import Store

OVERLAPS = [
    ("s3://bucket/data", "s3://bucket/data/"),
    ("s3://bucket", "s3://bucket/work"),
    ("gs://bucket/work/raw", "gs://bucket/work"),
    ("memory://raw/work", "memory://raw"),
]
APART = [
    ("s3://bucket/raw", "s3://bucket/work"),
    ("s3://bucket/work", "s3://bucket/work-2"),
    ("gs://bucket", "s3://bucket"),
    ("s3://raw", "s3://work"),
]


@pytest.mark.parametrize(("raw_url", "work_url"), OVERLAPS)
def test_a_raw_url_within_or_around_the_work_root_is_refused(raw_url: str, work_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"work_url / VOICE_WORK_URL: .*raw_url"):
        Settings.load(raw_url=raw_url, work_url=work_url)


@pytest.mark.parametrize(("raw_url", "work_url"), APART)
def test_places_that_are_apart_are_taken(raw_url: str, work_url: str) -> None:
    assert Settings.load(raw_url=raw_url, work_url=work_url).work_url == work_url


def test_local_folders_are_compared_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "work" / "raw").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "work")
    for raw, work in (("work/raw", "work"), ("link/raw", "work"), ("work", "link"), ("work", "work/raw/../out")):
        with pytest.raises(ConfigurationError, match="raw_url"):
            Settings.load(raw_url=str(tmp_path / raw), work_url=f"file://{tmp_path}/{work}")
    assert Settings.load(raw_url=str(tmp_path / "raw"), work_url=str(tmp_path / "work"))


def test_scripts_within_the_work_root_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"moshi / VOICE_MOSHI: .*scripts_url is inside of the work_url"):
        Settings.load(work_url=str(tmp_path), moshi={"scripts_url": str(tmp_path / "dialogues")})


def test_segment_files_of_the_work_root_are_not_adopted(corpus: Corpus, cache: SegmentCache) -> None:
    from voice_core.corpus.adopt.adopt import AdoptOptions, adopt

    corpus.add_recording("a")
    corpus.segment()
    with pytest.raises(ValueError, match="is inside of the work root"):
        adopt(
            Store(f"{corpus.settings.work_url}/segments/news"), corpus.work, corpus.settings, AdoptOptions(channel="x")
        )


@pytest.mark.parametrize(("source", "target"), [("link", "a"), ("link", "a/b"), ("a/b", "link")])
def test_nothing_is_copied_onto_or_into_itself_through_a_link(source: str, target: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.txt").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    stores = [Store((tmp_path / name).as_uri()) for name in (source, target)]
    with pytest.raises(ValueError, match="onto or into itself"):
        copy_store.plan_copy(*stores, CopyOptions())
    with pytest.raises(ValueError, match="onto or into itself"):
        copy_store.copy(*stores, CopyOptions(delete=True))
    assert [path.name for path in (tmp_path / "a").rglob("*")] == ["b", "x.txt"]


def test_the_command_makes_no_folder_within_its_source(tmp_path: Path) -> None:
    from voice_assets.cli import app

    (tmp_path / "a").mkdir()
    result = CliRunner().invoke(app, ["store", "copy", str(tmp_path / "a"), str(tmp_path / "a" / "b")])
    assert result.exit_code != 0
    assert not (tmp_path / "a" / "b").exists()
