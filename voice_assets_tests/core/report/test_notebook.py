"""Notebooks to listen to: what is in them, that they are small and the same twice, and that a webserver plays them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from voice_assets_tests.core.moshi.conftest import PARTITION as TALKS
from voice_assets_tests.core.moshi.conftest import FakeSpeaker, make_dialogue
from voice_assets_tests.core.report.test_page import HOSTILE, PARTITION, Elements, LevelCodec, build_corpus
from voice_core.corpus.manifest import Manifest, read_complete_manifest
from voice_core.fingerprint import sha256
from voice_core.moshi.batch_plan import ModelVersions
from voice_core.moshi.script import Dialogue
from voice_core.moshi.shard_manifest import ShardManifest
from voice_core.moshi.shard_stage import build_batch
from voice_core.recognition.aligners import ApproximateAligner
from voice_core.report.notebook import (
    compute_notebook_version,
    read_notebook_version,
    render_codes_notebook,
    render_dialogue_notebook,
)
from voice_core.settings import MoshiSettings
from voice_core.storage.store import Store


def page_of(notebook: bytes) -> str:
    [cell] = json.loads(notebook)["cells"]
    return str(cell["outputs"][0]["data"]["text/html"])


def coded(store: Store, seconds: float = 1.0) -> Manifest:
    build_corpus(store, seconds=seconds)
    return read_complete_manifest(store, "coded", PARTITION)


def talked(store: Store, dialogues: Sequence[Dialogue]) -> ShardManifest:
    maker = ModelVersions("beep", "1", "approximate 1")
    return build_batch(store, TALKS, dialogues, maker, ApproximateAligner(), MoshiSettings(), FakeSpeaker())


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store("memory://") if request.param == "memory" else Store(tmp_path.as_uri(), create=True)


def test_three_segments_are_shown_with_what_their_codes_decode_to(store: Store) -> None:
    manifest = coded(store)
    notebook = render_codes_notebook(store, manifest, LevelCodec(), str.upper)
    html = page_of(notebook)
    sounds = Elements(html).named("audio")
    assert [item["aria-label"] for item in sounds] == ["Segment", "Decoded from its codes"] * 3
    assert all(str(item["src"]).startswith("data:audio/mpeg;base64,") for item in sounds)
    assert [why in html for why in ("farthest from its codes", "in the middle", "nearest to its codes")] == [True] * 3
    assert html.count("stand-in, not NeuCodec") == 3
    assert "ATHEER_-, batch 1" in html
    assert HOSTILE not in html


def test_a_notebook_stays_small_and_is_the_same_from_every_store(tmp_path: Path) -> None:
    made = []
    for store in (Store("memory://"), Store(tmp_path.as_uri(), create=True)):
        segments = render_codes_notebook(store, coded(store, seconds=30.0), LevelCodec(), str)
        talk = render_dialogue_notebook(store, talked(store, [make_dialogue("long", *(["many words " * 40] * 6))]))
        assert max(len(segments), len(talk)) < 600_000
        assert "to keep the page small" in page_of(segments)
        assert "to keep the page small" in page_of(talk)
        made.append((sha256(segments), sha256(talk)))
    assert made[0] == made[1]


def test_the_first_dialogue_is_shown_with_its_words(store: Store) -> None:
    manifest = talked(
        store, [make_dialogue("first", "How are you", f"Well {HOSTILE}"), make_dialogue("second", "And", "then")]
    )
    html = page_of(render_dialogue_notebook(store, manifest))
    assert len(Elements(html).named("audio")) == 1
    assert "first.wav" in html
    assert "second.wav" not in html
    assert html.count('class="word"') == 6  # a sign that stands alone goes with the word before it
    assert "<script>alert" not in html
    assert "The first of 2 dialogues" in html


def test_without_audio_it_says_so(store: Store) -> None:
    manifest = talked(store, [make_dialogue("one", "this is unspeakable", "yes")])
    assert "No dialogue of this batch was kept" in page_of(render_dialogue_notebook(store, manifest))
    nothing = Manifest("coded", str(PARTITION), True, 24_000, "", {}, (), ())
    assert "No segment of this batch was decoded from its codes" in page_of(
        render_codes_notebook(store, nothing, LevelCodec(), str)
    )


def test_it_tells_which_manifest_it_was_made_of(store: Store) -> None:
    manifest = coded(store)
    assert read_notebook_version(render_codes_notebook(store, manifest, LevelCodec(), str)) == compute_notebook_version(
        manifest
    )
    assert [read_notebook_version(data) for data in (b"", b"{}", b'{"metadata": 3}', b"\xff")] == [""] * 4


def test_the_converter_of_dagsters_webserver_leaves_the_sound_in(tmp_path: Path) -> None:
    nbformat, nbconvert = pytest.importorskip("nbformat"), pytest.importorskip("nbconvert")
    store = Store(tmp_path.as_uri(), create=True)
    notebook = nbformat.reads(render_codes_notebook(store, coded(store), LevelCodec(), str).decode(), as_version=4)
    nbformat.validate(notebook)
    html, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    assert len([item for item in Elements(html).named("audio") if str(item["src"]).startswith("data:audio")]) == 6
