"""What was spoken of a batch, kept until the batch is committed: an interrupted run does not speak it again."""

import dataclasses
import io
from collections.abc import Iterable, Iterator

import soundfile

from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, stage_prefix
from voice_core.moshi.levels import LEVEL_UNKNOWN
from voice_core.moshi.shard_manifest import ShardManifest
from voice_core.moshi.shards import ModelVersions
from voice_core.moshi.synthesis_types import SpeakFunction, SpeechRequests, UtteranceFailure, UtteranceIndex, is_turn
from voice_core.storage.store import Store
from voice_core.tts.base import Speech, Utterance

STAGE = "moshi_spoken"
_UNSPOKEN = ("speech_", LEVEL_UNKNOWN)


class SpeechCache:
    """Utterances of one batch in the work root, as float32 WAV files by the hash of what they depend on.

    Memory then holds one dialogue and what engines are ahead, however long a batch is, though an engine that speaks it
    voice by voice completes no dialogue before it is half done.
    """

    def __init__(self, store: Store, partition: PartitionKey, models: ModelVersions) -> None:
        self._store, self._models = store, models
        self._prefix = stage_prefix(STAGE, partition)
        self._known = self._there()  # another process may be at the batch by the time that this empties the spool
        self._turns: dict[UtteranceIndex, str] = {}

    def speak_missing(
        self, asked: SpeechRequests, say: SpeakFunction
    ) -> Iterator[tuple[UtteranceIndex, Speech | UtteranceFailure]]:
        """What `say` makes of that which is not there yet, and the rest; dialogue by dialogue, as each is complete and
        the levels of its voices are known: before that, whoever takes it would have to hold it.

        Raises ValueError where a file that was written before is spoilt; it is removed.
        """
        there = self._there()
        keys = {where: self._key(utterance) for where, utterance in asked}
        missing = [(where, utterance) for where, utterance in asked if keys[where] not in there]
        self._turns = {where: key for where, key in keys.items() if is_turn(where)}
        groups: dict[int, list[UtteranceIndex]] = {}  # dialogues, and below 0 voices' sentences
        voices: dict[int, set[str]] = {}
        waits: dict[int, set[UtteranceIndex]] = {}
        for where, utterance in asked:
            groups.setdefault(where[0], []).append(where)
            voices.setdefault(where[0], set()).add(utterance.voice)
        for where, _ in missing:
            waits.setdefault(where[0], set()).add(where)
        unmeasured = {voice for index in waits if index < 0 for voice in voices[index]}
        held: list[int] = []
        failures: dict[UtteranceIndex, UtteranceFailure] = {}

        def whole(indices: Iterable[int]) -> Iterator[tuple[UtteranceIndex, Speech | UtteranceFailure]]:
            for index in indices:
                if index >= 0 and voices[index] & unmeasured:
                    held.append(index)
                    continue
                for where in groups.pop(index):
                    yield where, failures[where] if where in failures else self._read(keys[where])

        yield from whole(sorted(groups.keys() - waits.keys()))
        for where, said in say(missing) if missing else ():
            if isinstance(said, UtteranceFailure):
                failures[where] = said
            else:
                self._write(keys[where], said)
            index = where[0]
            waits[index].discard(where)
            if waits[index]:
                continue
            perhaps = [index]
            if index < 0:
                unmeasured -= voices[index]
                perhaps += held
                held.clear()
            yield from whole(perhaps)

    def clear_committed(self, manifest: ShardManifest) -> None:
        """Once the batch is committed. Of a dialogue of which something could not be said, or has no level, the next
        run uses the rest."""
        wanted = {
            self._turns.get((index, row.turn))
            for index, (_, rows) in enumerate(manifest.by_dialogue())
            if any(row.reason.startswith(_UNSPOKEN) for row in rows)
            for row in rows
        }
        self._store.delete(sorted(self._known - wanted))

    def _there(self) -> set[str]:
        return {item.key for item in self._store.listing(self._prefix)}

    def _key(self, utterance: Utterance) -> str:
        models = self._models
        recordings = models.recordings.get(utterance.voice, ""), models.emotions.get(utterance.emotion, "")
        made = fingerprint(models.engine, models.revision, recordings, dataclasses.asdict(utterance))
        return f"{self._prefix}{made}.wav"

    def _write(self, key: str, speech: Speech) -> None:
        buffer = io.BytesIO()
        soundfile.write(buffer, speech.audio, speech.sample_rate_hz, format="WAV", subtype="FLOAT")
        self._store.put(key, buffer.getvalue(), durable=False)
        self._known.add(key)

    def _read(self, key: str) -> Speech:
        try:
            audio, rate = soundfile.read(io.BytesIO(self._store.get(key)), dtype="float32")
        except soundfile.LibsndfileError as error:
            self._store.delete([key])
            raise ValueError(f"{self._store.url}/{key} was spoilt, and is removed: run this again ({error})") from None
        return Speech(audio, rate, self._models.engine, self._models.revision)
