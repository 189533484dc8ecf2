"""Many who want one GPU at once: two backfills of a real daemon and two commands."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import dagster as dg

from voice_assets.defs.voice_dataset.partitions import NAME
from voice_assets_tests.assets.control_room import open_control_room
from voice_assets_tests.assets.pretend_gpu import SECONDS, TIMELINE, Use, read_timeline
from voice_assets_tests.core.corpus.world import World
from voice_core.corpus.batches import list_partitions
from voice_core.layout import PartitionKey

MODULE = "voice_assets_tests.assets.pretend_gpu"


class House:
    """A corpus that is cut and not encoded, a batch a recording, and what leads programs to it and to the GPU."""

    def __init__(self, folder: Path, batches: int, seconds_a_batch: float) -> None:
        self.folder = folder
        folder.mkdir()
        self.world = World(folder)
        self.world.set(batch={"max_recordings": 1}, codec="neucodec")
        for number in range(batches):
            self.world.record(f"r{number:03d}", 2.0)
        self.world.discover()
        self.keys = [str(partition) for partition in list_partitions(self.world.work)]
        for key in self.keys:
            self.world.segment(number=PartitionKey.parse(key).number)
        self.timeline = folder / "timeline.jsonl"
        self.seconds = seconds_a_batch
        self._started: list[subprocess.Popen[str]] = []

    @property
    def variables(self) -> dict[str, str]:
        """The settings, without VOICE_."""
        return {
            "RAW_URL": self.world.settings.raw_url,
            "WORK_URL": self.world.settings.work_url,
            "CODEC": "neucodec",
            "NEUCODEC__POOL": "gpu_t4",
            "GPU_LOCK_DIR": str(self.folder / "locks"),
            "WORKERS": "1",
            "BATCH__MAX_RECORDINGS": "1",
        }

    @property
    def elsewhere(self) -> dict[str, str]:
        """Variables that are no settings."""
        return {TIMELINE: str(self.timeline), SECONDS: str(self.seconds)}

    def environment(self, home: Path) -> dict[str, str]:
        settings = {f"VOICE_{name}": value for name, value in self.variables.items()}
        return {**os.environ, **settings, **self.elsewhere, "DAGSTER_HOME": str(home)}

    def voice(self, home: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a `voice` command; its standard error goes to its output."""
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *arguments],
            env={**self.environment(home), **variables},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def build(self, home: Path, keys: list[str], **variables: str) -> subprocess.Popen[str]:
        return self.voice(home, "build", *(word for key in keys for word in ("-p", key)), **variables)

    def uses(self) -> list[Use]:
        return read_timeline(self.timeline)


@dataclass(frozen=True, slots=True)
class Contest:
    """Who used the GPU when, and when Dagster's steps had the pool: (run, begin, end) in Unix time."""

    uses: list[Use]
    steps: list[tuple[str, float, float]]
    jobs: Mapping[str, str]  # by run
    who: Mapping[int, str]  # by process


def contend(house: House, each: int) -> Contest:
    """Two backfills and two builds, each over as many batches of its own, started together; when all have ended."""
    groups = [house.keys[number * each : (number + 1) * each] for number in range(4)]
    previous = {name: os.environ.get(name) for name in house.elsewhere}
    os.environ.update(house.elsewhere)
    try:
        with open_control_room(house.folder, house.variables, MODULE) as room, room.instance as instance:
            instance.add_dynamic_partitions(NAME, house.keys)
            backfills = [room.backfill(["coded_segments"], keys) for keys in groups[:2]]
            builds = [house.build(room.home, keys) for keys in groups[2:]]
            outputs = [build.communicate(timeout=300)[0] for build in builds]
            assert [build.returncode for build in builds] == [0, 0], outputs
            for backfill in backfills:
                room.wait("a backfill ends", lambda: room.backfill_status(backfill).startswith("COMPLETED"))  # noqa: B023
                assert room.backfill_status(backfill) == "COMPLETED_SUCCESS", room.log.read_text("utf-8")[-4000:]
            steps, who = [], {}
            for run in instance.get_runs():
                for stats in instance.get_run_step_stats(run.run_id, ["encode"]):
                    steps.append((run.run_id, stats.start_time or 0.0, stats.end_time or time.time()))
                backfill = run.tags.get("dagster/backfill", "")
                who[int(run.tags.get("voice/pid", 0))] = f"backfill {backfill}" if backfill else "voice build"
            jobs = {run.run_id: run.job_name for run in instance.get_runs()}
    finally:
        for name, value in previous.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    return Contest(house.uses(), sorted(steps, key=lambda step: step[1]), jobs, who)


def overlaps(spans: list[tuple[float, float]]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Neighbours that were there at the same time."""
    ordered = sorted(spans)
    return [(one, two) for one, two in pairwise(ordered) if two[0] < one[1]]


def table(contest: Contest) -> list[list[str]]:
    """The timeline for people: from, to, who, what."""
    zero = contest.uses[0].begin
    return [
        [f"{use.begin - zero:.2f}", f"{use.end - zero:.2f}", contest.who.get(use.pid, str(use.pid)), use.purpose]
        for use in contest.uses
    ]


def wait_until(what: str, holds: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def events(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """All that a run's log says."""
    return [record.event_log_entry.user_message for record in instance.get_records_for_run(run_id).records]
