"""Symbolic links in folders that other people write to."""

import json
from pathlib import Path

import pytest

from resources.corpus import open_raw
from resources.stores import open_store
from voice_assets_tests.core.corpus.adopt.segment_cache import SegmentCache
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.files import files_below
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.corpus.ingest import discovery, snapshot
from voice_core.corpus.segment.segment_stage import build_segments
from voice_core.layout import PartitionKey
from voice_core.moshi.build import read_scripts
from voice_core.storage.local_links import LINK_OUTSIDE
from voice_core.storage.store import Store, StoreError

SECRET = "root:x:0:0:the secret of another file"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "passwd").write_text(SECRET + "\n")
    return folder


def build(corpus: Corpus) -> discovery.Discovery:
    raw = open_raw(corpus.settings)
    found = discovery.discover(raw, corpus.work, corpus.settings)
    for batch in found.batches:
        snapshot.snapshot_batch(raw, corpus.work, batch.partition, corpus.settings)
        build_segments(raw, corpus.work, batch.partition, corpus.settings)
    return found


def strays(found: discovery.Discovery) -> dict[str, str]:
    return {stray.key: stray.reason for stray in found.listing.strays}


def everything(corpus: Corpus) -> bytes:
    return b"".join(files_below(corpus.work_dir).values())


@pytest.mark.parametrize("extension", [".vtt", ".srt", ".json"])
def test_a_transcript_that_is_a_link_to_another_file_is_a_stray_and_never_read(
    corpus: Corpus, outside: Path, extension: str
) -> None:
    corpus.add_recording("a")
    corpus.transcript_path("a").unlink()
    (corpus.raw_dir / "news" / f"a{extension}").symlink_to(outside / "passwd")
    found = build(corpus)
    assert strays(found) == {f"news/a{extension}": LINK_OUTSIDE}
    assert {item.status for item in corpus.segments().recordings} == {"no_transcript"}
    assert b"secret" not in everything(corpus)


def test_audio_that_is_a_link_out_is_a_stray_and_followed_with_the_setting(corpus: Corpus, outside: Path) -> None:
    corpus.add_recording("a")
    corpus.add_recording("b")
    corpus.audio_path("a").rename(outside / "a.wav")
    corpus.audio_path("a").symlink_to(outside / "a.wav")
    assert strays(build(corpus))["news/a.wav"] == LINK_OUTSIDE
    assert {item.audio_id for item in corpus.segments().recordings} == {"b"}
    corpus.set(follow_symlinks=True)
    assert strays(build(corpus)) == {}
    assert {item.audio_id for item in corpus.segments().recordings} == {"a", "b"}


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_read(corpus: Corpus, outside: Path) -> None:
    corpus.add_recording("a")
    build(corpus)
    corpus.transcript_path("a").unlink()
    corpus.transcript_path("a").symlink_to(outside / "passwd")
    raw = open_raw(corpus.settings)
    snapshot.snapshot_batch(raw, corpus.work, PartitionKey("news", 1), corpus.settings)
    with pytest.raises(StoreError, match="VOICE_FOLLOW_SYMLINKS"):
        raw.get("news/a.json")
    with pytest.raises(StoreError, match="VOICE_FOLLOW_SYMLINKS"):
        raw.open("news/a.json")


def test_a_folder_that_is_a_link_out_is_not_entered_and_one_within_the_root_is(corpus: Corpus, outside: Path) -> None:
    corpus.add_recording("a")
    (corpus.raw_dir / "elsewhere").symlink_to(outside)
    (corpus.raw_dir / "again").symlink_to(corpus.raw_dir / "news")
    (corpus.raw_dir / "news" / "loop").symlink_to(corpus.raw_dir)
    found = build(corpus)
    assert strays(found)["elsewhere"] == LINK_OUTSIDE
    assert {("news", "a"), ("again", "a")} <= found.listing.recordings.keys()


def test_a_root_that_is_a_link_itself_is_the_folder_that_it_leads_to(corpus: Corpus, tmp_path: Path) -> None:
    corpus.add_recording("a")
    (tmp_path / "link").symlink_to(corpus.raw_dir)
    corpus.set(raw_url=(tmp_path / "link").as_uri())
    assert strays(build(corpus)) == {}
    assert len(corpus.segments().kept()) == 3


def test_scripts_and_segment_files_that_are_links_out_are_not_read(
    corpus: Corpus, cache: SegmentCache, tmp_path: Path, outside: Path
) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "a.jsonl").symlink_to(outside / "passwd")
    with pytest.raises(StoreError, match="VOICE_FOLLOW_SYMLINKS"):
        list(read_scripts(open_store(scripts.as_uri(), corpus.settings, untrusted=True)))
    cache.recording("v", count=2)
    cache.path("v", 1).rename(outside / "v.npz")
    cache.path("v", 1).symlink_to(outside / "v.npz")
    source = open_store(cache.folder.as_uri(), corpus.settings, untrusted=True)
    report = adopt(source, corpus.work, corpus.settings, AdoptOptions())
    assert report.adopted == 1
    assert [(stray.key, stray.reason) for stray in report.strays] == [("zad/v_seg_1.npz", LINK_OUTSIDE)]


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
    from voice_core.corpus.ingest.transcript_types import BadLine, TranscriptError
    from voice_core.corpus.ingest.transcripts import parse_transcript

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
