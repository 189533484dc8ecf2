"""The assets over all batches (splits, card), and the definitions: which assets a code location builds, and how."""

from collections.abc import Callable

import dagster as dg
from pydantic import Field

from resources.corpus import CorpusResource
from voice_assets.automation_conditions import AFTER_INPUTS_IDLE, AFTER_INPUTS_SUCCEEDED, make_freshness_policy
from voice_assets.code_location import CodeLocation, current_location
from voice_assets.defs.voice_dataset.batch_assets import (
    ENCODE_STAGE,
    GROUP,
    INGEST_STAGE,
    ROWS_STAGE,
    segments,
    sizes_by_key,
    voice_dataset,
    voice_pairs,
)
from voice_assets.defs.voice_dataset.checks import DATASET_CARD_CHECKS
from voice_assets.defs.voice_dataset.multi_partition import StageConfig, build_multi_asset
from voice_assets.metadata import column_schema, summary_metadata
from voice_assets.stage_asset import stage_asset, stage_result
from voice_core.corpus import checks
from voice_core.corpus.dataset import card_stage, splits
from voice_core.corpus.dataset.card import strip_speaker_tables
from voice_core.corpus.dataset.dataset_record import read_dataset_record
from voice_core.corpus.dataset.exporters import CONFIGS
from voice_core.corpus.dataset.schemas import full_schema, pairs_schema
from voice_core.corpus.ingest.batches import list_partitions, try_read_batches
from voice_core.corpus.manifest import read_manifest
from voice_core.corpus.names import SEGMENTS
from voice_core.layout import DatasetLayout


class SplitsConfig(dg.Config):
    """The batches over which the splits are assigned."""

    incomplete: bool = Field(
        default=False, description="Assign the splits over the batches that are cut, even if others are not."
    )


@stage_asset(
    group=GROUP,
    kinds={"json"},
    code_version=str(splits.SPLITS_VERSION),
    deps=[dg.AssetDep(segments.spec.key, partition_mapping=dg.AllPartitionMapping())],
    condition=AFTER_INPUTS_SUCCEEDED,
)
def dataset_splits(config: SplitsConfig, corpus: CorpusResource) -> dg.MaterializeResult:
    """The recordings held out for test, and the texts that are in both splits, over all batches."""
    work, settings = corpus.work(), corpus.settings
    batches = try_read_batches(work, list_partitions(work))
    partitions = sorted([*(batch.partition for batch in batches.batches), *batches.damaged])
    found = {partition: read_manifest(work, SEGMENTS, partition) for partition in partitions}
    if not config.incomplete:
        splits.require_all_cut(found)
    plan = splits.build_splits(work, [item for item in found.values() if item is not None and item.complete], settings)
    return stage_result(
        plan.data_version,
        {
            "test_recordings": [f"{channel}/{audio_id}" for channel, audio_id in sorted(plan.test)],
            "texts_in_train_and_test": len(plan.shared_texts),
            "speaker_scope": settings.split.speaker_scope,
        },
    )


@stage_asset(
    group=GROUP,
    kinds={"markdown", "huggingface"},
    code_version=str(card_stage.CARD_VERSION),
    deps=[
        dg.AssetDep(voice_dataset.spec.key, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(voice_pairs.spec.key, partition_mapping=dg.AllPartitionMapping()),
    ],
    checks=DATASET_CARD_CHECKS,
    condition=AFTER_INPUTS_IDLE,
)
def dataset_card(config: StageConfig, corpus: CorpusResource) -> dg.MaterializeResult:
    """The dataset's README: contents, statistics and rejected audio. `datasets.load_dataset` reads its header."""
    work, settings = corpus.work(), corpus.settings
    partitions = list_partitions(work)
    summary = card_stage.build_card(work, partitions, settings, verify=config.verify)
    layout = DatasetLayout(settings.dataset)
    commit = read_dataset_record(work, settings) or {}
    files = commit.get("files", [])
    finished = card_stage.read_dataset_manifests(work, partitions, settings)
    return stage_result(
        commit.get("inputs", ""),
        {
            **summary_metadata(summary),
            "folder": f"{settings.work_url}/{layout.root}",
            "rows_by_config": {
                config: sum(item["rows"] for item in files if item["config"] == config) for config in CONFIGS
            },
            "neutts_would_drop": dict(summary.neutts_reasons),
            "card": dg.MetadataValue.md(strip_speaker_tables(work.get(layout.card_key).decode())),
        },
        checks.note_replacement(
            [
                checks.splits_do_not_leak(finished, settings),
                checks.files_intact(
                    work,
                    [(item["key"], item["sha256"]) for item in files],
                    {} if config.verify else sizes_by_key(files),
                ),
            ],
            lambda: read_dataset_record(work, settings) != commit,
        ),
    )


_FRESH_ASSETS = {"voice_dataset", "voice_pairs", "dataset_card"}


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    built = _build_steps(location)
    built_keys = {spec.key for item in built for spec in item.specs}
    inputs = {dep.asset_key for item in built for spec in item.specs for dep in spec.deps}
    external = [item.external_spec for item in (*INGEST_STAGE, *ENCODE_STAGE) if item.spec.key in inputs - built_keys]
    return dg.Definitions(assets=[*dg.map_asset_specs(_configure_specs(location), built), *external])


def _build_steps(location: CodeLocation) -> list[dg.AssetsDefinition]:
    """The assets of the location's steps.

    The three steps take different numbers of batches per run, and not only since rows are quicker: Dagster puts assets
    of equal policies into one run. There the rows of one batch would wait for the codes of another, and one that cannot
    be cut would keep all others from being encoded: from a run over many batches Dagster gets events, not outputs, so
    it skips what comes after. A run that encodes takes more batches than one that cuts, to wait for a GPU once.
    """
    batches = location.settings.automation.partitions_per_run
    found: list[dg.AssetsDefinition] = []
    if "ingest" in location.steps:
        found.append(build_multi_asset("ingest", INGEST_STAGE, batches_per_run=batches))
    if "encode" in location.steps:
        pool = location.encoding_pool
        found.append(build_multi_asset("encode", ENCODE_STAGE, batches_per_run=batches * 2, pool=pool))
    if "write" in location.steps:
        found.append(build_multi_asset("write", ROWS_STAGE, batches_per_run=batches * 4))
        found += [dataset_splits, dataset_card]
    return found


def _configure_specs(location: CodeLocation) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """Adds what depends on the settings: freshness policies and column schemas."""
    policy = make_freshness_policy(location.settings)
    with_codes = location.settings.codec != "none"
    columns = {
        "voice_dataset": column_schema(full_schema(location.settings.cut.sample_rate_hz, with_codes=with_codes)),
        "voice_pairs": column_schema(pairs_schema(with_codes=with_codes)),
    }

    def configure(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = spec.key.to_user_string()
        if name in _FRESH_ASSETS:
            spec = spec.replace_attributes(freshness_policy=policy)
        return spec.merge_attributes(metadata=columns.get(name, {}))

    return configure
