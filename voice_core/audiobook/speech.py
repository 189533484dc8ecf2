"""A book's text to speech: the number of workers, the engines, the levels of the voices, and the stage."""

import dataclasses
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from voice_core.audiobook.audio_manifest import STAGE, ChunkAudioManifest, ChunkAudioRow, read_audio_manifest
from voice_core.audiobook.audio_stage import SpeechStage, find_intact_files
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.commands import check_command
from voice_core.audiobook.manifests import require_text
from voice_core.audiobook.speaking import Speaking, VoiceGains
from voice_core.audiobook.takes import SpeechPlan, plan_speech
from voice_core.audiobook.validation.config import read_validation_config
from voice_core.audiobook.validation.examine import Examiner
from voice_core.audiobook.voices import check_voices, given_voices, hash_stored_recordings, name_voices
from voice_core.language import pluralize
from voice_core.layout import BookKey
from voice_core.recognition.aligners import AlignerOptions, load_aligner
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
from voice_core.synthesis import EnginePool, EngineSpec, SynthesisOptions, SynthesisStats
from voice_core.synthesis.configured import engine_spec
from voice_core.synthesis.sizing import Machine, choose_workers
from voice_core.synthesis.speech_cache import SpeechSource
from voice_core.tts.base import SpeechEngine

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChunkAudioReport:
    """What one run over a book did. `spoken` counts takes, retries included; `speech_sec` is their length. `reused`
    counts chunks with the speech of an earlier run. `stats` also counts the sentences over which levels were measured.
    """

    manifest: ChunkAudioManifest
    stats: SynthesisStats
    wall_sec: float
    spoken: int = 0
    speech_sec: float = 0.0
    retries: int = 0
    reused: int = 0

    @property
    def new_chunks(self) -> int:
        """The number of chunks with speech of this run."""
        return sum(row.spoken for row in self.manifest.rows) - self.reused


def choose_book_workers(settings: Settings, workers: int = 0, engine: EngineSpec | None = None) -> int:
    """The number of engines for a book.

    `workers` if it is given; 1 in the batch mode of the settings, since other books are spoken at the same time; else
    the physical cores but two, 1 to 12, as many as fit into memory.
    """
    if not workers and settings.audiobook.batch_mode:
        workers = 1
    if not workers:
        engine = engine or engine_spec(settings)
        workers = choose_workers(engine, SynthesisOptions(), Machine.detect(engine.device)).workers
    _log.info("Using %s", pluralize(workers, "worker"))
    return workers


def open_book_pool(
    settings: Settings, options: SynthesisOptions | None = None, engine: EngineSpec | None = None
) -> EnginePool:
    """Engines for any number of books. Takes are examined in half as many processes, or with up to three engines in
    this one, unless the options say otherwise."""
    options = options or SynthesisOptions()
    engine = engine or engine_spec(settings)
    workers = choose_book_workers(settings, 1 if options.backend == "serial" else options.workers, engine)
    beside = options.postprocess_workers or max(1, workers // 2)
    if options.backend == "auto" and workers == 1 and engine.device == "cpu":
        options = dataclasses.replace(options, backend="serial")
    ready = dataclasses.replace(options, workers=workers, postprocess_workers=beside, label="speaking books")
    return EnginePool(engine, ready)


def build_chunk_audio(
    work: Store,
    book: BookKey,
    settings: Settings,
    options: SynthesisOptions | None = None,
    engine: EngineSpec | None = None,
    *,
    engine_pool: EnginePool | None = None,
    redo: Collection[str] = (),
    restore: Collection[int] = (),
    verify: bool = False,
    on_rows: Callable[[Sequence[ChunkAudioRow]], None] = lambda rows: None,
    first: ChunkAudioReport | None = None,
) -> ChunkAudioReport:
    """Speak what a book lacks, examine it, and commit it.

    An `engine_pool` keeps its engines loaded over several books; its engine and options are used then. The chunks in
    `redo` are spoken again from other seeds. Freed files are spoken again in chapters with a chunk that is spoken,
    since these are mastered anew, and in the chapters `restore`. `verify` reads all files and speaks those that are not
    what was committed. `on_rows` gets the rows of chunks as they are finished, those that are kept first. `first` is
    the report of a run over the same book just before; the report is that of both.

    Raises LookupError where the book has no finished text or lacks a chunk of `redo`, ConfigurationError for the
    settings of the validation, an aligner or a voice, and EngineUnavailableError.
    """
    if engine_pool is None:
        with open_book_pool(settings, options, engine) as own:
            return build_chunk_audio(
                work,
                book,
                settings,
                engine_pool=own,
                redo=redo,
                restore=restore,
                verify=verify,
                on_rows=on_rows,
                first=first,
            )
    began = time.monotonic()
    chunks = require_text(work, book).chunks()
    unknown = sorted(set(redo) - {chunk.chunk_id for chunk in chunks})
    if unknown:
        raise LookupError(f"{book} has no chunk {', '.join(unknown)}; `{check_command(book)}` lists chunks to redo")
    examiner = load_examiner(settings)
    examiner.check({chunk.language for chunk in chunks})
    speaker = engine_pool.engine.load()
    given = given_voices(name_voices(speaker, settings.audiobook))
    check_voices(speaker, _first_chunks(chunks), given)
    speaking = Speaking(engine_pool, speaker, f"speaking {book}", given)
    if first is not None:
        speaking.stats, speaking.takes, speaking.speech_sec = first.stats, first.spoken, first.speech_sec
    with hold_lock(work, f"{STAGE} {book}") as store:
        plan = make_plan(
            store, book, chunks, speaker, examiner, settings, given, redo=redo, restore=restore, verify=verify
        )
        manifest, retries = _update(store, plan, speaking, examiner, settings, on_rows)
    report = ChunkAudioReport(
        manifest,
        speaking.stats,
        time.monotonic() - began,
        speaking.takes,
        speaking.speech_sec,
        retries,
        plan.reused,
    )
    return report if first is None else _joined(first, report)


def _update(
    store: Store,
    plan: SpeechPlan,
    speaking: Speaking,
    examiner: Examiner,
    settings: Settings,
    on_rows: Callable[[Sequence[ChunkAudioRow]], None],
) -> tuple[ChunkAudioManifest, int]:
    """The manifest of the book, written anew unless it is current, and the number of retries."""
    old = plan.old if plan.is_current else None
    gains = VoiceGains.of_manifest(old) if old is not None else VoiceGains()
    if old is None or not gains.is_sure:  # the level of a voice that could not be measured is measured again
        measured = speaking.measure_gains(store, plan.calibrations, settings.audiobook.level_dbfs)
        old = old if measured == gains else None
        gains = measured
    if old is not None:
        on_rows(old.rows)
        return old, 0
    stage = SpeechStage(
        store,
        plan,
        examiner,
        speaking.speak_takes,
        sample_rate_hz=speaking.sample_rate_hz,
        gains=gains,
        workers=speaking.examining_workers,
        on_rows=on_rows,
    )
    return stage.run(), stage.retries


def _joined(first: ChunkAudioReport, second: ChunkAudioReport) -> ChunkAudioReport:
    """The report of two runs, one right after the other. The second has gone on with the counts of the first."""
    return dataclasses.replace(
        second,
        wall_sec=first.wall_sec + second.wall_sec,
        retries=first.retries + second.retries,
        reused=max(0, second.reused - first.new_chunks),
    )


def _first_chunks(chunks: Sequence[ChunkRow]) -> dict[str, str]:
    """The first chunk of each voice, in the order of the book."""
    found: dict[str, str] = {}
    for chunk in chunks:
        found.setdefault(chunk.voice, chunk.chunk_id)
    return found


def load_examiner(settings: Settings) -> Examiner:
    """How takes are examined. Raises ConfigurationError."""
    group = settings.audiobook
    config = read_validation_config(group.validation)
    try:
        aligner = load_aligner(AlignerOptions(group.aligner, setting_prefix="audiobook."))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return Examiner(config, aligner, group.seed)


def make_plan(
    store: Store,
    book: BookKey,
    chunks: Sequence[ChunkRow],
    speaker: SpeechEngine,
    examiner: Examiner,
    settings: Settings,
    given: Mapping[str, str],
    *,
    redo: Collection[str] = (),
    restore: Collection[int] = (),
    verify: bool = False,
) -> SpeechPlan:
    """What a book's speech needs, by what there is of it. `given` are the voices by their stored names."""
    old = read_audio_manifest(store, book)
    recordings = hash_stored_recordings(speaker, {chunk.voice for chunk in chunks}, given)
    source = SpeechSource(speaker.name, speaker.revision, recordings)
    parameters = {
        "engine": speaker.name,
        "engine_revision": speaker.revision,
        "aligner": f"{examiner.aligner.name} {examiner.aligner.revision}",
        "seed": settings.audiobook.seed,
        "level_dbfs": settings.audiobook.level_dbfs,
        "validation": examiner.describe(),
    }
    intact = find_intact_files(store, book, old, verify=verify)

    def plan(there: set[str]) -> SpeechPlan:
        return plan_speech(
            book,
            chunks,
            source,
            old,
            there,
            lambda identity: examiner.identity(examiner.is_sampled(identity)),
            seed=settings.audiobook.seed,
            parameters=parameters,
            redo=redo,
        )

    found = plan(intact)
    mastered_anew = {chunk.chapter for index, chunk in enumerate(chunks) if index not in found.kept} | set(restore)
    needed = {row.key for index, row in found.kept.items() if row.freed and chunks[index].chapter in mastered_anew}
    return plan(intact - needed) if needed else found
