"""Which utterance an engine speaks next, and which groups are complete. Pure."""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from voice_core.synthesis.types import SpokenGroup, SynthesisFailure, UtteranceGroup
from voice_core.tts import Speech, Utterance


@dataclass(slots=True)
class UtteranceTask:
    """The utterance at `position` of group number `group`, in the order of the input."""

    group: int
    position: int
    utterance: Utterance
    attempts: int = 0


class _PendingGroup:
    """A group that was read and is not complete or not yielded yet."""

    def __init__(self, key: str, count: int) -> None:
        self.key = key
        self.speeches: list[Speech | SynthesisFailure | None] = [None] * count
        self.missing = count

    def spoken(self) -> SpokenGroup:
        return SpokenGroup(self.key, tuple(speech for speech in self.speeches if speech is not None))


class Scheduler:
    """The groups that are read and not yet yielded: at most `size` from the oldest to the newest.

    An engine recomputes its voice data whenever the voice changes. So each engine continues with its voice while there
    are utterances of it, and then takes the voice with the most utterances. As new groups are read only when the oldest
    is yielded, no voice waits forever, and with two voices each is loaded once for about `size` groups.
    """

    def __init__(self, size: int, *, ordered: bool = True, by_voice: bool = True) -> None:
        self._size, self._ordered, self._by_voice = size, ordered, by_voice
        self._pending: dict[int, _PendingGroup] = {}
        self._complete: deque[int] = deque()  # in the order of completion
        self._oldest = self._read = 0
        self._waiting: dict[str, deque[UtteranceTask]] = {}
        self.voices: dict[Hashable, str] = {}  # last voice by engine
        self.waiting = 0  # tasks that no engine has begun
        self.voice_switches = 0  # voice changes of engines, the first voice included

    @property
    def has_capacity(self) -> bool:
        return self._read - self._oldest < self._size

    @property
    def is_empty(self) -> bool:
        return not self._pending

    def add(self, group: UtteranceGroup) -> None:
        number, self._read = self._read, self._read + 1
        self._pending[number] = _PendingGroup(group.key, len(group.utterances))
        for position, utterance in enumerate(group.utterances):
            self._queue(utterance).append(UtteranceTask(number, position, utterance))
            self.waiting += 1
        if not group.utterances:
            self._complete.append(number)

    def take(self, engine: Hashable) -> UtteranceTask | None:
        """The next task of this engine; None when none waits."""
        if not self._waiting:
            return None
        key = self.voices.get(engine) if self._by_voice else ""
        if key is None or key not in self._waiting:
            key = self._next_voice()
        queue = self._waiting[key]
        task = queue.popleft()
        if not queue:
            del self._waiting[key]
        self.waiting -= 1
        if self.voices.get(engine) != task.utterance.voice:
            self.voices[engine] = task.utterance.voice
            self.voice_switches += 1
        return task

    def requeue(self, task: UtteranceTask) -> None:
        """Put back a task that was taken: it is the next of its voice."""
        self._queue(task.utterance).appendleft(task)
        self.waiting += 1

    def forget_engine(self, engine: Hashable) -> None:
        """Drop an engine that has ended."""
        self.voices.pop(engine, None)

    def record_result(self, task: UtteranceTask, result: Speech | SynthesisFailure) -> None:
        group = self._pending[task.group]
        group.speeches[task.position] = result
        group.missing -= 1
        if not group.missing:
            self._complete.append(task.group)

    def next_complete(self) -> SpokenGroup | None:
        """Remove and return the next group to yield; None when there is none yet."""
        if not self._complete:
            return None
        if not self._ordered:
            return self._release(self._complete.popleft())
        if self._pending[self._oldest].missing:
            return None
        self._complete.remove(self._oldest)
        return self._release(self._oldest)

    def next_complete_any_order(self) -> SpokenGroup | None:
        """The same when nothing more will be spoken: any complete group, in the order of the input."""
        if not self._complete:
            return None
        number = min(self._complete)
        self._complete.remove(number)
        return self._release(number)

    def _release(self, number: int) -> SpokenGroup:
        spoken = self._pending.pop(number).spoken()
        while self._oldest < self._read and self._oldest not in self._pending:
            self._oldest += 1
        return spoken

    def _queue(self, utterance: Utterance) -> deque[UtteranceTask]:
        return self._waiting.setdefault(utterance.voice if self._by_voice else "", deque())

    def _next_voice(self) -> str:
        """The voice with the most utterances per engine that would share it; of equals, the one that waits longest."""
        taken = list(self.voices.values())

        def rank(voice: str) -> tuple[float, int]:
            queue = self._waiting[voice]
            return len(queue) / (1 + taken.count(voice)), -queue[0].group

        return max(self._waiting, key=rank)
