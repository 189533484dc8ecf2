"""Settings of audiobooks: books, text, voices, validation, mastering, output."""

from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from voice_core.settings.base import SettingsGroup, as_url

Treatment = Literal["speak", "skip", "move"]
OutputFormat = Literal["m4b", "flac", "opus", "mp3", "acx", "srt", "vtt", "epub", "audiobookshelf", "recording"]


class AudiobookSettings(SettingsGroup):
    """Books to mastered audiobooks."""

    books_url: str = Field(
        "",
        description="Folder of books, *.epub, *.txt, *.md, *.html: file://, s3://, gs:// or a folder; none if empty.",
    )
    language: str = Field("", description="BCP-47 code of the language; what the book says, or English, if empty.")
    # What is spoken.
    notes: Treatment = Field(
        "skip", description="Footnotes and endnotes: speak where they are, skip, or move to the chapter's end."
    )
    tables: Literal["speak", "skip"] = Field("skip", description="Tables: speak row by row, or skip.")
    code: Literal["speak", "skip"] = Field("skip", description="Listings of programs: speak or skip.")
    front_matter: Literal["speak", "skip"] = Field(
        "skip", description="Title page, copyright, dedication and the like: speak or skip."
    )
    back_matter: Literal["speak", "skip"] = Field(
        "skip", description="Index, bibliography and the like: speak or skip."
    )
    captions: Literal["speak", "skip"] = Field("speak", description="Captions of pictures: speak or skip.")
    chapter_titles: bool = Field(True, description="Speak the title of a chapter whose text does not have it.")
    # Chunks and text.
    max_characters: int = Field(0, ge=0, description="Longest chunk, characters; 0: the engine's limit.")
    join_characters: int = Field(
        40, ge=0, description="A sentence below this many characters is spoken together with the next one."
    )
    lexicon: str = Field("", description="File of pronunciations: TOML, or W3C's PLS (*.pls); none if empty.")
    # Speech.
    voice: str = Field("default", min_length=1, description="Voice of the narrator: a name or a recording.")
    voices: dict[str, str] = Field(
        default_factory=dict, description="Voice of each name in lines `[Name]: …`. JSON object."
    )
    seed: int = Field(0, ge=0, description="Seed of the speech and of the choice of chunks that are recognised.")
    validation: str = Field(
        "", description="File of the validation's settings, validation_config.yaml; its defaults if empty."
    )
    aligner: Literal["auto", "pocketsphinx", "ctc", "approximate"] = Field(
        "approximate", description="Aligner for the times of words; auto: the best available one for the language."
    )
    batch_mode: bool = Field(
        False,
        description="Speak with one engine, since other books are spoken at the same time. Also set by a non-empty "
        "AUDIOBOOK_BATCH_MODE.",
    )
    # Mastering.
    level_dbfs: float = Field(-20.0, ge=-40, le=-10, description="Level of each voice, RMS over speech in dBFS.")
    peak_limit_dbfs: float = Field(-3.5, ge=-20, le=-0.1, description="Limit of the limiter, dBFS.")
    pause_clause_sec: float = Field(0.15, ge=0, le=10, description="Silence inside a sentence that was split, seconds.")
    pause_sentence_sec: float = Field(0.35, ge=0, le=10, description="Silence after a sentence, seconds.")
    pause_paragraph_sec: float = Field(0.7, ge=0, le=10, description="Silence after a paragraph, seconds.")
    pause_heading_sec: float = Field(1.2, ge=0, le=10, description="Silence after a heading, seconds.")
    pause_scene_sec: float = Field(1.8, ge=0, le=10, description="Silence at a change of scene, seconds.")
    chapter_head_sec: float = Field(0.75, ge=0, le=10, description="Silence before a chapter, seconds.")
    chapter_tail_sec: float = Field(2.0, ge=0, le=10, description="Silence after a chapter, seconds.")
    # Output.
    formats: tuple[OutputFormat, ...] = Field(
        ("m4b", "vtt", "epub"),
        description="What is written: m4b; per chapter flac, opus, mp3, acx (ACX's MP3), srt, vtt; epub (EPUB 3 with "
        "media overlays); audiobookshelf (a folder for it); recording (for `voice build`). JSON list.",
    )
    aac_kbps: int = Field(64, ge=16, le=320, description="Bit rate of the m4b, kbit/s.")
    narrator: str = Field("", description="Narrator in the tags; the voice's name if empty.")

    @field_validator("books_url")
    @classmethod
    def _as_url(cls, value: str) -> str:
        return as_url(value) if value else value

    @field_validator("lexicon")
    @classmethod
    def _known_lexicon(cls, value: str) -> str:
        if value and PurePosixPath(value).suffix.lower() not in (".toml", ".pls", ".xml"):
            raise ValueError("must be a .toml or .pls file")
        return value
