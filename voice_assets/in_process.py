"""Runs a job in this process, without a daemon: what `voice build` and `voice demo` do."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from voice_assets.run_ownership import process_tags, raise_if_interrupted
from voice_assets.run_queries import RANGE_END, RANGE_START


def run_job(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    command: str,
    *,
    partitions: Sequence[str] = (),
    assets: Sequence[str] | None = None,
    ops: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job, or some of its assets, over partitions that follow one another. A failure is in the result.

    Raises Interrupted if the process is asked to end meanwhile.
    """
    run_id = str(uuid.uuid4())
    many = len(partitions) > 1
    result = job.execute_in_process(
        instance=instance,
        run_id=run_id,
        partition_key=partitions[0] if len(partitions) == 1 else None,
        asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": ops or {}},
        tags={
            "voice/command": command,
            **process_tags(run_id),
            **({RANGE_START: partitions[0], RANGE_END: partitions[-1]} if many else {}),
        },
        raise_on_error=False,
    )
    raise_if_interrupted(result)
    return result
