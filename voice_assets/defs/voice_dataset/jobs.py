"""Jobs: what `voice build` runs, and what a sensor, a schedule, a backfill or CI launches by name."""

import dagster as dg

from resources.corpus import CorpusResource
from voice_assets.code_location import current_location
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.instance import add_partitions
from voice_assets.run_queries import PLANNED_RUNS, find_busy_assets, find_busy_partitions
from voice_assets.stale_runs import ENCODE_ASSETS, INGEST_ASSETS, ROW_ASSETS, plan_stale_runs
from voice_core.audit import audit_work_root
from voice_core.corpus.status import ASSETS
from voice_core.redaction import redact_raised_errors
from voice_core.settings import StepName

_MAX_NAMED_FILES = 20  # files that the message of a failed audit names; its report names all

ingest_job = dg.define_asset_job(
    "ingest_batch",
    selection=("raw_audio", "segments"),
    description="Cuts the recordings of one batch, or of a range of batches, into segments.",
)
encode_job = dg.define_asset_job(
    "encode_batch",
    selection=("coded_segments",),
    description="Encodes the segments of one batch, or of a range of batches, in the codec's pool.",
)
splits_job = dg.define_asset_job(
    "assign_splits",
    selection=("dataset_splits",),
    description="Assigns all recordings to the splits train and test.",
)
rows_job = dg.define_asset_job(
    "write_rows",
    selection=("voice_dataset", "voice_pairs"),
    description="Writes dataset rows and pairs of one batch, or of a range of batches.",
)
card_job = dg.define_asset_job(
    "finish_dataset",
    selection=("dataset_card",),
    description="Writes the card of the dataset over all finished batches.",
)
publish_job = dg.define_asset_job(
    "publish",
    selection=("published_dataset",),
    description="Publishes the finished dataset to the Hugging Face hub.",
)
# Until 0.1 the job of the splits was called this. Kept for scripts that launch it by name.
old_splits_job = dg.define_asset_job(
    "deal_splits",
    selection=("dataset_splits",),
    description="Earlier name of assign_splits.",
)
BATCH_JOBS = (ingest_job, encode_job, rows_job)
_WHOLE_DATASET_JOBS = {
    splits_job.name: "dataset_splits",
    old_splits_job.name: "dataset_splits",
    card_job.name: "dataset_card",
}
JOB_BY_ASSET: dict[str, str] = {
    **dict.fromkeys(INGEST_ASSETS, ingest_job.name),
    **dict.fromkeys(ENCODE_ASSETS, encode_job.name),
    **dict.fromkeys(ROW_ASSETS, rows_job.name),
    "dataset_splits": splits_job.name,
    "dataset_card": card_job.name,
}
"""The job that builds an asset when the nightly schedule or its sensor requests it."""
_STEP_JOBS: dict[StepName, tuple[object, ...]] = {
    "ingest": (ingest_job,),
    "encode": (encode_job,),
    "write": (splits_job, rows_job, card_job, old_splits_job),
}


@dg.op
@redact_raised_errors()
def build_stale_assets(context: dg.OpExecutionContext, corpus: CorpusResource) -> None:
    """Builds what is missing or stale, as `voice build` does; every batch and asset is recorded as a run of its own."""
    from voice_assets.build import build

    report = build(corpus.settings, context.instance)
    context.add_output_metadata({"materialised": report.materialised, **report.figures, "warnings": report.warnings})
    if report.failures:
        raise dg.Failure(
            f"{len(report.failures)} failures; everything else is up to date.\n" + "\n".join(report.failures),
            metadata={"failures": report.failures},
            allow_retries=False,
        )


@dg.graph
def build_stale_graph() -> None:
    build_stale_assets()


build_stale = build_stale_graph.to_job(
    "build_stale",
    description="Builds everything that is missing or stale in one run, also after changed settings, as `voice build`.",
)
old_build_stale = build_stale_graph.to_job("bring_up_to_date", description="Earlier name of build_stale.")


@dg.op
@redact_raised_errors()
def plan_nightly_runs(context: dg.OpExecutionContext, corpus: CorpusResource) -> None:
    """Compares the work root with recordings, transcripts and settings, and records the runs that are to be requested.

    In a run, since a tick of a schedule or sensor must end within 60 s: listing a large bucket takes longer.
    """
    from voice_assets.build import discover_and_compare

    instance = context.instance
    _, found, status = discover_and_compare(corpus.settings, instance)
    order = add_partitions(instance, CHANNEL_BATCH, sorted(str(batch.partition) for batch in found.batches))
    busy = find_busy_partitions(instance, order, ASSETS, [job.name for job in BATCH_JOBS])
    busy_assets = find_busy_assets(instance, _WHOLE_DATASET_JOBS.values(), _WHOLE_DATASET_JOBS)
    runs = plan_stale_runs(status, order, busy, busy_assets, corpus.settings.automation.partitions_per_run)
    requests = [{"assets": list(run.assets), "batches": [*run.batches[:1], *run.batches[1:][-1:]]} for run in runs]
    context.add_output_metadata(
        {"batches": len(order), "batches_in_runs": len(busy), PLANNED_RUNS: dg.MetadataValue.json(requests)}
    )
    context.log.info(f"{len(order)} batches, {len(busy)} of them in runs: {len(runs)} runs to request")


@dg.job(description="Finds everything that is missing or stale. The sensor nightly_runs requests runs for it.")
def plan_nightly() -> None:
    plan_nightly_runs()


@dg.op
@redact_raised_errors()
def read_committed_files(context: dg.OpExecutionContext, corpus: CorpusResource) -> None:
    """Reads every file of the work root again and compares it with what was committed. Repairs nothing."""
    work = corpus.work()
    report = audit_work_root(work, corpus.settings)
    figures: dict[str, float | str] = {
        "batches": len(report.partitions),
        "files": report.files,
        "gigabytes": round(report.size_bytes / 1e9, 3),
        "wrong": len(report.wrong),
        "unlisted": len(report.unlisted),
        "begun": report.begun,
        "ended": report.ended,
    }
    context.log_event(dg.AssetObservation("dataset_card", metadata={f"audit/{k}": v for k, v in figures.items()}))
    context.add_output_metadata(figures)
    if report.wrong:
        named = "\n".join(f"{key} {what}" for key, what in list(report.wrong.items())[:_MAX_NAMED_FILES])
        more = f"\nand {len(report.wrong) - _MAX_NAMED_FILES} more" if len(report.wrong) > _MAX_NAMED_FILES else ""
        raise dg.Failure(
            f"{len(report.wrong)} of {report.files} files are not what was committed. To repair: "
            f"{'; '.join(report.remedies)}\n{named}{more}",
            metadata={"wrong": report.wrong, "remedies": report.remedies},
            allow_retries=False,
        )


@dg.job(description="Reads every committed file and compares its checksum; fails and names the files that are wrong.")
def audit_files() -> None:
    read_committed_files()


def can_build_dataset() -> bool:
    """Whether the current code location builds the whole dataset."""
    return {"ingest", "encode", "write"} <= current_location().steps


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    jobs = [job for step, found in _STEP_JOBS.items() if step in location.steps for job in found]
    if can_build_dataset():
        jobs += [build_stale, old_build_stale, plan_nightly]
    if "write" in location.steps:
        jobs.append(audit_files)
        if location.settings.hub.repo_id:
            jobs.append(publish_job)
    return dg.Definitions(jobs=jobs)  # type: ignore[arg-type]
