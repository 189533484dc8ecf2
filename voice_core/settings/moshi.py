"""The dialogues: scripts, voices, levels, timing, words, what is held out."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from voice_core.settings.base import SettingsGroup, as_url


class MoshiSettings(SettingsGroup):
    """Stereo dialogues for Moshi fine-tuning: left is the assistant, right is the user."""

    name: str = Field(
        "dialogues", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="Name of the data set under moshi/."
    )
    scripts_url: str = Field(
        "", description="Folder of dialogue files, *.jsonl: file://, s3://, gs:// or a folder; none when empty."
    )
    batch_dialogues: int = Field(200, ge=1, description="Dialogues in a batch, which is one partition.")
    assistant_voice: str = Field(
        "heart", min_length=1, description="Voice of the assistant where a turn names none: a name or a recording."
    )
    user_voice: str = Field(
        "heart-low", min_length=1, description="Voice of the user where a turn names none, likewise."
    )
    language: str = Field("en", description="BCP-47 code of the scripts' language.")
    assistant_level_dbfs: float = Field(
        -23.0, ge=-60, le=-6, description="Level that the assistant's voice is brought to, RMS over speech in dBFS."
    )
    user_level_dbfs: float = Field(
        -23.0, ge=-60, le=-6, description="Level that the user's voice is brought to, RMS over speech in dBFS."
    )
    level_text: str = Field(
        "",
        description="What a voice says, once, to have its level measured, a sentence a line; our own in English or "
        "Chinese when empty.",
    )
    peak_limit_dbfs: float = Field(
        -1.0, ge=-30, le=-0.1, description="No sample is louder; an utterance that would be is kept quieter."
    )
    gap_median_sec: float = Field(0.2, gt=0, le=10, description="Median silence between turns, seconds.")
    gap_spread: float = Field(
        0.6, ge=0, le=3, description="Standard deviation of the logarithm of that silence; 0: always the median."
    )
    gap_min_sec: float = Field(0.04, ge=0, description="Shortest silence drawn, seconds.")
    gap_max_sec: float = Field(2.0, gt=0, description="Longest silence drawn, seconds.")
    overlap_probability: float = Field(
        0.0, ge=0, le=1, description="Share of changes of speaker that overlap where the script says nothing (0 to 1)."
    )
    overlap_max_sec: float = Field(0.4, ge=0, description="Longest overlap drawn, seconds.")
    legacy_io: bool = Field(False, description="Both channels begin at 0, as in the first Moshi builder.")
    aligner: Literal["auto", "pocketsphinx", "ctc", "approximate"] = Field(
        "auto", description="What finds the words' times; auto: the best there is for the language."
    )
    ctc_model: str = Field(
        "", description="Model of letters (Wav2Vec2ForCTC or alike) for other languages: a folder, or a hub id."
    )
    ctc_revision: str = Field("main", description="Commit or branch of that model at the hub.")
    recogniser: str = Field(
        "auto",
        description="What listens whether speech says its text: pocketsphinx (English), the folder of a recogniser of "
        "faster-whisper or transformers, or none; auto: pocketsphinx where that can.",
    )
    recogniser_turns: int = Field(8, ge=1, description="Utterances of a batch that it listens to.")
    recogniser_max_wer: float = Field(
        0.4, ge=0, description="Most word errors, of the words of all that it listened to, before a check complains."
    )
    eval_fraction: float = Field(0.02, ge=0, le=0.5, description="Share of dialogues held out for evaluation.")
    eval_min_rows: int = Field(8, ge=0, description="Fewest dialogues held out: one a process of the trainer at least.")
    eval_min_sec: float = Field(100.0, ge=0, description="Least audio held out, seconds.")
    seed: int = Field(0, ge=0, description="Changes gaps, voices' seeds and which dialogues are held out.")

    @field_validator("scripts_url")
    @classmethod
    def _as_url(cls, value: str) -> str:
        return as_url(value) if value else value

    @model_validator(mode="after")
    def _ordered(self) -> "MoshiSettings":
        if not self.gap_min_sec <= self.gap_median_sec <= self.gap_max_sec:
            raise ValueError("moshi.gap_median_sec must lie between moshi.gap_min_sec and moshi.gap_max_sec")
        return self
