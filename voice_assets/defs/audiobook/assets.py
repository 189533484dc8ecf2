"""Books → chunks of text → validated speech → mastered audiobooks."""

from statistics import fmean

import dagster as dg
from pydantic import Field

from resources.corpus import CorpusResource
from resources.speech import SpeechResource
from resources.stores import open_store
from voice_assets.automation_conditions import AFTER_INPUTS
from voice_assets.code_location import current_location
from voice_assets.defs.audiobook.checks import AUDIOBOOK_CHECKS, BOOK_CHUNKS_CHECKS, CHUNK_AUDIO_CHECKS
from voice_assets.defs.audiobook.partitions import book
from voice_assets.defs.audiobook.sensors import SOURCE_VERSION
from voice_assets.metadata import speed_metadata
from voice_assets.pool_wait import PoolWatch
from voice_assets.speech_stage import SpeechConfig, speech_metadata
from voice_assets.stage_asset import stage_asset, stage_result
from voice_core.audiobook import audio_checks, checks
from voice_core.audiobook.audio_manifest import ChunkAudioManifest, mos_score
from voice_core.audiobook.audiobook_stage import build_audiobook
from voice_core.audiobook.books import list_books
from voice_core.audiobook.build import build_text, estimate_speech_sec
from voice_core.audiobook.chunks_stage import CHUNKS_VERSION
from voice_core.audiobook.manifests import require_speech, require_text
from voice_core.audiobook.output.book_output import AUDIOBOOK_VERSION
from voice_core.audiobook.speech import build_chunk_audio
from voice_core.audiobook.takes import SPEECH_VERSION
from voice_core.layout import BookKey
from voice_core.report.audiobook import render_book_notebook
from voice_core.settings import ConfigurationError

GROUP = "audiobooks"
_MAX_LISTED = 50  # exceptions in the metadata


class BookSpeechConfig(SpeechConfig):
    """How the chunks of a book are spoken."""

    redo: list[str] = Field(default=[], description="Chunks that are spoken again although they are valid.")


@stage_asset(
    group=GROUP,
    kinds={"parquet"},
    code_version=str(CHUNKS_VERSION),
    checks=BOOK_CHUNKS_CHECKS,
    partitions=book,
)
def book_chunks(
    context: dg.AssetExecutionContext, corpus: CorpusResource, speech: SpeechResource
) -> dg.MaterializeResult:
    """The text of a book in chunks that are spoken at once, and all text that is not spoken, with the reason."""
    settings = speech.settings
    if not settings.audiobook.books_url:
        raise ConfigurationError("VOICE_AUDIOBOOK__BOOKS_URL is not set: there is no folder of books")
    books = open_store(settings.audiobook.books_url, settings, untrusted=True)
    file = list_books(books).find(context.partition_key)
    manifest = build_text(corpus.work(), file, settings)
    counts = manifest.characters()
    chunks = manifest.chunks()
    language = str(manifest.metadata.get("language", ""))
    return stage_result(
        manifest.data_version,
        {
            SOURCE_VERSION: file.version,
            "title": manifest.title,
            "file": file.name,
            "chapters": len(manifest.chapters),
            "chunks": len(chunks),
            "words": sum(len(row.text.split()) for row in chunks),
            "estimated_hours": round(estimate_speech_sec(counts["spoken"], language) / 3600, 2),
            "characters": dg.MetadataValue.table(
                [dg.TableRecord({"what": name, "characters": number}) for name, number in counts.items()]
            ),
            "warnings": list(manifest.warnings),
        },
        checks.check_text(manifest),
    )


def chunk_audio_asset(pool: str | None) -> dg.AssetsDefinition:
    """The asset `chunk_audio`, in the pool of its engine's GPU."""

    @stage_asset(
        group=GROUP,
        kinds={"audio"},
        code_version=str(SPEECH_VERSION),
        deps=[book_chunks],
        checks=CHUNK_AUDIO_CHECKS,
        condition=AFTER_INPUTS,
        partitions=book,
        pool=pool,
    )
    def chunk_audio(
        context: dg.AssetExecutionContext,
        config: BookSpeechConfig,
        corpus: CorpusResource,
        speech: SpeechResource,
        pool_watch: PoolWatch,
    ) -> dg.MaterializeResult:
        """The speech of each chunk of a book: the best of its takes, validated, with the times of its words."""
        work, key = corpus.work(), BookKey(context.partition_key)
        report = build_chunk_audio(work, key, speech.settings, config.options(), redo=config.redo, verify=config.verify)
        manifest, text = report.manifest, require_text(work, key)
        audio_sec = sum(row.sample_count for row in manifest.rows) / manifest.sample_rate_hz
        return stage_result(
            manifest.data_version,
            {
                "chunks": sum(row.spoken for row in manifest.rows),
                "retries": report.retries,
                "exceptions": audio_checks.list_exceptions(text, manifest)[:_MAX_LISTED],
                **_mos_metadata(manifest),
                **speech_metadata(context, report, audio_sec, lambda: render_book_notebook(work, text, manifest)),
            },
            checks.check_speech(work, text, manifest),
        )

    return chunk_audio


def _mos_metadata(manifest: ChunkAudioManifest) -> dict[str, float]:
    """The mean and the lowest of the predicted opinion scores, where there are any."""
    scores = [score for row in manifest.rows if (score := mos_score(row)) is not None]
    return {"mos_score": round(fmean(scores), 3), "lowest_mos_score": min(scores)} if scores else {}


@stage_asset(
    group=GROUP,
    kinds={"audio"},
    code_version=str(AUDIOBOOK_VERSION),
    deps=[dg.AssetDep("chunk_audio"), book_chunks],
    checks=AUDIOBOOK_CHECKS,
    condition=AFTER_INPUTS,
    partitions=book,
)
def audiobook(
    context: dg.AssetExecutionContext, corpus: CorpusResource, speech: SpeechResource
) -> dg.MaterializeResult:
    """The mastered book: m4b with chapters and cover, and the other formats of the settings."""
    work, key = corpus.work(), BookKey(context.partition_key)
    report = build_audiobook(work, key, speech.settings)
    manifest = report.manifest
    text, audio = require_text(work, key), require_speech(work, key)
    return stage_result(
        manifest.data_version,
        {
            "hours": round(manifest.duration_sec / 3600, 4),
            "chapters_mastered": report.chapters_mastered,
            "files": [f"{work.url}/{row.key}" for row in manifest.rows],
            "bytes": sum(row.size_bytes for row in manifest.rows),
            "limited_samples": manifest.limited_share,
            **speed_metadata(0.0, report.wall_sec),
        },
        checks.check_audiobook(work, text, audio, manifest),
    )


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    if "speak" not in location.steps:
        return dg.Definitions()
    return dg.Definitions(assets=[book_chunks, chunk_audio_asset(location.speech_pool), audiobook])
