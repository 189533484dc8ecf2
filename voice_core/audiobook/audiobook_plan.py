"""What an audiobook is made from, and which files its settings ask for. Pure."""

from dataclasses import dataclass, field
from pathlib import PurePath
from uuid import NAMESPACE_URL, uuid5

from voice_core.audiobook.audio_manifest import ChunkAudioManifest
from voice_core.audiobook.audiobook_manifest import STAGE
from voice_core.audiobook.chapter_job import ChapterFormat, ChapterTarget
from voice_core.audiobook.chunk_manifest import BookManifest
from voice_core.audiobook.mastering.assembly import master_rate
from voice_core.audiobook.mastering.chapter_source import BookChapters, ChapterSource
from voice_core.audiobook.mastering.master import MasteredChapter, master_inputs
from voice_core.audiobook.output.book_output import AUDIOBOOK_VERSION, BookOutput, recording_key
from voice_core.audiobook.output.cover import CoverImage
from voice_core.audiobook.output.m4b import BookTags
from voice_core.fingerprint import fingerprint
from voice_core.layout import BookKey, stage_prefix
from voice_core.settings import AudiobookSettings
from voice_core.storage.store import Store

_ENCODED: tuple[ChapterFormat, ...] = ("flac", "opus", "mp3", "acx")
_MADE_OF_AAC = {"m4b", "epub", "audiobookshelf"}


@dataclass(frozen=True, slots=True)
class AudiobookSource:
    """The text and the speech of a book, with the data versions of their manifests."""

    key: BookKey
    text: BookManifest
    speech: ChunkAudioManifest
    text_version: str
    speech_version: str
    chapters: BookChapters
    cover: CoverImage | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def rate_hz(self) -> int:
        return master_rate(self.speech.sample_rate_hz)

    @property
    def prefix(self) -> str:
        return stage_prefix(STAGE, self.key)

    def tags(self, settings: AudiobookSettings) -> BookTags:
        about = self.text.metadata
        authors = about.get("authors") or ()
        voice = "" if settings.voice == "default" else PurePath(settings.voice).stem  # "default" is nobody's name
        return BookTags(
            title=self.text.title,
            authors=tuple(map(str, [authors] if isinstance(authors, str) else authors)),
            narrator=settings.narrator or voice,
            date=str(about.get("date") or ""),
            description=str(about.get("description") or ""),
            publisher=str(about.get("publisher") or ""),
            language=settings.language or str(about.get("language") or "") or "en",
        )


def stage_inputs(source: AudiobookSource, settings: AudiobookSettings) -> str:
    """The hash of all that an audiobook depends on."""
    gains = dict(source.speech.gains_db)
    masters = [
        master_inputs(chapter, gains, source.speech.sample_rate_hz, settings)
        for chapter in source.chapters.with_speech()
    ]
    tags = source.tags(settings)
    chosen = settings.model_dump(mode="json", include={"formats", "aac_kbps"}), tags.narrator, tags.language
    return fingerprint(STAGE, AUDIOBOOK_VERSION, source.text_version, source.speech_version, masters, chosen)


def chapter_targets(
    source: AudiobookSource, chapter: ChapterSource, inputs: str, settings: AudiobookSettings
) -> list[ChapterTarget]:
    """The files that are encoded from one chapter. `inputs` is the hash of its master."""
    targets = []
    if _MADE_OF_AAC & set(settings.formats):
        own = fingerprint("m4a", AUDIOBOOK_VERSION, inputs, settings.aac_kbps)
        targets.append(ChapterTarget("m4a", f"{source.prefix}m4a/{own}", own))
    tags = source.tags(settings).for_chapter(chapter.title, chapter.number)
    for kind in (kind for kind in _ENCODED if kind in settings.formats):
        own = fingerprint(kind, AUDIOBOOK_VERSION, inputs, tags)
        targets.append(ChapterTarget(kind, f"{source.prefix}{kind}/{chapter.file_name}", own, tags))
    if "recording" in settings.formats:
        own = fingerprint("recording", AUDIOBOOK_VERSION, inputs)
        targets.append(ChapterTarget("recording", recording_key(source.prefix, source.key, chapter.number), own))
    return targets


def make_book_output(
    work: Store,
    source: AudiobookSource,
    settings: AudiobookSettings,
    masters: dict[int, MasteredChapter],
    m4a: dict[int, tuple[str, str]],
) -> BookOutput:
    """What the files of the whole book are made from. `m4a` has the key and the SHA-256 of each chapter's AAC."""
    rest = tuple(row for row in source.text.rows if not row.chapter)
    identifier = str(source.text.metadata.get("identifier") or "")
    return BookOutput(
        store=work,
        book=source.key,
        prefix=source.prefix,
        chapters=source.chapters,
        masters=masters,
        m4a=m4a,
        rate_hz=source.rate_hz,
        tags=source.tags(settings),
        text_version=source.text_version,
        identifier=identifier or uuid5(NAMESPACE_URL, f"{source.key}#{source.text.source_sha256}").urn,
        cover=source.cover,
        rest=ChapterSource(0, "", 1, rest) if rest else None,
    )
