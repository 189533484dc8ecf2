"""A book's text to speech: the number of workers, the engines, the levels of the voices, and the stage."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from voice_core.audiobook.audio_manifest import STAGE, ChunkAudioManifest, ChunkAudioRow, read_audio_manifest
from voice_core.audiobook.audio_stage import Requests, SpeechStage, find_intact_files
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow, read_book_manifest
from voice_core.audiobook.takes import SpeechPlan, plan_speech
from voice_core.audiobook.validation.config import read_validation_config
from voice_core.audiobook.validation.examine import Examiner
from voice_core.language import pluralize
from voice_core.layout import BookKey
from voice_core.recognition.aligners import AlignerOptions, load_aligner
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
from voice_core.synthesis import EnginePool, EngineSpec, SynthesisFailure, SynthesisOptions, SynthesisStats
from voice_core.synthesis.configured import engine_spec
from voice_core.synthesis.sizing import Machine, choose_workers
from voice_core.synthesis.speech_cache import SpeechSource
from voice_core.synthesis.types import UtteranceGroup
from voice_core.synthesis.voice_levels import Calibration, LevelUnknown, VoiceLevels
from voice_core.synthesis.voice_recordings import describe_voice_problem, hash_voice_recordings
from voice_core.tts.base import Speech, SpeechEngine, Utterance

_ONE_VOICE_AHEAD = 512  # chunks that an engine which keeps one voice may sort by voice
_log = logging.getLogger(__name__)
Id = TypeVar("Id")


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
    restore: bool = False,
    verify: bool = False,
    on_rows: Callable[[Sequence[ChunkAudioRow]], None] = lambda rows: None,
) -> ChunkAudioReport:
    """Speak what a book lacks, examine it, and commit it.

    An `engine_pool` keeps its engines loaded over several books; its engine and options are used then. The chunks in
    `redo` are spoken again from other seeds. Freed files are spoken again in chapters with a chunk that is spoken,
    since these are mastered anew, and with `restore` everywhere. `verify` reads all files and speaks those that are not
    what was committed. `on_rows` gets the rows of chunks as they are finished, those that are kept first.

    Raises LookupError where the book has no finished text or lacks a chunk of `redo`, ConfigurationError for the
    settings of the validation, an aligner or a voice, and EngineUnavailableError.
    """
    if engine_pool is None:
        with open_book_pool(settings, options, engine) as own:
            return build_chunk_audio(
                work, book, settings, engine_pool=own, redo=redo, restore=restore, verify=verify, on_rows=on_rows
            )
    began = time.monotonic()
    text = read_text(work, book)
    chunks = text.chunks()
    unknown = sorted(set(redo) - {chunk.chunk_id for chunk in chunks})
    if unknown:
        raise LookupError(f"{book} has no chunk {', '.join(unknown)}; `voice audiobook check` lists chunks to redo")
    examiner = load_examiner(settings)
    examiner.check({chunk.language for chunk in chunks})
    speaker = engine_pool.engine.load()
    check_voices(speaker, chunks)
    speaking = _Speaking(engine_pool, speaker, f"speaking {book}")
    with hold_lock(work, f"{STAGE} {book}") as store:
        plan = make_plan(store, book, chunks, speaker, examiner, settings, redo=redo, restore=restore, verify=verify)
        if plan.old is not None and plan.is_current:
            on_rows(plan.old.rows)
            return ChunkAudioReport(plan.old, speaking.stats, time.monotonic() - began, reused=plan.reused)
        gains_db = speaking.measure_gains(store, plan.calibrations, settings.audiobook.level_dbfs)
        stage = SpeechStage(
            store,
            plan,
            examiner,
            speaking.speak_takes,
            sample_rate_hz=speaker.sample_rate_hz,
            gains_db=gains_db,
            workers=engine_pool.options.postprocess_workers,
            on_rows=on_rows,
        )
        manifest = stage.run()
    wall_sec = time.monotonic() - began
    return ChunkAudioReport(
        manifest, speaking.stats, wall_sec, speaking.takes, speaking.speech_sec, stage.retries, plan.reused
    )


def read_text(work: Store, book: BookKey) -> BookManifest:
    """The finished text of a book. Raises LookupError where there is none."""
    text = read_book_manifest(work, book)
    if text is None:
        raise LookupError(f"there is no text of the book {book}: build the asset book_chunks first")
    if not text.complete:
        raise LookupError(f"the text of the book {book} is not finished: build the asset book_chunks again")
    return text


def load_examiner(settings: Settings) -> Examiner:
    """How takes are examined. Raises ConfigurationError."""
    group = settings.audiobook
    config = read_validation_config(group.validation)
    try:
        aligner = load_aligner(AlignerOptions(group.aligner, setting_prefix="audiobook."))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return Examiner(config, aligner, group.seed)


def check_voices(engine: SpeechEngine, chunks: Iterable[ChunkRow]) -> None:
    """Raises ConfigurationError, which names each voice that the engine lacks and a chunk that needs it."""
    wanted: dict[str, str] = {}
    for chunk in chunks:
        wanted.setdefault(chunk.voice, chunk.chunk_id)
    problems = [
        f"the voice {voice!r} (chunk {chunk_id}): {why}"
        for voice, chunk_id in wanted.items()
        if (why := describe_voice_problem(engine, voice))
    ]
    if problems:
        raise ConfigurationError(f"audiobook.voice, audiobook.voices: {'; '.join(problems)}")


def make_plan(
    store: Store,
    book: BookKey,
    chunks: Sequence[ChunkRow],
    speaker: SpeechEngine,
    examiner: Examiner,
    settings: Settings,
    *,
    redo: Collection[str] = (),
    restore: bool = False,
    verify: bool = False,
) -> SpeechPlan:
    """What a book's speech needs, by what there is of it."""
    old = read_audio_manifest(store, book)
    recordings, _ = hash_voice_recordings(speaker, {chunk.voice for chunk in chunks}, ())
    source = SpeechSource(speaker.name, speaker.revision, recordings)
    parameters = {
        "engine": speaker.name,
        "engine_revision": speaker.revision,
        "aligner": f"{examiner.aligner.name} {examiner.aligner.revision}",
        "seed": settings.audiobook.seed,
        "level_dbfs": settings.audiobook.level_dbfs,
        "validation": examiner.config.model_dump(),
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
    mastered_anew = {chunk.chapter for index, chunk in enumerate(chunks) if index not in found.kept}
    needed = {
        row.key
        for index, row in found.kept.items()
        if row.freed and (restore or chunks[index].chapter in mastered_anew)
    }
    return plan(intact - needed) if needed else found


class _Speaking:
    """Speaks through a pool, and counts."""

    def __init__(self, engine_pool: EnginePool, speaker: SpeechEngine, label: str) -> None:
        self.stats = SynthesisStats()
        self.takes, self.speech_sec = 0, 0.0
        self._pool, self._one_voice, self._label = engine_pool, speaker.capabilities.keeps_one_voice, label

    def speak_takes(self, requests: Requests) -> Iterator[tuple[int, Speech | SynthesisFailure]]:
        for number, result in self._speak(requests):
            if isinstance(result, Speech):
                self.takes += 1
                self.speech_sec += result.duration_sec
            yield number, result

    def measure_gains(self, store: Store, calibrations: Sequence[Calibration], level_dbfs: float) -> dict[str, float]:
        """The gain of each voice that brings it to `level_dbfs`, dB. A voice whose level cannot be measured gets 0."""
        levels = VoiceLevels(store, calibrations)
        for where, result in self._speak(levels.missing_utterances):
            levels.add_result(where, result)
        gains: dict[str, float] = {}
        for voice, level in (levels.levels_of(item.voice for item in calibrations) or {}).items():
            if isinstance(level, LevelUnknown):
                _log.warning("%s; its gain is 0 dB", level.message)
            gains[voice] = 0.0 if isinstance(level, LevelUnknown) else round(level_dbfs - level, 2)
        return dict(sorted(gains.items()))

    def _speak(self, requests: Sequence[tuple[Id, Utterance]]) -> Iterator[tuple[Id, Speech | SynthesisFailure]]:
        if not requests:
            return
        options = self._pool.options
        ahead = max(options.planner_buffer, _ONE_VOICE_AHEAD) if self._one_voice else options.planner_buffer
        run = dataclasses.replace(
            options,
            planner_buffer=ahead,
            ordered=False,
            group_by_voice=self._one_voice,
            total=len(requests),
            label=self._label,
        )
        groups = (UtteranceGroup(str(number), (utterance,)) for number, (_, utterance) in enumerate(requests))
        with contextlib.closing(self._pool.synthesise(groups, self.stats, run)) as spoken:
            for group in spoken:
                yield requests[int(group.key)][0], group.speeches[0]
