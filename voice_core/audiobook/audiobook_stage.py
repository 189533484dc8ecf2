"""The stage that masters a book and writes its files; what is unchanged is kept."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from voice_core.audiobook.audiobook_manifest import (
    STAGE,
    AudiobookManifest,
    FileRow,
    read_audiobook_manifest,
)
from voice_core.audiobook.audiobook_plan import (
    AudiobookSource,
    chapter_targets,
    make_book_output,
    stage_inputs,
)
from voice_core.audiobook.chapter_job import ChapterJob, ChapterTarget, run_chapter_job
from voice_core.audiobook.commands import build_command
from voice_core.audiobook.manifests import require_speech, require_text
from voice_core.audiobook.mastering.chapter_source import BookChapters
from voice_core.audiobook.mastering.master import MasteredChapter, master_inputs
from voice_core.audiobook.output.book_files import book_files
from voice_core.audiobook.output.book_output import OutputFile
from voice_core.audiobook.output.cover import read_cover
from voice_core.audiobook.output.encoders import hash_file
from voice_core.compute import progress
from voice_core.compute.workers import core_count, map_stream
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.checks import list_first
from voice_core.stages.commit import CheckpointWriter, commit_manifest
from voice_core.stages.files import check_files, list_sizes
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.scratch import Scratch, open_scratch
from voice_core.storage.store import Store


class FreedSpeechError(ValueError):
    """Chapters must be mastered whose speech was freed. The message says how to speak it again."""

    def __init__(self, book: BookKey, chapters: Sequence[int]) -> None:
        self.chapters = tuple(chapters)
        listed = list_first([str(number) for number in chapters], ", ")
        chapter = "chapter" if len(self.chapters) == 1 else "chapters"
        super().__init__(
            f"the speech of {chapter} {listed} of {book} was freed: run `{build_command(book)}` to speak it again"
        )


@dataclass(frozen=True, slots=True)
class AudiobookReport:
    """What one run over a book did. `files_written` counts the files that were made anew."""

    manifest: AudiobookManifest
    wall_sec: float
    chapters_mastered: int = 0
    files_written: int = 0


def build_audiobook(
    work: Store, book: BookKey, settings: Settings, *, workers: int = 0, verify: bool = False
) -> AudiobookReport:
    """Master what is missing of a book, write its files, and commit them. One process at a time works on a book.

    Chapters are mastered in `workers` processes; 0 means `settings.workers`, and if that is 0, one per core. With
    `verify`, the files that are there are read and compared.

    Raises LookupError where the text or the speech is missing or incomplete, ValueError for a book without speech and
    for speech that is missing or changed, FreedSpeechError, and OSError.
    """
    began = time.monotonic()
    with hold_lock(work, f"{STAGE} {book}") as work:
        text, speech = require_text(work, book), require_speech(work, book)
        cover, warning = read_cover(work, text)
        source = AudiobookSource(
            book,
            text,
            speech,
            text.data_version,
            speech.data_version,
            BookChapters(text, speech),
            cover,
            (warning,) if warning else (),
        )
        old = read_audiobook_manifest(work, book)
        inputs = stage_inputs(source, settings.audiobook)
        intact = _find_intact_files(work, book, old, verify=verify)
        if old is not None and old.complete and old.inputs == inputs and old.files().keys() <= intact:
            return AudiobookReport(old, time.monotonic() - began)
        if not any(row.spoken for row in speech.rows):
            raise ValueError(
                f"{book} has no chapter with speech: of its {len(text.chunks())} chunks none was spoken. "
                "The exceptions of chunk_audio say why"
            )
        build = _Build(work, source, settings, inputs, old, intact)
        return build.run(workers or settings.workers, began)


def _find_intact_files(work: Store, book: BookKey, old: AudiobookManifest | None, *, verify: bool) -> set[str]:
    """Keys of the files of the old manifest that are what it says."""
    if old is None:
        return set()
    # A run that was killed may have replaced a file: sizes alone do not show that.
    sizes = list_sizes(work, stage_prefix(STAGE, book))
    states = check_files(work, old.files(), sizes, verify=verify or not old.complete)
    return {key for key, state in states.items() if state.counts_as_present}


@dataclass(frozen=True, slots=True)
class _ToMaster:
    """A chapter to master, and what to encode. `sample_count` is the length of its speech."""

    number: int
    inputs: str
    missing: tuple[ChapterTarget, ...]
    sample_count: int


@dataclass(slots=True)
class _Build:
    work: Store
    source: AudiobookSource
    settings: Settings
    inputs: str
    old: AudiobookManifest | None
    intact: set[str]
    masters: dict[int, MasteredChapter] = field(default_factory=dict)
    rows: dict[tuple[int, str, str], list[FileRow]] = field(default_factory=dict)  # by chapter, format and inputs
    files_written: int = 0

    def run(self, workers: int, began: float) -> AudiobookReport:
        scratch = open_scratch(self.settings.local_dir, self.settings.local_gb)
        to_do = self._plan_chapters()
        key = manifest_key(STAGE, self.source.key)
        checkpoint = CheckpointWriter(self.work, key, self._draft)
        checkpoint.write()
        with checkpoint:
            with progress.track(f"mastering {self.source.key}", len(to_do), "chapters") as progress_bar:
                for number, master, rows in self._master(to_do, workers, scratch):
                    self.masters[number] = master
                    self._add(rows)
                    progress_bar.advance()
                    checkpoint.write_if_due()
            m4a = {row.chapter: (row.key, row.sha256) for row in self._all_rows() if row.format == "m4a"}
            output = make_book_output(self.work, self.source, self.settings.audiobook, self.masters, m4a)
            for file in book_files(output, self.settings.audiobook.formats):
                self._add([self._reuse(file) or self._write(file, scratch)])
                checkpoint.write_if_due()
        manifest = dataclasses.replace(self._draft(), complete=True)
        commit_manifest(self.work, key, manifest, stage_prefix(STAGE, self.source.key), manifest.files())
        return AudiobookReport(manifest, time.monotonic() - began, len(to_do), self.files_written)

    def _plan_chapters(self) -> list["_ToMaster"]:
        """The chapters to master, the longest first. What the old manifest has of the others is taken over."""
        source, audiobook = self.source, self.settings.audiobook
        masters = {item.inputs: item for item in self.old.masters.values()} if self.old is not None else {}
        to_do: list[_ToMaster] = []
        freed: list[int] = []
        for chapter in source.chapters.with_speech():
            inputs = master_inputs(chapter, source.speech.gains_db, source.speech.sample_rate_hz, audiobook)
            targets = chapter_targets(source, chapter, inputs, audiobook)
            missing = tuple(target for target in targets if not self._take_over(target, chapter.number))
            if inputs in masters and not missing:
                self.masters[chapter.number] = masters[inputs]
                continue
            if any(item.audio.freed for item in chapter.spoken):
                freed.append(chapter.number)
            sample_count = sum(item.audio.sample_count for item in chapter.spoken)
            to_do.append(_ToMaster(chapter.number, inputs, missing, sample_count))
        if freed:
            raise FreedSpeechError(source.key, freed)
        return sorted(to_do, key=lambda item: (-item.sample_count, item.number))

    def _master(
        self, to_do: Sequence["_ToMaster"], workers: int, scratch: Scratch
    ) -> Iterator[tuple[int, MasteredChapter, list[FileRow]]]:
        """Master chapters. The speech of a chapter is looked up when its turn comes."""
        source, rate = self.source, self.source.speech.sample_rate_hz
        jobs = (
            ChapterJob(
                self.work,
                source.key,
                dataclasses.replace(source.chapters[item.number - 1], rows=()),
                item.inputs,
                dict(source.speech.gains_db),
                rate,
                self.settings.audiobook,
                item.missing,
                scratch,
            )
            for item in to_do
        )
        count = min(workers or core_count(), len(to_do)) if self.work.shareable else 1
        return map_stream(run_chapter_job, jobs, count or 1, name=lambda job: job.name)

    def _take_over(self, target: ChapterTarget, chapter: int) -> bool:
        """Take over the files of a target that are there; false where one is missing."""
        old = self.old.rows if self.old is not None else ()
        # The AAC is named by its content: that of a chapter whose number has changed is found as well.
        rows = [
            dataclasses.replace(row, chapter=chapter)
            for row in old
            if (row.format, row.inputs) == (target.format, target.inputs) and row.key.startswith(target.key)
        ]
        rows = rows[:1] if target.format == "m4a" else rows
        if not rows or any(row.key not in self.intact for row in rows):
            return False
        self.rows[chapter, target.format, target.inputs] = rows
        return True

    def _reuse(self, file: OutputFile) -> FileRow | None:
        old = self.old.rows if self.old is not None else ()
        found = (row for row in old if (row.key, row.inputs) == (file.key, file.inputs) and row.key in self.intact)
        return next(found, None)

    def _write(self, file: OutputFile, scratch: Scratch) -> FileRow:
        with self.work.create(file.key, scratch.root) as path:
            file.write(path)
            size, digest = path.stat().st_size, hash_file(path)
        self.files_written += 1
        return FileRow(file.key, file.format, file.chapter, digest, size, file.inputs, file.sample_count)

    def _add(self, rows: Iterable[FileRow]) -> None:
        for row in rows:
            of_target = self.rows.setdefault((row.chapter, row.format, row.inputs), [])
            of_target[:] = [item for item in of_target if item.key != row.key] + [row]

    def _all_rows(self) -> list[FileRow]:
        rows = (row for rows in self.rows.values() for row in rows)
        return sorted(rows, key=lambda row: (row.format, row.chapter, row.key))

    def _draft(self) -> AudiobookManifest:
        return AudiobookManifest(
            partition=str(self.source.key),
            complete=False,
            inputs=self.inputs,
            title=self.source.text.title,
            sample_rate_hz=self.source.rate_hz,
            book_version=self.source.text_version,
            speech_version=self.source.speech_version,
            formats=self.settings.audiobook.formats,
            masters=dict(sorted(self.masters.items())),
            warnings=self.source.warnings,
            rows=self._all_rows(),
        )
