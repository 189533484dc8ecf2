"""The listening page, from manifests and segment files that are made here."""

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest

from voice_core.audio.pcm import to_pcm16
from voice_core.codecs.base import Audio, CodecUnavailableError, Codes
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, write_manifest
from voice_core.corpus.segment.segment_files import Segment, dump_segment
from voice_core.layout import PartitionKey
from voice_core.report.clips import (
    ClipCandidate,
    select_random_kept,
    select_rejected_by_rules,
    select_worst_kept,
    waveform_svg_path,
)
from voice_core.report.page import build_page, may_contain_recording
from voice_core.settings import CardSettings, Settings
from voice_core.stages.verdicts import Reject
from voice_core.storage.store import Store

RATE = 24_000
PARTITION = PartitionKey("Atheer_-", 1)
HOSTILE = "<script>alert('x')</script> & \"quotes\""
SETTINGS = Settings(
    channel_mapping={"Atheer_-": "Atheer - أثير"}, card=CardSettings(title="A <b>title</b>", languages=("en", "ar"))
)


class LevelCodec:
    """Codes are levels; decoding hums at them."""

    name, revision, stand_in = "level", "1", True
    input_sample_rate_hz = output_sample_rate_hz = RATE
    codes_per_sec, codebook_size = 50, 65_536

    def __init__(self, unavailable: str = "") -> None:
        self.unavailable = unavailable
        self.held = False

    @contextmanager
    def ready(self, purpose: str) -> Iterator[None]:
        if self.unavailable:
            raise CodecUnavailableError(self.unavailable)
        self.held = True
        yield
        self.held = False

    def code_count(self, sample_count: int) -> int:
        return sample_count // 480

    def encode(self, clips: Sequence[Audio]) -> list[Codes]:
        frames = [clip[: len(clip) // 480 * 480].reshape(-1, 480) for clip in clips]
        return [(np.abs(item).max(axis=1) * 1000).astype(np.int32) for item in frames]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        assert self.held
        return [
            (np.repeat(item / 1000, 480) * np.sin(np.arange(len(item) * 480) / 30)).astype(np.float32) for item in codes
        ]


def voice(seconds: float, seed: int) -> np.ndarray:
    at = np.arange(round(seconds * RATE)) / RATE
    envelope = 0.2 + 0.3 * np.abs(np.sin(2 * np.pi * (1.3 + seed % 3) * at))
    return to_pcm16(envelope * np.sin(2 * np.pi * (120 + 7 * seed) * at))


def build_corpus(store: Store, *, coded: bool = True, seconds: float = 1.0, lines: int = 8) -> None:
    """A recording whose last two lines were rejected by rules, another that cannot be read, one without transcript."""
    codec = LevelCodec()
    segments, coded_rows = [], []
    for index in range(lines):
        pcm = voice(seconds, index)
        text = [HOSTILE, "صباح الخير يا أصدقاء", "A plain line."][index % 3]
        labels = {"speaker_id": "SPEAKER_00", "gender": "female", "tone": "calm"}
        segment = Segment(pcm, text, len(pcm) / RATE, "talk <1>", **labels)
        key = f"segments/{PARTITION}/talk_seg_{index}.npz"
        store.put(key, dump_segment(segment))
        row = Entry(
            "line", "talk <1>", index, sample_count=len(pcm), kept=True, text=text, key=key, duration_sec=seconds,
            speaker_id="SPEAKER_00", gender="female", tone="calm", snr_db=30.0 - index, bandwidth_hz=9_000.0 + index,
        )  # fmt: skip
        if index >= lines - 2:
            reason = "noisy" if index == lines - 1 else "too_long"
            segments.append(row.with_verdict(Reject("rules", reason, 5.0, 10.0)))
            coded_rows.append(segments[-1])
            continue
        segments.append(row)
        codes = codec.encode([pcm.astype(np.float32) / 32768])[0]
        coded_key = key.replace("segments/", "coded/")
        store.put(coded_key, dump_segment(replace(segment, codes=codes)))
        coded_rows.append(replace(row, key=coded_key, code_count=len(codes), roundtrip_mel_db=3.0 + index))
    outcomes = (
        RecordingOutcome("talk <1>", "talk.mp3", "ok", sum(row.sample_count for row in segments) + RATE),
        RecordingOutcome("broken", "broken.mp3", "unreadable", 0, message="Invalid data <found> when processing input"),
        RecordingOutcome("silent-film", "film.mp3", "no_transcript", 2 * RATE, message="there is no transcript"),
    )
    rest = [
        Entry("rest", "talk <1>", sample_count=RATE, stage="transcript", reason="not_transcribed"),
        Entry("recording", "broken", stage="recording", reason="unreadable"),
        Entry("recording", "silent-film", sample_count=2 * RATE, stage="recording", reason="no_transcript"),
    ]
    write_manifest(store, Manifest("segments", str(PARTITION), True, RATE, "", {}, outcomes, (*segments, *rest)))
    if coded:
        parameters = {"codec": "level", "revision": "1", "stand_in": True, "codes_per_sec": 50}
        rows = (*coded_rows, *rest)
        write_manifest(store, Manifest("coded", str(PARTITION), True, RATE, "", parameters, outcomes, rows))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path.as_uri(), create=True)


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_hostile_text_is_text_and_nothing_comes_from_outside(store: Store) -> None:
    build_corpus(store)
    html = build_page(store, [PARTITION], SETTINGS, LevelCodec()).decode()
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in html
    assert "A &lt;b&gt;title&lt;/b&gt;" in html
    assert "Invalid data &lt;found&gt;" in html
    elements = Elements(html)
    assert len(elements.named("script")) == 1
    addresses = [value for _, attrs in elements.tags for name, value in attrs.items() if name in ("src", "href")]
    assert addresses
    assert all(value and value.startswith(("data:audio/mpeg;base64,", "#")) for value in addresses)
    assert not re.search(r"https?://|@import|url\(", html)


def test_every_sound_on_the_page_plays(store: Store, tmp_path: Path) -> None:
    build_corpus(store)
    html = build_page(store, [PARTITION], SETTINGS, LevelCodec()).decode()
    sounds = [str(attrs["src"]) for attrs in Elements(html).named("audio")]
    assert len(sounds) == 6 * 2 + 2  # six kept with their codes, two rejected without
    path = tmp_path / "sound.mp3"
    for sound in sounds:
        path.write_bytes(base64.b64decode(sound.split(",", 1)[1]))
        with av.open(str(path)) as container:
            seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
        assert 0.9 < seconds < 1.2


def test_a_stand_in_says_so_and_texts_carry_direction_and_language(store: Store) -> None:
    build_corpus(store)
    html = build_page(store, [PARTITION], SETTINGS, LevelCodec()).decode()
    assert "not what NeuCodec sounds like" in html
    assert html.count("stand-in, not NeuCodec") == 6
    assert 'dir="auto" lang="ar">صباح الخير' in html
    assert "Atheer - أثير" in html


def test_the_funnel_adds_up_and_recordings_with_problems_come_first(store: Store) -> None:
    build_corpus(store)
    html = build_page(store, [PARTITION], SETTINGS, LevelCodec()).decode()
    assert f"{11 * RATE:,}</td>" in html
    assert "not accounted for" not in html
    assert html.index("broken") < html.index("silent-film") < html.index("talk &lt;1&gt;")


@pytest.mark.parametrize("coded", [True, False])
def test_without_the_codec_the_page_says_why_codes_are_not_decoded(store: Store, coded: bool) -> None:
    build_corpus(store, coded=coded)
    html = build_page(store, [PARTITION], SETTINGS, None).decode()
    assert ("that codec is not available" if coded else "built without a codec") in html
    assert "from codes" not in html.split("<main>")[1]


def test_the_page_is_complete_but_for_codes_if_the_codec_cannot_be_loaded(store: Store) -> None:
    build_corpus(store)
    html = build_page(store, [PARTITION], SETTINGS, LevelCodec("torch sees no <GPU> here")).decode()
    assert "that codec is not available. torch sees no &lt;GPU&gt; here" in html
    assert len(Elements(html).named("audio")) == 6 + 2


def test_nothing_is_held_where_there_are_no_codes_to_hear(store: Store) -> None:
    build_corpus(store, coded=False)
    assert b"built without a codec" in build_page(store, [PARTITION], SETTINGS, LevelCodec("no GPU"))


def test_a_missing_and_a_hostile_file_become_a_message(store: Store) -> None:
    build_corpus(store)
    store.delete([f"coded/{PARTITION}/talk_seg_0.npz"])
    store.put(f"coded/{PARTITION}/talk_seg_1.npz", b"PK\x03\x04 nonsense")
    html = build_page(store, [PARTITION], SETTINGS, LevelCodec()).decode()
    assert "talk_seg_0.npz: not found" in html
    assert "talk_seg_1.npz is not a segment file" in html


def test_the_page_stays_small_however_long_the_segments_are(store: Store) -> None:
    build_corpus(store, seconds=40.0, lines=12)
    page = build_page(store, [PARTITION], SETTINGS, LevelCodec())
    assert len(page) < 6_000_000
    assert b"to keep the page small" in page


def test_the_page_is_the_same_twice_and_empty_roots_have_one_too(store: Store) -> None:
    assert b'<p class="lead">None.</p>\n<div class="cards">' in build_page(store, [PARTITION], SETTINGS, None)
    build_corpus(store)
    one, two = (build_page(store, [PARTITION], SETTINGS, LevelCodec(), seed=3) for _ in range(2))
    assert one == two


def test_pages_of_this_and_of_earlier_versions_are_recognised_by_the_recordings_they_name(store: Store) -> None:
    build_corpus(store)
    page = build_page(store, [PARTITION], SETTINGS, None)
    earlier = page.replace(b"listening page</title>", b"what was made, to listen to</title>")
    assert earlier != page
    for html in (page, earlier):
        assert may_contain_recording(html, "silent-film")
        assert not may_contain_recording(html, "another recording")
    assert not may_contain_recording(b"<title>notes</title>silent-film", "silent-film")


def test_the_worst_are_taken_in_turn_by_each_measure_and_none_twice() -> None:
    rows = [
        Entry("line", "a", i, kept=True, snr_db=float(i), bandwidth_hz=float(20 - i), roundtrip_mel_db=float(i % 5))
        for i in range(20)
    ]
    worst = select_worst_kept([ClipCandidate(PARTITION, row) for row in rows], 6)
    by_why = {why: [item.entry.index for item in worst if item.why == why] for why in {item.why for item in worst}}
    assert by_why == {"lowest SNR": [0, 1], "farthest from its codes": [4, 9], "narrowest band": [19, 18]}


def test_the_closest_and_the_farthest_reject_of_each_rule_are_selected() -> None:
    rows = [Entry("line", "a", i, stage="rules", reason="noisy", value=float(i), threshold=10.0) for i in range(9)]
    other = Entry("line", "a", 99, stage="transcript", reason="overlap")
    heard = select_rejected_by_rules([ClipCandidate(PARTITION, row) for row in [*rows, other]])
    assert [item.entry.index for item in heard] == [8, 0]


def test_random_segments_follow_the_seed() -> None:
    rows = [ClipCandidate(PARTITION, Entry("line", "a", i)) for i in range(100)]
    assert select_random_kept(rows, 12, 1) == select_random_kept(rows, 12, 1) != select_random_kept(rows, 12, 2)
    assert len(select_random_kept(rows[:3], 12, 0)) == 3


def test_a_waveform_stays_in_its_box() -> None:
    numbers = [
        float(value) for value in re.findall(r"[\d.]+", waveform_svg_path(np.array([32767, -32768, 5] * 500, np.int16)))
    ]
    assert min(numbers) >= 0
    assert max(numbers[1::2]) <= 56
    assert waveform_svg_path(np.zeros(0, np.int16)) == ""
