"""Run cut tasks in worker processes."""

import dataclasses
from collections.abc import Iterator, Sequence
from operator import attrgetter

from voice_core.compute import workers
from voice_core.corpus.segment.cut_recording import cut_recording
from voice_core.corpus.segment.cut_task import CutResult, CutTask
from voice_core.settings import Settings
from voice_core.storage.scratch import open_scratch


def run_cut_tasks(tasks: Sequence[CutTask], settings: Settings) -> Iterator[tuple[CutTask, CutResult]]:
    """Cut recordings in parallel; yields each task with its result as soon as it is done.

    All tasks have the same stores. Local copies of remote recordings stay within the scratch budget.
    """
    if not tasks:
        return
    raw, work = tasks[0].raw, tasks[0].work
    scratch = open_scratch(settings.local_dir, settings.local_gb) if raw.local_root is None else None
    # The longest recordings first: otherwise one core may still decode when all others are idle.
    longest_first = sorted(tasks, key=lambda task: task.recording.duration_sec, reverse=True)
    yield from workers.map_unordered(
        cut_recording,
        [dataclasses.replace(task, scratch=scratch) for task in longest_first],
        settings.workers if raw.shareable and work.shareable else 1,
        weigh=attrgetter("copy_bytes"),
        capacity=scratch.budget_bytes if scratch else 0,
        name=lambda task: task.recording.key,
    )
