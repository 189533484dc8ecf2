"""`voice build`: materialises what is missing or stale through Dagster, in this process, without a daemon."""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from resources.corpus import load_configured_codec, open_raw, open_work, open_work_read_only
from voice_assets.defs.voice_dataset.jobs import card_job, encode_job, ingest_job, rows_job, splits_job
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.failures import describe_root_cause, read_failed_batches
from voice_assets.in_process import run_job
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import release_orphaned_runs
from voice_assets.sensor_backoff import group_runs
from voice_assets.stale_runs import ENCODE_ASSETS, INGEST_ASSETS, ROW_ASSETS
from voice_core.compute import progress
from voice_core.corpus.dataset.splits import UncutBatchesError
from voice_core.corpus.evicted import repair_eviction_records
from voice_core.corpus.ingest.discovery import Discovery, discover, refresh_discovery
from voice_core.corpus.plan.build_plan import BuildPlan
from voice_core.corpus.plan.plan import plan_build
from voice_core.corpus.status import BuildStatus, PartitionStatus, StageState, read_status
from voice_core.layout import PartitionKey, parse_partitions
from voice_core.settings import Settings
from voice_core.storage import distributed_lock
from voice_core.storage.store import Store

# The op of each job that can verify its files.
_VERIFIABLE_OPS = {
    ingest_job.name: "ingest",
    encode_job.name: "encode",
    rows_job.name: "write",
    card_job.name: "dataset_card",
}
COUNTERS = ("recordings_decoded", "segments_cut", "segments_encoded", "clips_rechecked")


@dataclass(slots=True)
class DatasetBuildReport:
    """The inputs and results of a build. `figures` has sums of the assets' counters, such as recordings_decoded."""

    discovery: Discovery
    status: BuildStatus
    materialised: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def compute_status(settings: Settings) -> tuple[Discovery, BuildStatus]:
    """Compare the work root with what a build would make. Nothing is written.

    New recordings are in the batches that a build would assign them to.
    """
    raw, work = open_raw(settings), open_work_read_only(settings)
    discovery = discover(raw, work, settings, read_only=True)
    return discovery, read_status(work, discovery, load_configured_codec(settings), settings)


def preview_build(settings: Settings, partitions: Sequence[str] = ()) -> BuildPlan:
    """What `build` would do now. Nothing is written."""
    discovery, status = compute_status(settings)
    _require_recordings(discovery, settings)
    chosen = parse_partitions(partitions, {item.partition for item in status.partitions})
    raw, work = open_raw(settings), open_work_read_only(settings)
    return plan_build(raw, work, discovery, status, load_configured_codec(settings), settings, chosen)


def discover_and_compare(
    settings: Settings, instance: dg.DagsterInstance, *, header_budget_sec: float = math.inf
) -> tuple[Store, Discovery, BuildStatus]:
    """Assign new recordings to batches, remove what killed processes left, and compare the work root with the inputs.

    `header_budget_sec` limits the time for reading headers of new recordings; the others stay pending.
    """
    release_orphaned_runs(instance)
    raw = open_raw(settings)  # first: without a raw bucket, no work root is created
    work = open_work(settings)
    distributed_lock.remove_dead_locks(work)
    work.remove_partial_files()
    repair_eviction_records(work)
    discovery = discover(raw, work, settings, budget_sec=header_budget_sec)
    return work, discovery, read_status(work, discovery, load_configured_codec(settings), settings)


def build(
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    partitions: Sequence[str] = (),
    verify: bool = False,
    incomplete: bool = False,
) -> DatasetBuildReport:
    """Discover, then materialise what is not current: the segments batch by batch, the codes, the splits, the rows, the
    card.

    `partitions` limits the work to some; `verify` runs every stage, which reads every file and repairs missing and
    corrupt ones. A failure ends its partition only; but the splits, and the rows after them, wait until all batches are
    cut, or those of `partitions`, unless `incomplete` is set. Raises LookupError for an unknown partition, and if there
    are no recordings.
    """
    runner = _Runner(settings, instance, verify)
    work, discovery, status = discover_and_compare(settings, instance)
    report = DatasetBuildReport(discovery, status)
    _require_recordings(discovery, settings)
    order = add_partitions(instance, CHANNEL_BATCH, [str(batch.partition) for batch in discovery.batches])
    chosen = set(parse_partitions(partitions, {batch.partition for batch in discovery.batches}))

    def build_stage(job: dg.JobDefinition, names: Sequence[str], label: str, *, batches_per_run: int = 1) -> None:
        """Build what is not current of these assets, up to `batches_per_run` batches in a run."""
        todo: dict[str, list[str]] = {}
        for item in report.status.partitions:
            key = str(item.partition)
            wanted = (not chosen or item.partition in chosen) and key not in failed
            first = next((i for i, name in enumerate(names) if verify or _needs_build(item.states[name])), None)
            if wanted and first is not None:
                todo[key] = [name for name in names[first:] if item.states[name] is not StageState.SKIPPED]
        groups = list(group_runs({key: assets for key, assets in todo.items() if assets}, order, batches_per_run))
        if not groups:
            return
        with progress.track(label, sum(len(keys) for keys, _ in groups), "batches") as bar:
            for keys, assets in groups:
                failed.update(runner.run(job, assets, report, keys))
                bar.advance(len(keys))
        refresh_status()

    def refresh_status() -> None:
        """Compare again, with the listing from the start of the build."""
        report.discovery = refresh_discovery(work, report.discovery, settings)
        report.status = read_status(work, report.discovery, load_configured_codec(settings), settings)

    failed: set[str] = set()
    jobs = runner.jobs
    build_stage(jobs(ingest_job.name), INGEST_ASSETS, "recordings to segments")
    # Many batches in a run: between two runs another process may get the GPU, and starting a run takes a second or two.
    build_stage(
        jobs(encode_job.name),
        ENCODE_ASSETS,
        "segments to codes",
        batches_per_run=2 * settings.automation.partitions_per_run,
    )
    if verify or _needs_build(report.status.splits):
        uncut = [] if incomplete else _find_uncut_batches(report.status, failed, chosen)
        if uncut and _needs_build(report.status.splits):
            report.failures.append(f"the whole dataset, dataset_splits: {UncutBatchesError(uncut)}")
            return report
        config = {"dataset_splits": {"config": {"incomplete": incomplete or bool(chosen)}}}
        runner.run(jobs(splits_job.name), ["dataset_splits"], report, ops=config)
        refresh_status()
    build_stage(jobs(rows_job.name), ROW_ASSETS, "codes to rows")
    if verify or _needs_build(report.status.card):
        runner.run(jobs(card_job.name), ["dataset_card"], report)
        refresh_status()
    return report


def _find_uncut_batches(
    status: BuildStatus, failed: Collection[str], chosen: Collection[PartitionKey]
) -> list[PartitionKey]:
    """The batches, of those chosen or of all, that this build could not cut."""

    def is_cut(item: PartitionStatus) -> bool:
        stale = _needs_build(item.segments) and str(item.partition) in failed
        return not stale and item.segments not in (StageState.MISSING, StageState.PARTIAL)

    wanted = [item for item in status.partitions if not chosen or item.partition in chosen]
    return [item.partition for item in wanted if not is_cut(item)]


def _require_recordings(discovery: Discovery, settings: Settings) -> None:
    if not discovery.batches:
        raise LookupError(
            f"no recordings found in {settings.raw_url}: no key matches {settings.raw_pattern} with one of "
            f"the extensions {' '.join(settings.audio_extensions)}"
        )


def _needs_build(state: StageState) -> bool:
    return not state.up_to_date


class _Runner:
    """Runs a selection of a job's assets in this process, and adds the results to a report."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, verify: bool) -> None:
        from voice_assets.definitions import build_definitions

        logging.getLogger("dagster").setLevel(logging.ERROR)
        self._instance = instance
        self._verify = verify
        defs = build_definitions(settings)  # all steps, regardless of VOICE_STEPS
        self.jobs: Callable[[str], dg.JobDefinition] = defs.resolve_job_def

    def run(
        self,
        job: dg.JobDefinition,
        assets: Sequence[str],
        report: DatasetBuildReport,
        batches: Sequence[str] = (),
        ops: Mapping[str, Any] | None = None,
    ) -> set[str]:
        """Build assets of batches that follow one another, or of the whole dataset; returns the failed batches."""
        many = len(batches) > 1
        if ops is None and job.name in _VERIFIABLE_OPS:
            ops = {_VERIFIABLE_OPS[job.name]: {"config": {"verify": self._verify}}}
        result = run_job(job, self._instance, "build", partitions=batches, assets=assets, ops=ops)
        _add_counters(result, report)
        where = "" if many else batches[0] if batches else "the whole dataset"
        lines = _describe_failed_checks(result, report, where)
        failed: set[str] = set()
        for event in result.all_events:
            if event.is_step_failure:
                reported = _describe_step_failure(event, assets, result)
                failed.update(reported)
                lines += [f"{batch or where}, {error}" for batch, error in reported.items()]
        if result.success:
            return set()
        if not lines:
            lines = [f"{where or ', '.join(batches)}: run {result.run_id} failed; see its event log"]
        report.failures += lines
        return failed & set(batches) or set(batches)


def _add_counters(result: dg.ExecuteInProcessResult, report: DatasetBuildReport) -> None:
    for event in result.get_asset_materialization_events():
        report.materialised += 1
        for name in COUNTERS:
            value = event.materialization.metadata.get(name)
            if value is not None and isinstance(value.value, int | float):
                report.figures[name] = report.figures.get(name, 0) + float(value.value)


def _describe_failed_checks(result: dg.ExecuteInProcessResult, report: DatasetBuildReport, where: str) -> list[str]:
    """Add the warnings; returns a line per failed blocking check. In a run over many, the step's error has them."""
    lines: list[str] = []
    for check in result.get_asset_check_evaluations():
        if check.passed:
            continue
        batch = where or str(check.metadata["batch"].value)
        line = f"{batch}, {check.asset_key.to_user_string()}, {check.check_name}: {check.description}"
        if check.severity is not dg.AssetCheckSeverity.ERROR:
            report.warnings.append(line)
        elif where:
            lines.append(line)
    return lines


def _describe_step_failure(
    event: dg.DagsterEvent, assets: Sequence[str], result: dg.ExecuteInProcessResult
) -> dict[str, str]:
    """The error of a step, by batch, or under "" for the whole run; empty if a check has reported it already."""
    reported = read_failed_batches(event)
    if reported:
        return reported
    message = describe_root_cause(event.step_failure_data.error)
    if "AssetCheckFailed" in message or "blocking check" in message.lower():
        return {}
    made = {item.asset_key for item in result.get_asset_materialization_events()}
    missing = [name for name in assets if dg.AssetKey(name) not in made]
    return {"": f"{missing[0] if missing else event.step_key}: {message}"}
