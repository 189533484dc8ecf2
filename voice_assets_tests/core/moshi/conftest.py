"""Engines for dialogues: one that beeps in no time, counting what it is asked, and the embedded one."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from voice_assets_tests.files import files_below
from voice_core.fingerprint import hash_to_unit_interval
from voice_core.moshi.batch_plan import ModelVersions
from voice_core.moshi.script import BadDialogueLine, Dialogue, Turn
from voice_core.moshi.shard_manifest import ShardManifest, dialogue_partition
from voice_core.moshi.shard_stage import build_batch
from voice_core.moshi.synthesis_types import SpeechRequests, TurnIndex, UtteranceIndex
from voice_core.recognition.aligners import ApproximateAligner
from voice_core.settings import MoshiSettings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisFailure
from voice_core.tts.base import Speech, Utterance

PARTITION = dialogue_partition("dialogues", 1)
FAILING_TEXT = "unspeakable"
SILENT_TEXT = "silent"


def synthesize_tone(utterance: Utterance) -> Speech:
    """A tone at 22.05 kHz whose pitch and length hang on all of the utterance."""
    draw = hash_to_unit_interval(utterance.text, utterance.voice, utterance.emotion, utterance.seed)
    length = int(22_050 * (0.3 + 0.04 * len(utterance.text) + 0.01 * draw))
    wave = 0.3 * np.sin(2 * np.pi * (150 + 300 * draw) * np.arange(length) / 22_050)
    return Speech((0.0 if SILENT_TEXT in utterance.text else 1.0) * wave.astype(np.float32), 22_050, "beep", "1")


class FakeSpeaker:
    """A `SpeakFunction`. `spoken_texts` are the turns so far, `measured_voices` the voices whose level was to be
    measured, once for each sentence. After `interrupt_after` turns it is killed."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.spoken_texts: list[str] = []
        self.measured_voices: list[str] = []
        self.interrupt_after = interrupt_after
        self.reversed_order = False

    def __call__(self, requests: SpeechRequests) -> Iterator[tuple[UtteranceIndex, Speech | SynthesisFailure]]:
        for where, utterance in reversed(requests) if self.reversed_order else requests:
            if not isinstance(where, TurnIndex):
                self.measured_voices.append(utterance.voice)
            elif self.interrupt_after is not None and len(self.spoken_texts) >= self.interrupt_after:
                raise KeyboardInterrupt
            else:
                self.spoken_texts.append(utterance.text)
            failed = FAILING_TEXT in utterance.text
            yield where, SynthesisFailure("failed", "no engine can say that") if failed else synthesize_tone(utterance)


def make_dialogue(name: str, *texts: str, **timing: float) -> Dialogue:
    """The user begins; `timing` is that of the last turn."""
    roles = ("user", "assistant")
    turns = [Turn(roles[i % 2], text) for i, text in enumerate(texts)]  # type: ignore[arg-type]
    turns[-1] = Turn(turns[-1].role, turns[-1].text, **timing)  # type: ignore[arg-type]
    return Dialogue(name, tuple(turns))


class ShardBuilder:
    """A store, and building in it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder.as_uri(), create=True)
        self.folder = folder
        self.aligner = ApproximateAligner()

    def build(
        self,
        items: Iterable[Dialogue | BadDialogueLine],
        speak: FakeSpeaker | None = None,
        settings: MoshiSettings | None = None,
        *,
        workers: int = 1,
        verify: bool = False,
    ) -> ShardManifest:
        settings = settings or MoshiSettings()
        maker = ModelVersions("beep", "1", f"{self.aligner.name} {self.aligner.revision}")
        return build_batch(
            self.store,
            PARTITION,
            list(items),
            maker,
            self.aligner,
            settings,
            speak or FakeSpeaker(),
            workers=workers,
            verify=verify,
        )

    def files(self) -> dict[str, bytes]:
        return self._below("moshi")

    def voices(self) -> dict[str, bytes]:
        return self._below("moshi_voices")

    def scripts(self) -> dict[str, bytes]:
        return self._below("dialogues")

    def _below(self, name: str) -> dict[str, bytes]:
        return files_below(self.folder / name)


@pytest.fixture
def shard_builder(tmp_path: Path) -> ShardBuilder:
    return ShardBuilder(tmp_path / "work")
