"""The demo's dialogues, spoken with the embedded engine as `voice demo` speaks them; on the page, and for a trainer."""

import base64
import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
import sphn

from voice_assets_tests.core.report.test_page import Elements
from voice_core.demo.dialogues import DIALOGUES_PATH, write_dialogues
from voice_core.moshi.build import MoshiBuildReport, build
from voice_core.moshi.script import Dialogue
from voice_core.moshi.script_parser import read_dialogues
from voice_core.moshi.shard_manifest import ShardManifest, read_shard_manifest
from voice_core.moshi.trainer_manifest import trainer_manifest_key
from voice_core.report.page import build_page
from voice_core.settings import MoshiSettings, Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions

SETTINGS = Settings(moshi=MoshiSettings(aligner="approximate"))  # what there is without pocketsphinx


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, MoshiBuildReport, ShardManifest]:
    root = tmp_path_factory.mktemp("demo-dialogues")
    scripts = Store(write_dialogues(root / "dialogues").parent.as_uri())
    work = Store((root / "work").as_uri(), create=True)
    report = build(scripts, work, SETTINGS, SynthesisOptions(backend="serial"))
    manifest = read_shard_manifest(work, report.assignment.partitions[0])
    assert manifest is not None
    return work, report, manifest


def test_every_line_is_a_dialogue_of_both_and_is_spoken(spoken: tuple[Store, MoshiBuildReport, ShardManifest]) -> None:
    dialogues = list(read_dialogues(DIALOGUES_PATH.read_bytes().splitlines()))
    assert len(dialogues) == 3
    assert all(isinstance(item, Dialogue) and {turn.role for turn in item.turns} == {"assistant", "user"}
               for item in dialogues)  # fmt: skip
    _, report, manifest = spoken
    assert len(manifest.kept()) == 3
    assert not manifest.rejects()
    assert report.spoken == sum(len(item.turns) for item in dialogues if isinstance(item, Dialogue))
    assert not any(row.dense for row in manifest.rows)


def test_the_trainers_reader_reads_them_with_the_durations_of_the_list(
    spoken: tuple[Store, MoshiBuildReport, ShardManifest],
) -> None:
    work = spoken[0]
    assert work.local_root is not None
    path = work.local_root / trainer_manifest_key(SETTINGS.moshi.name)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [set(line) for line in lines] == [{"path", "duration"}] * 3
    listed = {Path(line["path"]).name: line["duration"] for line in lines}
    reader = sphn.dataset_jsonl(str(path), duration_sec=60, num_threads=1, sample_rate=24_000, pad_last_segment=True)
    read = {Path(item["path"]).name: item for item in reader.seq()}
    assert {name: item["unpadded_len"] / 24_000 for name, item in read.items()} == pytest.approx(listed)
    assert all(np.asarray(item["data"]).shape[0] == 2 for item in read.values())


def test_the_page_plays_them_in_stereo_with_every_words_time(
    spoken: tuple[Store, MoshiBuildReport, ShardManifest], tmp_path: Path
) -> None:
    work, _, manifest = spoken
    page = build_page(work, [], SETTINGS, None)
    assert page == build_page(work, [], SETTINGS, None)
    html = page.decode()
    elements = Elements(html)
    words = [attrs for attrs in elements.named("span") if attrs.get("class") == "word"]
    assert len(words) == sum(len(row.spoken_words()) for row in manifest.rows)
    assert all(float(str(word["data-start"])) < float(str(word["data-end"])) for word in words)
    outlines = [attrs["class"] for attrs in elements.named("path") if "class" in attrs]
    assert outlines == ["assistant", "user"] * 3
    assert html.count("word times approximate") == 3
    sounds = [str(attrs["src"]) for attrs in elements.named("audio")]
    for (_, rows), sound in zip(manifest.kept(), sounds, strict=True):
        path = tmp_path / "sound.mp3"
        path.write_bytes(base64.b64decode(sound.split(",", 1)[1]))
        with av.open(str(path)) as container:
            heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
        assert heard.shape[0] == 2
        assert heard.shape[1] == pytest.approx(rows[0].dialogue_samples, abs=3 * 1152)
        first = rows[0]
        said = heard[:, first.start_sample : first.start_sample + first.sample_count // 2]
        left, right = np.sqrt(np.mean(np.square(said), axis=1))
        assert (left, right)[first.role == "user"] > 0.01
        assert (left, right)[first.role != "user"] < 1e-4  # nothing of it is heard on the other side


def test_without_shards_the_page_does_not_mention_dialogues(tmp_path: Path) -> None:
    html = build_page(Store(tmp_path.as_uri()), [], SETTINGS, None).decode()
    assert not re.search(r'id="dialogues"|class="dialogue"', html)


def test_a_file_that_was_changed_stays_changed(tmp_path: Path) -> None:
    path = write_dialogues(tmp_path / "dialogues")
    assert path.read_bytes() == DIALOGUES_PATH.read_bytes()
    path.write_text('{"id": "mine", "user": "Hello.", "assistant": "Hello."}\n')
    assert write_dialogues(tmp_path / "dialogues").read_text().startswith('{"id": "mine"')
