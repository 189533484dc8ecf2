"""How a stage becomes an asset: its declaration, the guard around its build, and its result."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dagster as dg

from voice_assets.metadata import Metadata, check_results, check_specs
from voice_core.compute.gpu_lock import tag_run
from voice_core.redaction import redact_raised_errors
from voice_core.stages.checks import Check, CheckOutcome

AssetFunction = Callable[..., dg.MaterializeResult]


def stage_asset(
    *,
    group: str,
    kinds: set[str],
    code_version: str,
    deps: Sequence[Any] = (),
    checks: Sequence[Check[...]] = (),
    condition: dg.AutomationCondition | None = None,
    partitions: dg.PartitionsDefinition | None = None,
    pool: str | None = None,
) -> Callable[[AssetFunction], dg.AssetsDefinition]:
    """Decorator that makes an asset of the function that builds a stage; name and description are the function's.

    Secrets are removed from the errors that the function raises, and a GPU that it holds is held for its run.
    """

    def decorate(build: AssetFunction) -> dg.AssetsDefinition:
        @functools.wraps(build)  # Dagster reads the parameters of the function that it wraps
        def guarded(*args: Any, **kwargs: Any) -> dg.MaterializeResult:
            with tag_run(dg.AssetExecutionContext.get().run.run_id), redact_raised_errors():
                return build(*args, **kwargs)

        return dg.asset(
            name=build.__name__,
            description=build.__doc__,
            deps=deps,
            group_name=group,
            kinds=kinds,
            code_version=code_version,
            partitions_def=partitions,
            automation_condition=condition,
            pool=pool,
            check_specs=check_specs(build.__name__, checks),
        )(guarded)

    return decorate


def stage_result(data_version: str, metadata: Metadata, outcomes: Iterable[CheckOutcome] = ()) -> dg.MaterializeResult:
    """What an asset's function returns: the version of what was built, figures for the UI, and outcomes of checks."""
    return dg.MaterializeResult(
        data_version=dg.DataVersion(data_version), metadata=metadata, check_results=check_results(outcomes)
    )
