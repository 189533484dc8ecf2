"""`voice build`: materialise through Dagster whatever is missing or stale, in this process, without a daemon."""

import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from resources.corpus import load_configured_codec, open_raw, open_work, open_work_read_only
from voice_assets.defs.sensor_backoff import group_contiguous
from voice_assets.defs.voice_dataset.jobs import card_job, encode_job, ingest_job, rows_job, splits_job
from voice_assets.defs.voice_dataset.multi_partition import FAILED_BATCHES
from voice_assets.defs.voice_dataset.partitions import NAME, RANGE_END, RANGE_START
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import process_tags, raise_if_interrupted, release_orphaned_runs
from voice_core.compute import progress
from voice_core.corpus.dataset.splits import UncutBatchesError
from voice_core.corpus.evicted import repair_eviction_records
from voice_core.corpus.ingest.discovery import Discovery, discover, refresh_discovery
from voice_core.corpus.plan.build_plan import BuildPlan
from voice_core.corpus.plan.plan import plan_build
from voice_core.corpus.status import BuildStatus, PartitionStatus, StageState, read_status
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage import distributed_lock

INGEST_ASSETS = ("raw_audio", "segments")
ENCODE_ASSETS = ("coded_segments",)
ROW_ASSETS = ("voice_dataset", "voice_pairs")
# Those that can verify.
_VERIFIABLE_OPS = {
    ingest_job.name: "ingest",
    encode_job.name: "encode",
    rows_job.name: "write",
    card_job.name: "dataset_card",
}
COUNTERS = ("recordings_decoded", "segments_cut", "segments_encoded", "clips_rechecked")


@dataclass(slots=True)
class DatasetBuildReport:
    """What a build found and did. `figures` sums the assets' counters, such as recordings_decoded."""

    discovery: Discovery
    status: BuildStatus
    materialised: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def compute_status(settings: Settings) -> tuple[Discovery, BuildStatus]:
    """Compare what lies there with what a build would make. Nothing is written.

    New recordings are in the batches that a build would assign them to.
    """
    raw, work = open_raw(settings), open_work_read_only(settings)
    discovery = discover(raw, work, settings, read_only=True)
    return discovery, read_status(work, discovery, load_configured_codec(settings), settings)


def preview_build(settings: Settings, partitions: Sequence[str] = ()) -> BuildPlan:
    """What `build` would do now. Nothing is written."""
    discovery, status = compute_status(settings)
    _require_recordings(discovery, settings)
    chosen = [PartitionKey.parse(key) for key in partitions]
    raw, work = open_raw(settings), open_work_read_only(settings)
    return plan_build(raw, work, discovery, status, load_configured_codec(settings), settings, chosen)


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

    `partitions` limits the work to some; `verify` runs every stage, which looks at every file and mends what is
    missing or spoilt. A failure ends its partition only; but the splits, and the rows after them, wait until all
    batches are cut, or those of `partitions`, unless `incomplete` is set.
    """
    runner = _Runner(settings, instance, verify)
    release_orphaned_runs(instance)
    raw = open_raw(settings)  # first: where there is none, no work root is made either
    work = open_work(settings)
    distributed_lock.remove_dead_locks(work)
    work.remove_partial_files()
    repair_eviction_records(work)
    discovery = discover(raw, work, settings)
    report = DatasetBuildReport(discovery, read_status(work, discovery, load_configured_codec(settings), settings))
    _require_recordings(discovery, settings)
    order = add_partitions(instance, NAME, [str(batch.partition) for batch in discovery.batches])
    chosen = {PartitionKey.parse(key) for key in partitions}
    unknown = chosen - {batch.partition for batch in discovery.batches}
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, sorted(unknown)))}; `voice status` lists them")

    def build_stage(job: dg.JobDefinition, names: Sequence[str], label: str, *, batches_per_run: int = 1) -> None:
        """Build what is not current of these assets, so many batches in a run."""
        todo: dict[str, list[str]] = {}
        for item in report.status.partitions:
            key = str(item.partition)
            wanted = (not chosen or item.partition in chosen) and key not in failed
            first = next((i for i, name in enumerate(names) if verify or _needs_build(item.states[name])), None)
            if wanted and first is not None:
                todo[key] = [name for name in names[first:] if item.states[name] is not StageState.SKIPPED]
        groups = list(_group_runs({key: assets for key, assets in todo.items() if assets}, order, batches_per_run))
        if not groups:
            return
        with progress.track(label, sum(len(keys) for keys, _ in groups), "batches") as bar:
            for keys, assets in groups:
                failed.update(runner.run(job, assets, report, keys))
                bar.advance(len(keys))
        refresh_status()

    def refresh_status() -> None:
        """Compare again, with the listing that the build began with."""
        report.discovery = refresh_discovery(work, report.discovery, settings)
        report.status = read_status(work, report.discovery, load_configured_codec(settings), settings)

    failed: set[str] = set()
    jobs = runner.jobs
    build_stage(jobs(ingest_job.name), INGEST_ASSETS, "recordings to segments")
    # Many in a run: between two runs somebody else may get the GPU, and a run that begins costs a second or two.
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
    """Batches, of those chosen or of all, that this build could not cut."""

    def is_cut(item: PartitionStatus) -> bool:
        stale = _needs_build(item.segments) and str(item.partition) in failed
        return not stale and item.segments not in (StageState.MISSING, StageState.PARTIAL)

    wanted = [item for item in status.partitions if not chosen or item.partition in chosen]
    return [item.partition for item in wanted if not is_cut(item)]


def _require_recordings(discovery: Discovery, settings: Settings) -> None:
    if not discovery.batches:
        raise LookupError(
            f"there are no recordings in {settings.raw_url}: it is searched for {settings.raw_pattern} with one of "
            f"{' '.join(settings.audio_extensions)}"
        )


def _needs_build(state: StageState) -> bool:
    return not state.up_to_date


def _group_runs(
    todo: Mapping[str, list[str]], order: Sequence[str], batches_per_run: int
) -> Iterator[tuple[list[str], list[str]]]:
    """Runs: the batches of each, and the assets. Of more than one batch only where they want the same assets.

    >>> list(_group_runs({"a": ["x"], "b": ["x"], "d": ["x"]}, ["a", "b", "c", "d"], 2))
    [(['a', 'b'], ['x']), (['d'], ['x'])]
    """
    if batches_per_run == 1:
        yield from (([key], assets) for key, assets in todo.items())
        return
    for assets in dict.fromkeys(map(tuple, todo.values())):
        same = {key for key, wanted in todo.items() if tuple(wanted) == assets}
        yield from ((keys, list(assets)) for keys in group_contiguous(same, order, batches_per_run))


class _Runner:
    """Runs a selection of a job's assets in this process, and gathers what came of it."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, verify: bool) -> None:
        from voice_assets.definitions import build_definitions

        logging.getLogger("dagster").setLevel(logging.ERROR)
        self._instance = instance
        self._verify = verify
        defs = build_definitions(settings)  # of all steps, whatever VOICE_STEPS says
        self.jobs: Callable[[str], dg.JobDefinition] = defs.resolve_job_def

    def run(
        self,
        job: dg.JobDefinition,
        assets: Sequence[str],
        report: DatasetBuildReport,
        batches: Sequence[str] = (),
        ops: Mapping[str, Any] | None = None,
    ) -> set[str]:
        """Build these assets of batches that follow one another, or of the whole dataset; the batches that failed."""
        run_id = str(uuid.uuid4())
        many = len(batches) > 1
        result = job.execute_in_process(
            instance=self._instance,
            run_id=run_id,
            partition_key=batches[0] if len(batches) == 1 else None,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": ops
                or (
                    {_VERIFIABLE_OPS[job.name]: {"config": {"verify": self._verify}}}
                    if job.name in _VERIFIABLE_OPS
                    else {}
                ),
            },
            tags={
                "voice/command": "build",
                **process_tags(run_id),
                **({RANGE_START: batches[0], RANGE_END: batches[-1]} if many else {}),
            },
            raise_on_error=False,
        )
        raise_if_interrupted(result)
        _add_counters(result, report)
        where = "" if many else batches[0] if batches else "the whole dataset"
        lines = _describe_failed_checks(result, report, where)
        failed: set[str] = set()
        for event in result.all_events:
            if event.is_step_failure:
                reported = _describe_step_failure(event, assets, result)
                failed.update(reported)
                lines += [f"{batch or where}, {trouble}" for batch, trouble in reported.items()]
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
    """Note the warnings; a line for each blocking check that failed. In a run over many the step's failure says so."""
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
    """What a step died of, by batch, or under "" for all of the run; nothing where a check has said so already."""
    data = event.step_failure_data
    error = data.error
    reported = data.user_failure_data.metadata.get(FAILED_BATCHES) if data.user_failure_data else None
    if reported is not None and isinstance(reported.value, dict):
        return {str(batch): str(trouble) for batch, trouble in reported.value.items()}
    cause = error.cause or error if error else None
    message = cause.message.strip() if cause else "no message"
    if "AssetCheckFailed" in message or "blocking check" in message.lower():
        return {}
    made = {item.asset_key for item in result.get_asset_materialization_events()}
    missing = [name for name in assets if dg.AssetKey(name) not in made]
    return {"": f"{missing[0] if missing else event.step_key}: {message}"}
