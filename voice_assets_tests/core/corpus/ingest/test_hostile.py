"""What a stranger may put into the raw bucket."""

import json
import time

import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus.ingest.transcript_formats.json_segments import MAX_JSON_VALUES
from voice_core.corpus.ingest.transcript_types import TranscriptError
from voice_core.corpus.ingest.transcripts import parse_transcript
from voice_core.storage.store import Store


class CountingStore(Store):
    """A store that notes what is read whole."""

    read: list[str]

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return super().get(key)


def huge(size: int) -> bytes:
    """A valid transcript of about `size` bytes, of lines with long texts."""
    text = "word " * 2_000
    segment = json.dumps({"start": 1.0, "end": 2.0, "text": text}).encode()
    return b'{"segments": [' + b", ".join([segment] * (size // len(segment))) + b"]}"


def test_a_transcript_of_100_mb_is_refused_by_its_size_and_never_read(corpus: Corpus) -> None:
    from voice_core.corpus.ingest import discovery, snapshot
    from voice_core.corpus.segment import segment_stage

    corpus.add_recording("a", 4.0)
    corpus.add_recording("b", 4.0)
    with corpus.transcript_path("a").open("wb") as out:
        out.truncate(100_000_000)
    raw = CountingStore(corpus.settings.raw_url)
    raw.read = []
    found = discovery.discover(raw, corpus.work, corpus.settings)
    partition = found.batches[0].partition
    snapshot.snapshot_batch(raw, corpus.work, partition, corpus.settings)
    report = segment_stage.build_segments(raw, corpus.work, partition, corpus.settings)
    assert "news/b.json" in raw.read
    assert "news/a.json" not in raw.read
    first = report.manifest.entries[0]
    assert (first.audio_id, first.reason) == ("a", "transcript_too_large")
    assert "100.0 MB" in first.message
    assert "VOICE_MAX_TRANSCRIPT_MB" in first.message
    assert len(report.manifest.kept()) == 2


def test_with_the_limit_raised_a_transcript_of_40_mb_is_parsed() -> None:
    data = huge(40_000_000)
    started = time.process_time()
    parsed = parse_transcript(data, "a.json")
    assert time.process_time() - started < 40
    assert len(parsed.lines) == data.count(b'"start"')


@pytest.mark.parametrize(
    "data",
    [b"[" * 20_000_000, b'{"segments": [' + b"{}," * 10_000_000 + b"{}]}", b'{"segments": [' + b"[1],[1]," * 4_000_000],
    ids=["brackets", "empty objects", "unfinished"],
)
def test_a_transcript_made_to_fill_the_memory_is_refused_before_it_is_decoded(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(TranscriptError) as caught:
        parse_transcript(data, "a.json")
    assert caught.value.reason in ("transcript_too_large", "transcript_not_json")
    assert time.process_time() - started < 20
    assert data.count(b",") + data.count(b"{") + data.count(b"[") > MAX_JSON_VALUES


def test_a_transcript_that_only_just_fits_the_limit_is_built_when_the_limit_is_raised(corpus: Corpus) -> None:
    lines = corpus.add_recording("a", 4.0)
    corpus.transcript_path("a").write_text(json.dumps({"segments": lines, "padding": "x" * 50_000}))
    corpus.set(max_transcript_mb=0.05)
    assert corpus.segment().manifest.kept() == []
    corpus.set(max_transcript_mb=0.06)
    assert len(corpus.segment().manifest.kept()) == 2
    lines[0]["text"] = "Corrected text."
    corpus.transcript_path("a").write_text(json.dumps({"segments": lines, "padding": "x" * 50_000}))
    assert corpus.segment().segments_cut == 1
