"""Speech kept by content: an interrupted run does not synthesise again what was spoken before."""

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import soundfile

from voice_core.fingerprint import fingerprint
from voice_core.storage.store import Store
from voice_core.synthesis.types import SynthesisFailure, UtteranceId
from voice_core.synthesis.voice_levels import CalibrationSentence
from voice_core.tts.base import Speech, Utterance

Id = TypeVar("Id", bound=UtteranceId)


@dataclass(frozen=True, slots=True)
class SpeechSource:
    """What speaks. `recordings` and `emotions` are hashes of the recordings that are voices and of those that are
    emotions, by the names that utterances use."""

    engine: str
    revision: str
    recordings: Mapping[str, str] = field(default_factory=dict)
    emotions: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self, utterance: Utterance) -> str:
        """A hash of everything that the speech depends on."""
        recordings = self.recordings.get(utterance.voice, ""), self.emotions.get(utterance.emotion, "")
        return fingerprint(self.engine, self.revision, recordings, dataclasses.asdict(utterance))


class SpeechCache:
    """Utterances below a prefix of a store, as float32 WAV files named by the fingerprint of what they depend on.

    With an engine that speaks voice by voice, no group is complete before half of all utterances are spoken. The cache
    keeps them on disk, so that memory holds one group and the engines' queues.
    """

    def __init__(self, store: Store, prefix: str, source: SpeechSource) -> None:
        self._store, self._prefix, self._source = store, prefix, source
        # `clear` removes these only: another process may be using the prefix by then.
        self._known = self._list_keys()
        self._requested: dict[UtteranceId, str] = {}  # keys

    def speak_missing(
        self,
        requests: Sequence[tuple[Id, Utterance]],
        speak: Callable[[Sequence[tuple[Id, Utterance]]], Iterable[tuple[Id, Speech | SynthesisFailure]]],
    ) -> Iterator[tuple[Id, Speech | SynthesisFailure]]:
        """All requested speech, group by group: from the cache, or from `speak`, which gets what is not there.

        A group is yielded when it is complete and the levels of its voices are measured, so that the consumer need not
        hold it. Raises ValueError where a cached file is corrupt; the file is removed.
        """
        there = self._list_keys()
        keys = {where: f"{self._prefix}{self._source.fingerprint(utterance)}.wav" for where, utterance in requests}
        self._requested = dict(keys.items())
        missing = [(where, utterance) for where, utterance in requests if keys[where] not in there]
        groups: dict[object, list[Id]] = {}
        voices: dict[object, set[str]] = {}
        pending: dict[object, set[Id]] = {}
        for where, utterance in requests:
            groups.setdefault(where.group, []).append(where)
            voices.setdefault(where.group, set()).add(utterance.voice)
        for where, _ in missing:
            pending.setdefault(where.group, set()).add(where)
        unmeasured = {where.voice for where, _ in missing if isinstance(where, CalibrationSentence)}
        calibrations = {where.group for where, _ in requests if isinstance(where, CalibrationSentence)}
        held: list[object] = []
        failures: dict[Id, SynthesisFailure] = {}

        def complete(names: Iterable[object]) -> Iterator[tuple[Id, Speech | SynthesisFailure]]:
            for name in names:
                if name not in calibrations and voices[name] & unmeasured:
                    held.append(name)
                    continue
                for where in groups.pop(name):
                    yield where, failures[where] if where in failures else self._read(keys[where])

        yield from complete([name for name in groups if name not in pending])
        for where, result in speak(missing) if missing else ():
            if isinstance(result, SynthesisFailure):
                failures[where] = result
            else:
                self._write(keys[where], result)
            pending[where.group].discard(where)
            if pending[where.group]:
                continue
            ready = [where.group]
            if where.group in calibrations:
                unmeasured -= voices[where.group]
                ready += held
                held.clear()
            yield from complete(ready)

    def clear(self, keep: Iterable[UtteranceId] = ()) -> None:
        """Remove everything that this cache has found or written, except for some of the last requests."""
        self._store.delete(sorted(self._known - {self._requested.get(where) for where in keep}))

    def _list_keys(self) -> set[str]:
        return {item.key for item in self._store.listing(self._prefix)}

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
            raise ValueError(
                f"{self._store.url}/{key} was corrupt and is removed: run the same command again ({error})"
            ) from None
        return Speech(audio, rate, self._source.engine, self._source.revision)
