"""The manifest of an audiobook, which is the commit record of the stage `audiobooks`: a row for each file."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from voice_core.audiobook.mastering.master import MasteredChapter
from voice_core.fingerprint import sha256
from voice_core.layout import BookKey, manifest_key
from voice_core.stages.files import FilesByKey
from voice_core.stages.manifest import ManifestFormat, load_stored_manifest
from voice_core.storage.store import Store

STAGE = "audiobooks"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of an audiobook.

    `format` is one of the settings, or "m4a" for the AAC of a chapter, of which the m4b and the EPUB are made.
    `chapter` is 0 for a file of the whole book. `inputs` is the hash of all that its content depends on. `metrics` is
    JSON of what was measured in the file.
    """

    key: str
    format: str
    chapter: int
    sha256: str
    size_bytes: int
    inputs: str
    sample_count: int = 0  # at the audiobook's rate; 0 for a file without audio
    metrics: str = "{}"


@dataclass(frozen=True, slots=True)
class AudiobookManifest:
    """`masters` has each chapter with speech by its number. `book_version` and `speech_version` are the data versions
    of the manifests that the audiobook was made from. `warnings` say what was left out."""

    partition: str
    complete: bool
    inputs: str
    title: str = ""
    sample_rate_hz: int = 0
    book_version: str = ""
    speech_version: str = ""
    formats: Sequence[str] = ()
    masters: dict[int, MasteredChapter] = field(default_factory=dict, repr=False)
    warnings: Sequence[str] = ()
    rows: Sequence[FileRow] = field(default=(), repr=False)

    @property
    def data_version(self) -> str:
        return sha256(self.to_bytes())[:32]

    @property
    def sample_count(self) -> int:
        return sum(item.sample_count for item in self.masters.values())

    @property
    def duration_sec(self) -> float:
        return self.sample_count / self.sample_rate_hz if self.sample_rate_hz else 0.0

    @property
    def limited_share(self) -> float:
        """The share of samples that the limiter changed, 0 to 1."""
        return sum(item.limited for item in self.masters.values()) / max(1, self.sample_count)

    def chapter_starts(self) -> dict[int, int]:
        """The position of each chapter in the book, samples."""
        starts: dict[int, int] = {}
        at = 0
        for number in sorted(self.masters):
            starts[number] = at
            at += self.masters[number].sample_count
        return starts

    def files(self) -> FilesByKey:
        return {row.key: (row.size_bytes, row.sha256) for row in self.rows}

    def of_format(self, name: str) -> list[FileRow]:
        return [row for row in self.rows if row.format == name]

    def to_bytes(self) -> bytes:
        metadata = {name: getattr(self, name) for name in self.__slots__ if name not in ("rows", "masters")}
        metadata["masters"] = {str(number): item.to_json() for number, item in sorted(self.masters.items())}
        return FORMAT.to_bytes(metadata, self.rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> "AudiobookManifest":
        """Raises ValueError or KeyError for what is not a manifest."""
        metadata, rows = FORMAT.from_bytes(data)
        masters = {int(number): MasteredChapter.from_json(item) for number, item in metadata.pop("masters").items()}
        return cls(**metadata, masters=dict(sorted(masters.items())), rows=rows)


FORMAT = ManifestFormat(FileRow, "audiobook_manifest", SCHEMA_VERSION)


def read_audiobook_manifest(store: Store, book: BookKey) -> AudiobookManifest | None:
    """The manifest of a book, complete or not; None where there is none or it is damaged. Raises `NewerStateError`."""
    return load_stored_manifest(
        store, manifest_key(STAGE, book), lambda store, _, data: parse_audiobook_manifest(store, book, data)
    )


def parse_audiobook_manifest(store: Store, book: BookKey, data: bytes) -> AudiobookManifest:
    """The manifest `data` of a book. Raises `DamagedStateError` and `NewerStateError`."""
    return FORMAT.parse(store, manifest_key(STAGE, book), data, str(book), AudiobookManifest.from_bytes)
