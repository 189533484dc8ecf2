"""Dialogues spoken through Dagster in this process, without a daemon: what `voice demo` runs."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from resources.corpus import open_work
from resources.stores import open_store
from voice_assets.defs.moshi.partitions import NAME
from voice_assets.defs.moshi.sensors import lists_job, speak_job
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import process_tags, raise_if_interrupted
from voice_core.layout import PartitionKey
from voice_core.moshi.build import assign_scripts
from voice_core.settings import Settings


@dataclass(slots=True)
class DialogueRunReport:
    """Which batches there are, how many utterances were spoken now, and what failed."""

    partitions: tuple[PartitionKey, ...]
    utterances: int = 0
    failures: list[str] = field(default_factory=list)


def speak_dialogues(settings: Settings, instance: dg.DagsterInstance) -> DialogueRunReport:
    """Deal the scripts of `moshi.scripts_url`, materialise their batches one after another, then the lists.

    One engine speaks, in this process: for scripts so few that another's start would take longer than they do.
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
    run_id = str(uuid.uuid4())
    result = job.execute_in_process(
        instance=instance,
        run_id=run_id,
        partition_key=partition,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": ops or {}},
        tags={"voice/command": "demo", **process_tags(run_id)},
        raise_on_error=False,
    )
    raise_if_interrupted(result)
    for event in result.get_asset_materialization_events():
        spoken = event.materialization.metadata.get("utterances_spoken")
        report.utterances += int(spoken.value) if spoken is not None and isinstance(spoken.value, int) else 0
    if not result.success:
        report.failures.append(f"{partition or job.name}: run {result.run_id} failed; see its event log")
