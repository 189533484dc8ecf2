"""Synthesises dialogues through Dagster in this process, without a daemon: what `voice demo` runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from resources.corpus import open_work
from resources.stores import open_store
from voice_assets.defs.moshi.jobs import lists_job, speak_job
from voice_assets.defs.moshi.partitions import NAME
from voice_assets.in_process import run_job
from voice_assets.instance import add_partitions
from voice_core.layout import PartitionKey
from voice_core.moshi.build import assign_scripts
from voice_core.settings import Settings


@dataclass(slots=True)
class DialogueRunReport:
    """The batches, the number of utterances synthesised now, and the failures."""

    partitions: tuple[PartitionKey, ...]
    utterances: int = 0
    failures: list[str] = field(default_factory=list)


def speak_dialogues(settings: Settings, instance: dg.DagsterInstance) -> DialogueRunReport:
    """Assign the scripts of `moshi.scripts_url` to batches, materialise these one after another, then the manifests.

    Uses one engine in this process: for few scripts, starting another one would take longer than the synthesis.
    """
    from voice_assets.definitions import build_definitions

    scripts = open_store(settings.moshi.scripts_url, settings, untrusted=True)
    report = DialogueRunReport(assign_scripts(scripts, open_work(settings), settings).partitions)
    add_partitions(instance, NAME, [str(partition) for partition in report.partitions])
    jobs = build_definitions(settings).resolve_job_def
    serial = {"moshi_shards": {"config": {"backend": "serial"}}}
    for partition in report.partitions:
        _run(jobs(speak_job.name), instance, report, str(partition), serial)
    _run(jobs(lists_job.name), instance, report)
    return report


def _run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    report: DialogueRunReport,
    partition: str | None = None,
    ops: Mapping[str, object] | None = None,
) -> None:
    result = run_job(job, instance, "demo", partitions=[partition] if partition else [], ops=ops)
    for event in result.get_asset_materialization_events():
        spoken = event.materialization.metadata.get("utterances_spoken")
        report.utterances += int(spoken.value) if spoken is not None and isinstance(spoken.value, int) else 0
    if not result.success:
        report.failures.append(f"{partition or job.name}: run {result.run_id} failed; see its event log")
