"""Symbolic links in folders that others fill."""

import json
from pathlib import Path

import pytest

from resources.corpus import open_raw
from resources.stores import open_store
from voice_assets_tests.core.corpus.adopt.segment_cache import Cache
from voice_assets_tests.core.corpus.small_corpus import World
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.corpus.ingest import batches, discovery
from voice_core.corpus.segment.segment_stage import build_segments
from voice_core.layout import PartitionKey
from voice_core.moshi.build import read_scripts
from voice_core.storage.local_links import LEADS_OUT
from voice_core.storage.store import Store, StoreError

SECRET = "root:x:0:0:the secret of another file"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "passwd").write_text(SECRET + "\n")
    return folder


def build(world: World) -> discovery.Discovery:
    raw = open_raw(world.settings)
    found = discovery.discover(raw, world.work, world.settings)
    for batch in found.batches:
        batches.snapshot(raw, world.work, batch.partition, world.settings)
        build_segments(raw, world.work, batch.partition, world.settings)
    return found


def strays(found: discovery.Discovery) -> dict[str, str]:
    return {stray.key: stray.reason for stray in found.listing.strays}


def everything(world: World) -> bytes:
    return b"".join(path.read_bytes() for path in world.work_dir.rglob("*") if path.is_file())


@pytest.mark.parametrize("extension", [".vtt", ".srt", ".json"])
def test_a_transcript_that_is_a_link_to_another_file_is_a_stray_and_never_read(
    world: World, outside: Path, extension: str
) -> None:
    world.record("a")
    world.transcript_path("a").unlink()
    (world.raw_dir / "news" / f"a{extension}").symlink_to(outside / "passwd")
    found = build(world)
    assert strays(found) == {f"news/a{extension}": LEADS_OUT}
    assert {item.status for item in world.segments().recordings} == {"no_transcript"}
    assert b"secret" not in everything(world)


def test_audio_that_is_a_link_out_is_a_stray_and_followed_with_the_setting(world: World, outside: Path) -> None:
    world.record("a")
    world.record("b")
    world.audio_path("a").rename(outside / "a.wav")
    world.audio_path("a").symlink_to(outside / "a.wav")
    assert strays(build(world))["news/a.wav"] == LEADS_OUT
    assert {item.audio_id for item in world.segments().recordings} == {"b"}
    world.set(follow_symlinks=True)
    assert strays(build(world)) == {}
    assert {item.audio_id for item in world.segments().recordings} == {"a", "b"}


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_read(world: World, outside: Path) -> None:
    world.record("a")
    build(world)
    world.transcript_path("a").unlink()
    world.transcript_path("a").symlink_to(outside / "passwd")
    raw = open_raw(world.settings)
    batches.snapshot(raw, world.work, PartitionKey("news", 1), world.settings)
    with pytest.raises(StoreError, match="VOICE_FOLLOW_SYMLINKS"):
        raw.get("news/a.json")
    with pytest.raises(StoreError, match="VOICE_FOLLOW_SYMLINKS"):
        raw.open("news/a.json")


def test_a_folder_that_is_a_link_out_is_not_entered_and_one_within_the_root_is(world: World, outside: Path) -> None:
    world.record("a")
    (world.raw_dir / "elsewhere").symlink_to(outside)
    (world.raw_dir / "again").symlink_to(world.raw_dir / "news")
    (world.raw_dir / "news" / "loop").symlink_to(world.raw_dir)
    found = build(world)
    assert strays(found)["elsewhere"] == LEADS_OUT
    assert {("news", "a"), ("again", "a")} <= found.listing.recordings.keys()


def test_a_root_that_is_a_link_itself_is_the_folder_that_it_leads_to(world: World, tmp_path: Path) -> None:
    world.record("a")
    (tmp_path / "link").symlink_to(world.raw_dir)
    world.set(raw_url=(tmp_path / "link").as_uri())
    assert strays(build(world)) == {}
    assert len(world.segments().kept()) == 3


def test_scripts_and_segment_files_that_are_links_out_are_not_read(
    world: World, cache: Cache, tmp_path: Path, outside: Path
) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "a.jsonl").symlink_to(outside / "passwd")
    with pytest.raises(StoreError, match="VOICE_FOLLOW_SYMLINKS"):
        list(read_scripts(open_store(scripts.as_uri(), world.settings, foreign=True)))
    cache.recording("v", count=2)
    cache.path("v", 1).rename(outside / "v.npz")
    cache.path("v", 1).symlink_to(outside / "v.npz")
    source = open_store(cache.folder.as_uri(), world.settings, foreign=True)
    report = adopt(source, world.work, world.settings, AdoptOptions())
    assert report.adopted == 1
    assert [(stray.key, stray.reason) for stray in report.strays] == [("zad/v_seg_1.npz", LEADS_OUT)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.vtt", SECRET), ("a.json", json.dumps({SECRET: SECRET})), ("a.json", json.dumps(SECRET)),
        ("a.json", json.dumps([SECRET, {"start": SECRET, "end": 1, "text": "x"}])),
        ("a.json", json.dumps([{"start": 0, "end": 1, "text": [SECRET]}])),
        ("a.json", json.dumps([{"start": 0, "end": 1, "text": f"{SECRET}\0"}])),
        ("a.json", json.dumps([{"start": 0, "end": 1, "text": "a", "speaker": {SECRET: 1}}])),
        ("a.srt", f"{SECRET}\n"), ("a.srt", f"1\n{SECRET} --> {SECRET}\nHi\n"),
        ("a.vtt", f"WEBVTT\n\n{SECRET}\n\n00:61.000 --> 00:62.000 {SECRET}\nHi\n"),
    ],
)  # fmt: skip
def test_no_message_quotes_what_a_file_holds(name: str, text: str) -> None:
    from voice_core.corpus.ingest.transcripts import BadLine, TranscriptError, parse_transcript

    try:
        lines = parse_transcript(text.encode(), name).lines
    except TranscriptError as error:
        messages = [str(error)]
    else:
        messages = [line.message for line in lines if isinstance(line, BadLine)]
    assert messages
    assert not [message for message in messages if "root" in message or "secret" in message]


def test_a_pickled_store_still_follows_no_links(outside: Path, tmp_path: Path) -> None:
    import pickle

    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").symlink_to(outside / "passwd")
    store: Store = pickle.loads(pickle.dumps(Store(root.as_uri(), contained=True)))
    with pytest.raises(StoreError):
        store.get("a.txt")
