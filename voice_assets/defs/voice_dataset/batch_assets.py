"""The assets of one batch: recordings → segments → codes → dataset rows and pairs."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import dagster as dg

from voice_assets.automation_conditions import (
    AFTER_INPUTS,
    AFTER_SEGMENTS,
    AFTER_SPLITS,
)
from voice_assets.defs.voice_dataset.checks import (
    CODED_SEGMENTS_CHECKS,
    RAW_AUDIO_CHECKS,
    SEGMENTS_CHECKS,
    VOICE_DATASET_CHECKS,
)
from voice_assets.defs.voice_dataset.multi_partition import (
    BatchAsset,
    BatchRequest,
    batch_asset,
)
from voice_assets.eta import DEVICE_METADATA
from voice_assets.metadata import speed_metadata, summary_metadata
from voice_assets.stage_asset import stage_result
from voice_core.codecs.base import CodecUnavailableError
from voice_core.corpus import checks
from voice_core.corpus.dataset import pairs, rows_stage, splits
from voice_core.corpus.dataset.summary import summarise
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest.snapshot import snapshot_batch
from voice_core.corpus.manifest import Manifest, read_complete_manifest, read_manifest
from voice_core.corpus.names import CODED, DATASET, SEGMENTS
from voice_core.corpus.segment import segment_stage
from voice_core.report.notebook import render_codes_notebook

GROUP = "voice_dataset"
_UNCHANGED = "nothing was written since the last check"
_NO_CODEC = "no codec is configured: the dataset is built without codes"


@batch_asset(
    group=GROUP,
    kinds={"audio"},
    code_version="1",
    checks=RAW_AUDIO_CHECKS,
)
def raw_audio(request: BatchRequest) -> dg.MaterializeResult:
    """The recordings of a batch, as they are in the raw bucket now."""
    batch = snapshot_batch(request.corpus.raw(), request.corpus.work(), request.partition, request.corpus.settings)
    report = checks.transcripts_present(batch)
    return stage_result(
        batch.data_version,
        {
            "recordings": len(batch.recordings),
            "sealed": batch.sealed,
            "hours": round(batch.hours, 4),
            "bytes": sum(item.audio.size for item in batch.recordings if item.audio),
            "formats": batch.formats(),
            "without_transcript": [r.audio_id for r in batch.recordings if not (r.transcript or r.adopted)],
            "unreadable": {item.audio_id: item.unreadable for item in batch.recordings if item.unreadable},
            "vanished": [item.audio_id for item in batch.recordings if item.vanished],
        },
        [report],
    )


@batch_asset(
    deps=[raw_audio],
    group=GROUP,
    condition=AFTER_INPUTS,
    kinds={"numpy"},
    code_version=segment_stage.CODE_VERSION,
    checks=SEGMENTS_CHECKS,
)
def segments(request: BatchRequest) -> dg.MaterializeResult:
    """One `.npz` file per transcript line, cut in silence and measured; rejected lines are listed with their reason."""
    work = request.corpus.work()
    partition = request.partition
    report = segment_stage.build_segments(
        request.corpus.raw(), work, partition, request.corpus.settings, verify=request.verify
    )
    manifest = report.manifest
    return stage_result(
        manifest.data_version,
        {
            **summary_metadata(summarise([manifest], request.corpus.settings)),
            "recordings_decoded": report.recordings_decoded,
            "segments_cut": report.segments_cut,
            **speed_metadata(report.decoded_sec, report.wall_sec),
        },
        checks.note_replacement(
            [
                checks.seconds_add_up(manifest),
                checks.files_intact(
                    work, [(entry.key, entry.sha256) for entry in manifest.files()], report.unchanged_files
                ),
                checks.texts_present(manifest),
                checks.no_overlap(manifest),
                checks.recordings_sound(manifest),
            ],
            lambda: is_replaced(manifest, read_manifest(work, SEGMENTS, partition)),
        ),
    )


@batch_asset(
    deps=[segments],
    group=GROUP,
    condition=AFTER_SEGMENTS,
    kinds={"numpy"},
    code_version=encode_stage.CODE_VERSION,
    checks=CODED_SEGMENTS_CHECKS,
)
def coded_segments(request: BatchRequest) -> dg.MaterializeResult:
    """The kept segments with their codes. Empty without a codec (VOICE_CODEC=none)."""
    work, partition, codec = request.corpus.work(), request.partition, request.corpus.load_codec()
    # Blocking checks of segments stop a run that builds both; encoding is a run of its own.
    checks.require_valid_segments(read_complete_manifest(work, SEGMENTS, partition))
    if codec is None:
        segments_version = read_complete_manifest(work, SEGMENTS, partition).data_version
        return stage_result(
            f"none-{segments_version}",
            {"codec": "none"},
            (item.skip(_NO_CODEC) for item in CODED_SEGMENTS_CHECKS),
        )
    settings = request.corpus.settings
    sound: dict[str, Any] = {}

    def listen(manifest: Manifest) -> None:
        notebook = partial(render_codes_notebook, work, manifest, codec, settings.display_name)
        with suppress(CodecUnavailableError):  # nothing had to be encoded, so nothing else needed the codec
            sound["listen"] = request.notebooks.listen_metadata("coded_segments", manifest, notebook)

    report = encode_stage.build_codes(
        work,
        partition,
        codec,
        settings,
        verify=request.verify,
        rebuild_sources=request.corpus.rebuild_sources(),
        on_commit=listen,
    )
    manifest = report.manifest
    summary = summarise([manifest], settings)
    rechecked_figures: dict[str, float] = {}
    if summary.agreement is not None:
        rechecked_figures = {"guarded_segments": summary.agreement[0], "guard_agreement": summary.agreement[1]}
    roundtrip: dict[str, Any] = {}
    if summary.roundtrip is not None:
        roundtrip = {
            "roundtrip_segments": summary.roundtrip.rows,
            "roundtrip_mel_db": round(summary.roundtrip.mel_db, 3),
            "roundtrip_level_db": round(summary.roundtrip.level_db, 3),
            "roundtrip_farthest": {entry.key: entry.roundtrip_mel_db or 0.0 for entry in summary.roundtrip.worst},
        }
    return stage_result(
        manifest.data_version,
        {
            "codec": f"{codec.name} {codec.revision}" + (" (a stand-in, not NeuCodec)" if codec.stand_in else ""),
            "codes": sum(entry.code_count for entry in manifest.entries),
            "segments_encoded": report.segments_encoded,
            **summary_metadata(summary),
            **roundtrip,
            **rechecked_figures,
            **({DEVICE_METADATA: report.device, "clips_rechecked": report.rechecked} if report.device else {}),
            **sound,
            **speed_metadata(report.encoded_sec, report.wall_sec),
        },
        checks.note_replacement(
            [
                checks.seconds_add_up(manifest),
                checks.files_intact(
                    work, [(entry.key, entry.sha256) for entry in manifest.files()], report.unchanged_files
                ),
                checks.codes_valid(work, manifest, codec, report.unchanged_files),
                checks.nothing_failed(manifest, CODED),
            ],
            lambda: is_replaced(manifest, read_manifest(work, CODED, partition)),
        ),
    )


@batch_asset(
    deps=[coded_segments, "dataset_splits"],
    group=GROUP,
    condition=AFTER_SPLITS,
    kinds={"parquet", "huggingface"},
    code_version=str(rows_stage.DATASET_VERSION),
    checks=VOICE_DATASET_CHECKS,
)
def voice_dataset(request: BatchRequest) -> dg.MaterializeResult:
    """Dataset rows: Parquet with FLAC audio and codes (`full`), and what NeuTTS fine-tuning reads (`neutts`)."""
    work, settings = request.corpus.work(), request.corpus.settings
    plan = splits.require_splits(work, settings)
    partition = request.partition
    rebuild_sources = request.corpus.rebuild_sources()
    report = rows_stage.build_dataset(
        work, partition, plan, settings, verify=request.verify, rebuild_sources=rebuild_sources
    )
    manifest = report.manifest
    known = {} if report.bytes_written or request.verify else sizes_by_key(manifest.parameters["files"])
    summary = summarise([manifest], settings)
    return stage_result(
        manifest.data_version,
        {
            **summary_metadata(summary),
            "rows_by_split": {tally.label: tally.rows for tally in summary.splits},
            "neutts_would_drop": dict(summary.neutts_reasons),
            "bytes": report.bytes_written,
            **speed_metadata(summary.kept.seconds, report.wall_sec),
        },
        checks.note_replacement(
            [
                checks.seconds_add_up(manifest),
                checks.files_intact(work, rows_stage.list_parquet_files(manifest), known),
                checks.rows_match.skip(_UNCHANGED) if known else checks.rows_match(work, manifest),
                checks.nothing_failed(manifest, DATASET),
            ],
            lambda: is_replaced(manifest, rows_stage.read_dataset_manifest(work, partition, settings)),
        ),
    )


@batch_asset(
    deps=[voice_dataset],
    group=GROUP,
    condition=AFTER_INPUTS,
    kinds={"parquet", "huggingface"},
    code_version=str(pairs.PAIRS_VERSION),
)
def voice_pairs(request: BatchRequest) -> dg.MaterializeResult:
    """(reference, target) pairs of segments of one speaker, for voice cloning."""
    work, settings = request.corpus.work(), request.corpus.settings
    manifest = rows_stage.require_dataset_manifest(work, request.partition, settings)
    report = pairs.build_pairs(
        work, manifest, settings, verify=request.verify, rebuild_sources=request.corpus.rebuild_sources()
    )
    return stage_result(
        report.data_version,
        {
            "dagster/row_count": report.pairs,
            "speakers": report.speakers,
            "rows_without_reference": report.skipped,
        },
    )


def is_replaced(manifest: Manifest, committed: Manifest | None) -> bool:
    return committed is None or committed.data_version != manifest.data_version


def sizes_by_key(files: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Size in bytes of each file of a manifest, by its key."""
    return {item["key"]: item["size_bytes"] for item in files}


INGEST_STAGE: tuple[BatchAsset, ...] = (raw_audio, segments)
ENCODE_STAGE: tuple[BatchAsset, ...] = (coded_segments,)
ROWS_STAGE: tuple[BatchAsset, ...] = (voice_dataset, voice_pairs)
