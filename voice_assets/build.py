"""`voice build`: materialise through Dagster whatever is missing or stale, in this process, without a daemon."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from resources.corpus import codec_of, look_at_work, open_raw, open_work
from voice_assets.defs.voice_dataset.jobs import card_job, ingest_job, rows_job, splits_job
from voice_assets.defs.voice_dataset.partitions import NAME
from voice_assets.stopping import Stopped
from voice_core import lease, progress
from voice_core.corpus.discovery import Discovery, discover, foresee, look_again
from voice_core.corpus.plan import Plan
from voice_core.corpus.planning import plan_build
from voice_core.corpus.status import State, Status, survey
from voice_core.layout import PartitionKey
from voice_core.settings import ConfigurationError, Settings

INGEST = ("raw_audio", "segments", "coded_segments")
ROWS = ("voice_dataset", "voice_pairs")
_STEPS = {ingest_job.name: "ingest", rows_job.name: "write", card_job.name: "dataset_card"}  # those that can verify
COUNTERS = ("recordings_decoded", "segments_cut", "segments_encoded")


@dataclass(slots=True)
class BuildReport:
    """What a build found and did. `figures` sums the assets' counters, such as recordings_decoded."""

    discovery: Discovery
    status: Status
    materialised: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def open_instance() -> dg.DagsterInstance:
    """The Dagster instance of DAGSTER_HOME, or of ./dagster_home where that is not set."""
    home = Path(os.environ.get("DAGSTER_HOME") or "dagster_home").resolve()
    if not (home / "dagster.yaml").is_file():
        raise ConfigurationError(
            f"there is no Dagster instance at {home}: run from the project's folder, or set DAGSTER_HOME to a folder "
            "that holds a dagster.yaml"
        )
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


def take_stock(settings: Settings) -> tuple[Discovery, Status]:
    """Discover, and compare what lies there with what a build would make."""
    work = open_work(settings)
    discovery = discover(open_raw(settings), work, settings)
    return discovery, survey(work, discovery, codec_of(settings), settings)


def look_ahead(settings: Settings, partitions: Sequence[str] = ()) -> Plan:
    """What `build` would do now. Nothing is written: new recordings are not even assigned to batches."""
    raw, work, codec = open_raw(settings), look_at_work(settings), codec_of(settings)
    discovery = foresee(raw, work, settings)
    _refuse_nothing(discovery, settings)
    chosen = [PartitionKey.parse(key) for key in partitions]
    return plan_build(raw, work, discovery, survey(work, discovery, codec, settings), codec, settings, chosen)


def build(
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    partitions: Sequence[str] = (),
    verify: bool = False,
) -> BuildReport:
    """Discover, then materialise what is not current: batch by batch up to the codes, the splits, the rows, the card.

    `partitions` limits the work to some; `verify` runs every stage, which looks at every file and mends what is
    missing or spoilt. A failure ends its partition only.
    """
    runner = _Runner(instance, verify)
    lease.sweep(open_work(settings))
    discovery, status = take_stock(settings)
    report = BuildReport(discovery, status)
    _refuse_nothing(discovery, settings)
    _add_partitions(instance, discovery)
    chosen = {PartitionKey.parse(key) for key in partitions}
    unknown = chosen - {batch.partition for batch in discovery.batches}
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, sorted(unknown)))}; `voice status` lists them")

    def wave(job: dg.JobDefinition, names: Sequence[str], label: str) -> None:
        todo = []
        for item in report.status.partitions:
            wanted = not chosen or item.partition in chosen
            first = next((i for i, name in enumerate(names) if verify or _needs(item.states[name])), None)
            if wanted and first is not None and str(item.partition) not in failed:
                todo.append((item.partition, [n for n in names[first:] if item.states[n] is not State.SKIPPED]))
        if not todo:
            return
        with progress.track(label, len(todo), "batches") as bar:
            for partition, assets in todo:
                if not runner.run(job, assets, report, partition):
                    failed.add(str(partition))
                bar.advance()
        review()

    def review() -> None:
        """Compare again, with the listing that the build began with."""
        work = open_work(settings)
        report.discovery = look_again(work, report.discovery, settings)
        report.status = survey(work, report.discovery, codec_of(settings), settings)

    failed: set[str] = set()
    jobs = runner.jobs
    wave(jobs(ingest_job.name), INGEST, "recordings to codes")
    if verify or _needs(report.status.splits):
        runner.run(jobs(splits_job.name), ["dataset_splits"], report)
        review()
    wave(jobs(rows_job.name), ROWS, "codes to rows")
    if verify or _needs(report.status.card):
        runner.run(jobs(card_job.name), ["dataset_card"], report)
        review()
    return report


def _refuse_nothing(discovery: Discovery, settings: Settings) -> None:
    if not discovery.batches:
        raise LookupError(
            f"there are no recordings in {settings.raw_url}: it is searched for {settings.raw_pattern} with one of "
            f"{' '.join(settings.audio_extensions)}"
        )


def _needs(state: State) -> bool:
    return not state.settled


def _add_partitions(instance: dg.DagsterInstance, discovery: Discovery) -> None:
    known = set(instance.get_dynamic_partitions(NAME))
    missing = [str(batch.partition) for batch in discovery.batches if str(batch.partition) not in known]
    if missing:
        instance.add_dynamic_partitions(NAME, missing)


class _Runner:
    """Runs a selection of a job's assets in this process, and gathers what came of it."""

    def __init__(self, instance: dg.DagsterInstance, verify: bool) -> None:
        from voice_assets.definitions import defs

        logging.getLogger("dagster").setLevel(logging.ERROR)
        self._instance = instance
        self._verify = verify
        self.jobs: Callable[[str], dg.JobDefinition] = defs.resolve_job_def

    def run(
        self, job: dg.JobDefinition, assets: Sequence[str], report: BuildReport, partition: PartitionKey | None = None
    ) -> bool:
        where = str(partition) if partition else "the whole dataset"
        known = len(report.failures)
        result = job.execute_in_process(
            instance=self._instance,
            partition_key=str(partition) if partition else None,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {_STEPS[job.name]: {"config": {"verify": self._verify}}} if job.name in _STEPS else {},
            },
            tags={"voice/command": "build"},
            raise_on_error=False,
        )
        made = result.get_asset_materialization_events()
        missing = [name for name in assets if dg.AssetKey(name) not in {event.asset_key for event in made}]
        for event in made:
            report.materialised += 1
            for name in COUNTERS:
                value = event.materialization.metadata.get(name)
                if value is not None and isinstance(value.value, int | float):
                    report.figures[name] = report.figures.get(name, 0) + float(value.value)
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                line = f"{where}, {check.asset_key.to_user_string()}, {check.check_name}: {check.description}"
                blocking = check.severity is dg.AssetCheckSeverity.ERROR
                (report.failures if blocking else report.warnings).append(line)
        for event in result.all_events:
            if event.is_step_failure:
                error = event.step_failure_data.error
                if error and error.cls_name == "DagsterExecutionInterruptedError":
                    raise Stopped
                cause = error.cause or error if error else None
                message = cause.message.strip() if cause else "no message"
                if "AssetCheckFailed" not in message and "blocking check" not in message.lower():
                    report.failures.append(f"{where}, {missing[0] if missing else event.step_key}: {message}")
        if not result.success and len(report.failures) == known:
            report.failures.append(f"{where}: run {result.run_id} failed; see its event log")
        return result.success
