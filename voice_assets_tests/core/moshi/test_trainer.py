"""What is made of a script with the embedded engine is what the trainer's own reader reads."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sphn

from voice_core.audio.speech_level import detect_speech_frames
from voice_core.moshi.batch_plan import ModelVersions
from voice_core.moshi.checks import dialogues_add_up, files_are_sound, lists_are_sound, text_fits, words_were_heard
from voice_core.moshi.mixing import read_wav
from voice_core.moshi.script import SAMPLE_RATE_HZ
from voice_core.moshi.script_parser import read_dialogues
from voice_core.moshi.shard_manifest import ShardManifest, dialogue_partition
from voice_core.moshi.shard_stage import build_batch
from voice_core.moshi.synthesis_types import SpeechRequests, UtteranceIndex
from voice_core.moshi.trainer_manifest import trainer_manifest_key, write_trainer_manifests
from voice_core.moshi.turn_timing import drawn_gap_sec
from voice_core.recognition.aligners import AutoAligner
from voice_core.settings import MoshiSettings
from voice_core.storage.store import Store
from voice_core.tts import Speech, load_engine

LINES = [
    {"id": "seed form", "user_text": "What time is it?", "assistant_text": "It is a quarter past nine."},
    {
        "id": "turns",
        "turns": [
            {"role": "assistant", "text": "Welcome back! Shall we go on where we stopped yesterday?"},
            {"role": "user", "text": "Yes.", "overlap_sec": 0.9},
            {"role": "user", "text": "We were at page 42, I think.", "pause_before_sec": 0.5},
            {"role": "assistant", "text": "Right, page 42 it is."},
        ],
    },
]
SETTINGS = MoshiSettings(eval_min_rows=1, eval_min_sec=1.0, eval_fraction=0.1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, ShardManifest]:
    store = Store(tmp_path_factory.mktemp("moshi").as_uri(), create=True)
    engine, aligner = load_engine("hibari"), AutoAligner()

    def speak(
        requests: SpeechRequests,
    ) -> Iterator[tuple[UtteranceIndex, Speech]]:
        for where, utterance in requests:
            yield where, engine.speak(utterance)

    items = list(read_dialogues(json.dumps(line).encode() for line in LINES))
    partition = dialogue_partition(SETTINGS.name, 1)
    manifest = build_batch(
        store, partition, items, ModelVersions.from_models(engine, aligner), aligner, SETTINGS, speak
    )
    write_trainer_manifests(store, [manifest], SETTINGS)
    return store, manifest


def test_all_checks_pass(built: tuple[Store, ShardManifest]) -> None:
    store, manifest = built
    for outcome in (
        dialogues_add_up(manifest),
        files_are_sound(store, manifest),
        text_fits(manifest),
        words_were_heard(manifest),
        lists_are_sound(store, [manifest], SETTINGS),
    ):
        assert outcome.passed, outcome.message


def test_the_trainers_reader_reads_every_sample(built: tuple[Store, ShardManifest]) -> None:
    store, manifest = built
    assert store.local_root is not None
    path = store.local_root / trainer_manifest_key(SETTINGS.name)
    reader = sphn.dataset_jsonl(str(path), duration_sec=100, num_threads=2, sample_rate=24_000, pad_last_segment=True)
    read = {Path(item["path"]).name: item for item in reader.seq()}
    expected = {Path(rows[0].key).name: rows[0] for _, rows in manifest.kept()}
    assert sorted(read) == sorted(expected) == ["seed form.wav", "turns.wav"]
    durations = {Path(v["path"]).name: v["duration"] for v in map(json.loads, path.read_text().splitlines())}
    for name, row in expected.items():
        item = read[name]
        mix = read_wav(store.get(row.key))
        assert item["unpadded_len"] == row.dialogue_samples == len(mix)
        assert round(durations[name] * 24_000, 6) == len(mix)
        data = np.asarray(item["data"])
        assert data.shape == (2, 100 * 24_000)
        assert np.allclose(data[:, : len(mix)], mix.T / 32768.0, atol=1e-4)
        assert not data[:, len(mix) :].any()


def test_the_assistants_audio_is_where_the_main_speakers_words_are(built: tuple[Store, ShardManifest]) -> None:
    store, manifest = built
    for _, rows in manifest.kept():
        mix = read_wav(store.get(rows[0].key)) / 32768.0
        sidecar = json.loads(store.get(rows[0].key.replace(".wav", ".json")))
        for channel, label in enumerate(("SPEAKER_MAIN", "SPEAKER_USER")):
            frames = detect_speech_frames(mix[:, channel], SAMPLE_RATE_HZ)
            covered = np.zeros(len(frames), np.bool_)
            for _, (start, end), who in sidecar["alignments"]:
                if who == label:
                    covered[int(start * 50) : int(np.ceil(end * 50))] = True
            assert covered[frames].mean() > 0.9
            assert frames[covered].mean() > 0.8


def test_an_answer_comes_as_soon_as_people_give_it(built: tuple[Store, ShardManifest]) -> None:
    store, manifest = built
    question, _ = dict(manifest.kept())["seed form"]
    mix = read_wav(store.get(question.key)) / 32768.0
    said = [np.flatnonzero(detect_speech_frames(mix[:, channel], SAMPLE_RATE_HZ)) for channel in (1, 0)]
    gap_sec = (said[1][0] - said[0][-1] - 1) / 50
    assert gap_sec == pytest.approx(drawn_gap_sec(SETTINGS, "seed form", 1), abs=0.021)
