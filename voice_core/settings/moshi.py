"""Settings of Moshi dialogues: scripts, voices, levels, timing, word times, evaluation split."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from voice_core.settings.base import SettingsGroup, as_url


class MoshiSettings(SettingsGroup):
    """Stereo dialogues for Moshi fine-tuning: left is the assistant, right is the user."""

    name: str = Field(
        "dialogues", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="Name of the dataset under moshi/."
    )
    scripts_url: str = Field(
        "", description="Folder of dialogue files, *.jsonl: file://, s3://, gs:// or a folder; none if empty."
    )
    batch_dialogues: int = Field(200, ge=1, description="Dialogues in a batch, which is one partition.")
    assistant_voice: str = Field(
        "heart", min_length=1, description="Voice of the assistant in turns that name none: a name or a recording."
    )
    user_voice: str = Field(
        "heart-low", min_length=1, description="Voice of the user in turns that name none: a name or a recording."
    )
    language: str = Field("en", description="BCP-47 code of the scripts' language.")
    assistant_level_dbfs: float = Field(
        -23.0, ge=-60, le=-6, description="Target level of the assistant's voice, RMS over speech in dBFS."
    )
    user_level_dbfs: float = Field(
        -23.0, ge=-60, le=-6, description="Target level of the user's voice, RMS over speech in dBFS."
    )
    level_text: str = Field(
        "",
        description="Text that each voice speaks once to measure its level, one sentence per line; a built-in text in "
        "English or Chinese if empty.",
    )
    peak_limit_dbfs: float = Field(
        -1.0, ge=-30, le=-0.1, description="Highest peak, dBFS; an utterance that would exceed it is amplified less."
    )
    gap_median_sec: float = Field(0.2, gt=0, le=10, description="Median silence between turns, seconds.")
    gap_spread: float = Field(
        0.6,
        ge=0,
        le=3,
        description="Standard deviation of the logarithm of that silence; with 0 it is always the median.",
    )
    gap_min_sec: float = Field(0.04, ge=0, description="Shortest silence drawn, seconds.")
    gap_max_sec: float = Field(2.0, gt=0, description="Longest silence drawn, seconds.")
    overlap_probability: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of speaker changes that overlap, if the script does not specify it (0 to 1).",
    )
    overlap_max_sec: float = Field(0.4, ge=0, description="Longest overlap drawn, seconds.")
    legacy_io: bool = Field(False, description="Start both channels at 0, as the first Moshi builder does.")
    aligner: Literal["auto", "pocketsphinx", "ctc", "approximate"] = Field(
        "auto", description="Aligner for the times of words; auto: the best available one for the language."
    )
    ctc_model: str = Field(
        "", description="CTC model with letters (such as Wav2Vec2ForCTC) for other languages: a folder, or a hub id."
    )
    ctc_revision: str = Field("main", description="Commit or branch of that model on the hub.")
    recogniser: str = Field(
        "auto",
        description="Recogniser that checks speech against its text: pocketsphinx (English), the folder of a model of "
        "faster-whisper or transformers, or none; auto: pocketsphinx for English, else none.",
    )
    recogniser_turns: int = Field(8, ge=1, description="Number of utterances per batch that are recognised.")
    recogniser_max_wer: float = Field(
        0.4,
        ge=0,
        description="Highest word error rate over the recognised utterances of a batch; above it a check fails.",
    )
    eval_fraction: float = Field(0.02, ge=0, le=0.5, description="Share of dialogues held out for evaluation.")
    eval_min_rows: int = Field(
        8, ge=0, description="Fewest dialogues held out; the trainer needs at least one per process."
    )
    eval_min_sec: float = Field(100.0, ge=0, description="Least audio held out, seconds.")
    seed: int = Field(0, ge=0, description="Seed of gaps, of voices, and of the choice of dialogues that are held out.")

    @field_validator("scripts_url")
    @classmethod
    def _as_url(cls, value: str) -> str:
        return as_url(value) if value else value

    @model_validator(mode="after")
    def _ordered(self) -> "MoshiSettings":
        if not self.gap_min_sec <= self.gap_median_sec <= self.gap_max_sec:
            raise ValueError("moshi.gap_median_sec must be between moshi.gap_min_sec and moshi.gap_max_sec")
        return self
