"""Many who want one GPU at once: two backfills of a real daemon and two commands."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import dagster as dg

from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.pools import read_pool_state
from voice_assets.run_ownership import PID_TAG
from voice_assets_tests.assets.daemon_fixture import run_dagster_dev
from voice_assets_tests.assets.pretend_gpu import GATE, SECONDS, TIMELINE, GpuUse, read_timeline
from voice_assets_tests.command_server import RunningCommand, shared_command_server
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.layout import PartitionKey

MODULE = "voice_assets_tests.assets.pretend_gpu"


class UnencodedCorpus:
    """A corpus that is cut and not encoded, a batch a recording, and what leads programs to it and to the GPU."""

    def __init__(self, folder: Path, batches: int, seconds_a_batch: float = 0.1, *, gated: bool = False) -> None:
        """With `gated`, no use of the GPU ends before `open_gate`."""
        self.folder = folder
        self._gate = folder / "gate" if gated else None
        folder.mkdir()
        self.corpus = Corpus(folder)
        self.corpus.set(batch={"max_recordings": 1}, codec="neucodec")
        for number in range(batches):
            self.corpus.add_recording(f"r{number:03d}", 2.0)
        self.corpus.discover()
        self.keys = [str(partition) for partition in list_partitions(self.corpus.work)]
        for key in self.keys:
            self.corpus.segment(number=PartitionKey.parse(key).number)
        self.timeline = folder / "timeline.jsonl"
        self.seconds = seconds_a_batch
        self._started: list[RunningCommand] = []

    @property
    def variables(self) -> dict[str, str]:
        """The settings, without VOICE_."""
        return {
            "RAW_URL": self.corpus.settings.raw_url,
            "WORK_URL": self.corpus.settings.work_url,
            "CODEC": "neucodec",
            "NEUCODEC__POOL": "gpu_t4",
            "GPU_LOCK_DIR": str(self.folder / "locks"),
            "WORKERS": "1",
            "BATCH__MAX_RECORDINGS": "1",
        }

    @property
    def extra_variables(self) -> dict[str, str]:
        """Variables that are no settings."""
        gate = {GATE: str(self._gate)} if self._gate else {}
        return {TIMELINE: str(self.timeline), SECONDS: str(self.seconds), **gate}

    def open_gate(self) -> None:
        assert self._gate is not None
        self._gate.touch()

    def environment(self, home: Path) -> dict[str, str]:
        settings = {f"VOICE_{name}": value for name, value in self.variables.items()}
        return {**os.environ, **settings, **self.extra_variables, "DAGSTER_HOME": str(home)}

    def start_voice(self, home: Path, *arguments: str, **variables: str) -> RunningCommand:
        """Start a `voice` command that has the pretended GPU; its standard error goes to its output."""
        command = shared_command_server().start(
            *arguments, folder=self.folder, variables={**self.environment(home), **variables}, merged=True,
            code=f"import {MODULE}",
        )  # fmt: skip
        self._started.append(command)
        return command

    def end(self) -> None:
        """Kill what still runs."""
        for command in self._started:
            command.kill_all()

    def build(self, home: Path, keys: list[str], **variables: str) -> RunningCommand:
        return self.start_voice(home, "build", *(word for key in keys for word in ("-p", key)), **variables)

    def uses(self) -> list[GpuUse]:
        return read_timeline(self.timeline)


Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class GpuUsage:
    """Who used the GPU when; when Dagster's steps had the pool, and when runs wanted it or had it, in Unix time."""

    uses: list[GpuUse]
    steps: list[Span]
    runs: list[Span]
    process_names: Mapping[int, str]  # by process

    @property
    def max_concurrent_runs(self) -> int:
        """Most runs that wanted the pool, or had it, at the same time."""
        return max(sum(begin <= at < end for begin, end in self.runs) for at, _ in self.runs)


def run_contention(unencoded: UnencodedCorpus, batches_each: int) -> GpuUsage:
    """Two backfills and two builds, each over as many batches of its own; when all have ended.

    The first on the GPU stays there until all want it.
    """
    groups = [unencoded.keys[number * batches_each : (number + 1) * batches_each] for number in range(4)]
    with (
        run_dagster_dev(unencoded.folder, unencoded.variables, MODULE, unencoded.extra_variables) as dagster_server,
        dagster_server.instance as instance,
    ):
        instance.add_dynamic_partitions(CHANNEL_BATCH, unencoded.keys)
        for keys in groups[:2]:
            dagster_server.backfill(["coded_segments"], keys)
        builds = [unencoded.build(dagster_server.home, keys) for keys in groups[2:]]
        dagster_server.wait("all want the pool", lambda: len(_runs_of_pool(instance)) == len(groups))
        unencoded.open_gate()
        outputs = [build.communicate(timeout=300)[0] for build in builds]
        assert [build.returncode for build in builds] == [0, 0], outputs

        dagster_server.wait("the runs end", lambda: all(run.is_finished for run in instance.get_runs()))
        assert all(run.is_success for run in instance.get_runs()), dagster_server.log.read_text("utf-8")[-4000:]
        return _collect_usage(unencoded, instance)


def _runs_of_pool(instance: dg.DagsterInstance) -> set[str]:
    """The runs that have the pool, or wait for it."""
    pool = read_pool_state(instance, "gpu_t4")
    return {place.run_id for place in (*pool.holding, *pool.waiting, *pool.queued)}


def _collect_usage(unencoded: UnencodedCorpus, instance: dg.DagsterInstance) -> GpuUsage:
    steps: list[Span] = []
    runs: list[Span] = []
    process_names: dict[int, str] = {}
    for record in instance.get_run_records():
        run = record.dagster_run
        for stats in instance.get_run_step_stats(run.run_id, ["encode"]):
            assert stats.start_time is not None
            assert stats.end_time is not None
            assert record.end_time is not None
            steps.append((stats.start_time, stats.end_time))
            runs.append((record.create_timestamp.timestamp(), record.end_time))
            backfill = run.tags.get("dagster/backfill", "")
            process_names[int(run.tags[PID_TAG])] = f"backfill {backfill}" if backfill else "voice build"
    return GpuUsage(unencoded.uses(), sorted(steps), sorted(runs), process_names)


def find_overlaps(spans: list[Span]) -> list[tuple[Span, Span]]:
    """Neighbours that were there at the same time."""
    ordered = sorted(spans)
    return [(one, two) for one, two in pairwise(ordered) if two[0] < one[1]]


def timeline_rows(usage: GpuUsage) -> list[list[str]]:
    """The timeline for people: from, to, who, what."""
    zero = usage.uses[0].begin
    return [
        [
            f"{use.begin - zero:.2f}",
            f"{use.end - zero:.2f}",
            usage.process_names.get(use.pid, str(use.pid)),
            use.purpose,
        ]
        for use in usage.uses
    ]


def read_run_log(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """All that a run's log says."""
    return [record.event_log_entry.user_message for record in instance.get_records_for_run(run_id).records]
