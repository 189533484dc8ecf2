"""Assets of one batch that a single step builds, batch after batch.

A run over ten batches takes one process and one step, not ten of each. Within it each batch has its own
materialisations, data versions and check results, and a batch that fails does not stop the others. The run then fails,
names the batches that failed, and leaves them without a materialisation.

Dagster has no such step: a step over a range of partitions gives all of them one result, and fails or succeeds as a
whole.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from pydantic import Field

from resources.corpus import CorpusResource
from voice_assets.defs.voice_dataset.partitions import channel_batch
from voice_assets.failures import FAILED_BATCHES
from voice_assets.metadata import check_specs
from voice_assets.notebook_store import NotebookStore
from voice_assets.pool_wait import PoolWatch
from voice_core.compute.gpu_lock import tag_run
from voice_core.error_text import describe_exception
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey
from voice_core.redaction import redact_raised_errors
from voice_core.stages.checks import Check

_CODE_VERSION, _DATA_VERSION = "dagster/code_version", "dagster/data_version"
_IS_USER_PROVIDED, _BACKFILL = "dagster/data_version_is_user_provided", "dagster/backfill"
_INPUT_VERSION, _INPUT_EVENT = "dagster/input_data_version/", "dagster/input_event_pointer/"


class StageConfig(dg.Config):
    """How a stage treats files that exist already."""

    verify: bool = Field(default=False, description="Read every file again and rebuild corrupt files.")


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What an asset is to build: one batch, with which options."""

    partition: PartitionKey
    corpus: CorpusResource
    verify: bool
    run_id: str
    notebooks: NotebookStore


@dataclass(frozen=True, slots=True)
class BatchAsset:
    """One asset of a step, with its checks and the function that builds one batch of it."""

    spec: dg.AssetSpec
    checks: tuple[dg.AssetCheckSpec, ...]
    build: Callable[[BatchRequest], dg.MaterializeResult]

    @property
    def name(self) -> str:
        return self.spec.key.to_user_string()

    @property
    def blocking(self) -> frozenset[str]:
        return frozenset(spec.name for spec in self.checks if spec.blocking)

    @property
    def external_spec(self) -> dg.AssetSpec:
        """The spec of the asset in a code location that does not build it."""
        return dg.AssetSpec(
            self.spec.key,
            description=self.spec.description,
            group_name=self.spec.group_name,
            kinds=self.spec.kinds,
            partitions_def=self.spec.partitions_def,
        )

    def materialise(self, request: BatchRequest) -> dg.MaterializeResult:
        with tag_run(request.run_id), redact_raised_errors():
            return self.build(request)


def batch_asset(
    *,
    group: str,
    kinds: set[str],
    code_version: str,
    deps: Sequence["BatchAsset | str"] = (),
    checks: Sequence[Check[...]] = (),
    condition: dg.AutomationCondition | None = None,
) -> Callable[[Callable[[BatchRequest], dg.MaterializeResult]], BatchAsset]:
    """Decorator that makes a `BatchAsset` of the function that builds it; name and description are the function's."""

    def decorate(build: Callable[[BatchRequest], dg.MaterializeResult]) -> BatchAsset:
        spec = dg.AssetSpec(
            build.__name__,
            deps=[item.spec.key if isinstance(item, BatchAsset) else item for item in deps],
            description=build.__doc__,
            group_name=group,
            kinds=kinds,
            code_version=code_version,
            partitions_def=channel_batch,
            automation_condition=condition,
            skippable=True,  # of a run over many batches Dagster gets events, not outputs
        )
        return BatchAsset(spec, tuple(check_specs(build.__name__, checks)), build)

    return decorate


def build_multi_asset(
    name: str, assets: Sequence[BatchAsset], *, batches_per_run: int, pool: str | None = None
) -> dg.AssetsDefinition:
    """The step that builds these assets, each of which may depend on those before it; in a pool, if one is named."""

    @dg.multi_asset(
        name=name,
        specs=[item.spec for item in assets],
        check_specs=[check for item in assets for check in item.checks],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.multi_run(batches_per_run),
        pool=pool,
    )
    def step(
        context: dg.AssetExecutionContext, config: StageConfig, corpus: CorpusResource, pool_watch: PoolWatch
    ) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization | dg.AssetCheckEvaluation]:
        chosen = [item for item in assets if item.spec.key in context.selected_asset_keys]
        keys = context.partition_keys
        run_id, notebooks = context.run.run_id, NotebookStore.from_context(context)

        def request(key: str) -> BatchRequest:
            return BatchRequest(PartitionKey.parse(key), corpus, config.verify, run_id, notebooks)

        if len(keys) == 1:
            yield from _build_single_batch(request(keys[0]), chosen)
            return
        failures: dict[str, str] = {}
        for number, key in enumerate(keys, 1):
            context.log.info(f"{key} ({number} of {len(keys)})")
            try:
                made = request(key)
            except ValueError as error:  # somebody added a key in the UI
                failures[key] = f"{chosen[0].name}: {describe_exception(error)}"
                continue
            error_text = yield from _build_batch_of_many(context, made, chosen)
            if error_text:
                failures[key] = error_text
        if failures:
            messages = "\n".join(f"{key}, {error_text}" for key, error_text in failures.items())
            raise dg.Failure(
                f"{len(failures)} of {len(keys)} batches failed; the others are built.\n{messages}",
                metadata={FAILED_BATCHES: dg.MetadataValue.json(failures)},
                allow_retries=False,
            )

    return step


def _build_single_batch(request: BatchRequest, assets: Sequence[BatchAsset]) -> Iterator[dg.MaterializeResult]:
    """Build a single batch: Dagster itself records what each asset returns, and fails the step for a blocking check."""
    for item in assets:
        result = item.materialise(request)
        yield result._replace(
            asset_key=item.spec.key,
            check_results=[check._replace(asset_key=item.spec.key) for check in result.check_results],
        )
        if _failed_blocking_checks(item, result):
            return


def _failed_blocking_checks(item: BatchAsset, result: dg.MaterializeResult) -> list[dg.AssetCheckResult]:
    return [
        check
        for check in result.check_results
        if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR and check.check_name in item.blocking
    ]


def _build_batch_of_many(
    context: dg.AssetExecutionContext, request: BatchRequest, assets: Sequence[BatchAsset]
) -> Generator[dg.AssetMaterialization | dg.AssetCheckEvaluation, None, str]:
    """Build one batch of a run over many; returns its error, or "".

    Dagster would give one result to all batches of the run, so what it needs to know is yielded event by event.
    """
    partition = str(request.partition)
    for item in assets:
        try:
            result = item.materialise(request)
        except Exception as error:  # a failed batch does not stop the next one; the run fails at its end
            error_text = f"{item.name}: {describe_exception(error)}"
            context.log.error(f"{partition}, {error_text}", exc_info=True)
            return error_text
        yield dg.AssetMaterialization(
            item.spec.key,
            partition=partition,
            metadata=result.metadata,
            tags=_data_version_tags(context, item, partition, result),
        )
        for check in result.check_results:
            assert check.check_name is not None
            yield dg.AssetCheckEvaluation(
                asset_key=item.spec.key,
                check_name=check.check_name,
                passed=check.passed,
                metadata={**check.metadata, "batch": partition},
                severity=check.severity,
                description=check.description,
                blocking=check.check_name in item.blocking,
            )
        blocked = _failed_blocking_checks(item, result)
        if blocked:
            error_text = "; ".join(f"check {check.check_name}: {check.description}" for check in blocked)
            return f"{item.name}: {error_text}"
    return ""


def _data_version_tags(
    context: dg.AssetExecutionContext, item: BatchAsset, partition: str, result: dg.MaterializeResult
) -> Mapping[str, str]:
    """The tags by which Dagster decides what is stale, as it puts them on the materialisation of a single batch."""
    tags = {_CODE_VERSION: item.spec.code_version or "", _IS_USER_PROVIDED: "true"}
    if result.data_version is not None:
        tags[_DATA_VERSION] = result.data_version.value
    for dep in item.spec.deps:
        parent = _read_latest_materialisation(
            context.instance, dep.asset_key, partition
        ) or _read_latest_materialisation(context.instance, dep.asset_key)
        event = parent.asset_materialization if parent is not None else None
        if parent is not None and event is not None:
            name = dep.asset_key.to_user_string()
            version = (event.tags or {}).get(_DATA_VERSION, "INITIAL")
            # For partitions, Dagster records a hash over the versions of all inputs; here that is one.
            tags[_INPUT_VERSION + name] = sha256(version.encode()) if event.partition else version
            tags[_INPUT_EVENT + name] = str(parent.storage_id)
    if _BACKFILL in context.run.tags:
        tags[_BACKFILL] = context.run.tags[_BACKFILL]
    return tags


def _read_latest_materialisation(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None
) -> dg.EventLogRecord | None:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    return next(iter(instance.fetch_materializations(wanted, limit=1).records), None)
