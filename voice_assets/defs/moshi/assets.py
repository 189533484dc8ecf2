"""Dialogue scripts → shards of stereo audio with word alignments → the manifests that Moshi fine-tuning reads."""

from dataclasses import replace

import dagster as dg
from pydantic import Field

from resources.corpus import CorpusResource
from resources.speech import SpeechResource
from voice_assets.automation_conditions import AFTER_INPUTS, AFTER_INPUTS_IDLE
from voice_assets.code_location import current_location
from voice_assets.defs.moshi.checks import DIALOGUES_CHECKS, MOSHI_DATASET_CHECKS, MOSHI_SHARDS_CHECKS
from voice_assets.defs.moshi.partitions import dialogue_batch
from voice_assets.pool_wait import PoolWatch
from voice_assets.speech_stage import SpeechConfig, speech_metadata
from voice_assets.stage_asset import stage_asset, stage_result
from voice_core.layout import PartitionKey
from voice_core.moshi import build, checks
from voice_core.moshi.batch_plan import SHARD_VERSION
from voice_core.moshi.batches import list_scripts, read_script, script_key, script_version
from voice_core.moshi.recognition import load_moshi_recogniser
from voice_core.moshi.script import BadDialogueLine
from voice_core.moshi.shard_manifest import ShardManifest, read_shard_manifest
from voice_core.moshi.trainer_manifest import trainer_manifest_prefix
from voice_core.report.notebook import render_dialogue_notebook
from voice_core.synthesis import SynthesisOptions

GROUP = "moshi"
_MAX_VOICES = 20  # in the table of voice levels


class SynthesisConfig(SpeechConfig):
    """How the dialogues of a batch are synthesised."""

    planner_buffer: int = Field(default=32, ge=1, description="Number of dialogues read ahead.")

    def options(self) -> SynthesisOptions:
        return replace(super().options(), planner_buffer=self.planner_buffer)


@stage_asset(
    group=GROUP,
    kinds={"json"},
    code_version="1",
    checks=DIALOGUES_CHECKS,
    partitions=dialogue_batch,
)
def dialogues(context: dg.AssetExecutionContext, corpus: CorpusResource) -> dg.MaterializeResult:
    """The dialogue scripts of a batch, as `new_dialogues` assigned them."""
    work, partition = corpus.work(), PartitionKey.parse(context.partition_key)
    items = read_script(work, partition)
    bad = [item for item in items if isinstance(item, BadDialogueLine)]
    good = [item for item in items if not isinstance(item, BadDialogueLine)]
    return stage_result(
        script_version(work.get(script_key(partition))),
        {
            "dialogues": len(good),
            "turns": sum(len(item.turns) for item in good),
            "characters": sum(len(turn.text) for item in good for turn in item.turns),
            "bad_lines": [item.message for item in bad],
        },
        [checks.lines_are_dialogues(items)],
    )


def moshi_shards_asset(pool: str | None) -> dg.AssetsDefinition:
    """The asset `moshi_shards`, in the pool of its engine's GPU."""

    @stage_asset(
        group=GROUP,
        kinds={"audio"},
        code_version=str(SHARD_VERSION),
        deps=[dialogues],
        checks=MOSHI_SHARDS_CHECKS,
        condition=AFTER_INPUTS,
        partitions=dialogue_batch,
        pool=pool,
    )
    def moshi_shards(
        context: dg.AssetExecutionContext,
        config: SynthesisConfig,
        corpus: CorpusResource,
        speech: SpeechResource,
        pool_watch: PoolWatch,
    ) -> dg.MaterializeResult:
        """A batch of dialogues as stereo audio (left: assistant, right: user), with word alignments."""
        work, partition = corpus.work(), PartitionKey.parse(context.partition_key)
        moshi = speech.settings.moshi
        recogniser = load_moshi_recogniser(moshi)  # fails before any synthesis
        report = build.build_shards(work, partition, speech.settings, config.options(), verify=config.verify)
        manifest = report.manifest
        figures = manifest.figures
        return stage_result(
            manifest.data_version,
            {
                "dialogues": figures["dialogues_kept"],
                "voices_measured": report.voices_measured,
                **_voice_levels(manifest),
                "voice_switches": report.stats.voice_switches,
                "left_out": [f"{row.dialogue_id}: {row.message}" for row in manifest.first_rejects()],
                **speech_metadata(
                    context, report, figures["audio_sec"], lambda: render_dialogue_notebook(work, manifest)
                ),
            },
            [
                checks.dialogues_add_up(manifest),
                checks.files_are_sound(work, manifest),
                checks.text_fits(manifest),
                checks.words_were_heard(manifest),
                checks.emotions_were_spoken(manifest, build.engine_spec(speech.settings).load().capabilities),
                checks.nothing_rejected(manifest),
                checks.speech_says_its_text(work, manifest, recogniser, moshi),
            ],
        )

    return moshi_shards


def _voice_levels(manifest: ShardManifest) -> dict[str, dg.MetadataValue]:
    """Levels of the voices with the most turns, and how often the peak limit reduced them."""
    rows = [
        dg.TableRecord(
            {
                "role": item.role,
                "voice": item.voice,
                "turns": item.turns,
                "mean_level_dbfs": item.mean_level_dbfs,
                "held_back_by_peak_limit": item.peak_limited,
            }
        )
        for item in manifest.voices()[:_MAX_VOICES]
    ]
    return {"voice_levels": dg.MetadataValue.table(rows)} if rows else {}


@stage_asset(
    group=GROUP,
    kinds={"json"},
    code_version="1",
    deps=[dg.AssetDep("moshi_shards", partition_mapping=dg.AllPartitionMapping())],
    checks=MOSHI_DATASET_CHECKS,
    condition=AFTER_INPUTS_IDLE,
)
def moshi_dataset(corpus: CorpusResource) -> dg.MaterializeResult:
    """The manifests that the trainer reads, over all batches, with some dialogues held out for evaluation."""
    work, settings = corpus.work(), corpus.settings
    partitions = list_scripts(work, settings.moshi.name)
    lists = build.build_trainer_manifests(work, partitions, settings)
    manifests = (found for item in partitions if (found := read_shard_manifest(work, item)) is not None)
    return stage_result(
        lists.data_version,
        {
            "train_dialogues": lists.train_rows,
            "eval_dialogues": lists.eval_rows,
            "hours": round(lists.duration_sec / 3600, 4),
            "eval_sec": round(lists.eval_sec, 1),
            "folder": f"{settings.work_url}/{trainer_manifest_prefix(settings.moshi.name)}",
            "note": lists.warning,
        },
        [
            checks.lists_are_sound(work, manifests, settings.moshi),
            checks.batches_are_finished(lists, len(partitions)),
        ],
    )


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    if "speak" not in location.steps:
        return dg.Definitions()
    return dg.Definitions(assets=[dialogues, moshi_shards_asset(location.speech_pool), moshi_dataset])
