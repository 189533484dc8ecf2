"""Settings of the voice dataset: batches, audio limits, cutting, rules, splits, the card."""

from typing import Literal

from pydantic import Field, model_validator

from voice_core.settings.base import SettingsGroup


class BatchSettings(SettingsGroup):
    """How recordings are grouped into batches. A batch is one partition; a full batch is sealed."""

    max_recordings: int = Field(200, ge=1, description="Recordings in a batch before it is sealed.")
    max_hours: float = Field(20.0, gt=0, description="Hours of audio in a batch before it is sealed.")


class AudioSettings(SettingsGroup):
    """Limits of recordings. A recording outside of them is rejected, by its header if possible.

    After a change all recordings are checked again; those that a changed limit may affect are decoded again.
    """

    min_sample_rate_hz: int = Field(4_000, ge=100, description="Lowest sample rate of a recording, Hz.")
    max_sample_rate_hz: int = Field(384_000, le=768_000, description="Highest sample rate of a recording, Hz.")
    max_channels: int = Field(32, ge=1, le=64, description="Highest number of channels of a recording.")
    max_streams: int = Field(
        8,
        ge=1,
        le=1_000,
        description="Highest number of streams that are read in a file (audio, video, subtitles).",
    )
    max_hours: float = Field(24.0, gt=0, le=1_000, description="Longest recording, hours.")
    min_bytes_per_sec: float = Field(
        20.0,
        ge=0,
        description="Lowest file size in bytes per second of the duration in its header; 0 accepts any header.",
    )
    max_gap_sec: float = Field(
        60.0,
        ge=0,
        le=3_600,
        description="Longest gap between timestamps that is filled with silence, seconds; after a longer one nothing "
        "is cut.",
    )


class CutSettings(SettingsGroup):
    """How a line is cut from its recording. After a change recordings are decoded again."""

    sample_rate_hz: int = Field(24_000, ge=8_000, le=48_000, description="Sample rate of segments, Hz.")
    snap_reach_sec: float = Field(
        0.15,
        ge=0,
        le=1,
        description="How far a boundary may move from the transcript's time to a quieter position, seconds.",
    )
    fade_sec: float = Field(0.005, ge=0, le=0.05, description="Linear fade at each end of a segment, seconds.")
    max_overlap_sec: float = Field(
        0.25,
        ge=0,
        description="Lines that overlap by more than this are rejected, seconds; a shorter overlap is split at its "
        "quietest position.",
    )
    max_cut_sec: float = Field(
        60.0, gt=0, le=600, description="Longer lines are never cut, seconds: it limits memory and storage."
    )
    min_cut_sec: float = Field(0.1, gt=0, description="Shorter lines are never cut, seconds.")


class RuleSettings(SettingsGroup):
    """Which segments are kept. A change only filters again: nothing is decoded."""

    min_duration_sec: float = Field(0.5, ge=0, description="Shortest segment kept, seconds.")
    max_duration_sec: float = Field(30.0, gt=0, description="Longest segment kept, seconds.")
    max_clipped_share: float = Field(
        0.001, ge=0, le=1, description="Largest share of samples within 0.1 dB of full scale (0 to 1)."
    )
    min_rms_dbfs: float = Field(-50.0, le=0, description="Quietest segment kept, RMS in dBFS.")
    max_silence_share: float = Field(
        0.7, ge=0, le=1, description="Largest share of 20 ms frames that are silence (0 to 1)."
    )
    min_snr_db: float = Field(10.0, description="Lowest signal-to-noise ratio kept, dB (percentile estimate).")
    min_bandwidth_hz: float = Field(
        4_000.0, ge=0, description="Lowest effective bandwidth kept, Hz; that of telephone speech is about 3,400."
    )
    min_chars_per_sec: float = Field(2.0, ge=0, description="Slowest text, characters without spaces per second.")
    max_chars_per_sec: float = Field(30.0, gt=0, description="Fastest text, characters without spaces per second.")

    @model_validator(mode="after")
    def _ordered(self) -> "RuleSettings":
        if self.min_duration_sec >= self.max_duration_sec:
            raise ValueError("rules.min_duration_sec must be below rules.max_duration_sec")
        if self.min_chars_per_sec >= self.max_chars_per_sec:
            raise ValueError("rules.min_chars_per_sec must be below rules.max_chars_per_sec")
        return self


class SplitSettings(SettingsGroup):
    """How rows are assigned to train and test."""

    test_fraction: float = Field(0.05, ge=0, lt=1, description="Share of recording groups held out for the test split.")
    seed: str = Field("voice", description="Seed of the choice of the groups that are held out.")
    speaker_scope: Literal["recording", "channel", "corpus"] = Field(
        "recording",
        description="Where a speaker_id identifies one person: within its recording (diarisation labels such as "
        "SPEAKER_00), within a channel, or everywhere. Recordings with the same person are in the same split.",
    )


class CardSettings(SettingsGroup):
    """The parts of the dataset card that cannot be computed."""

    title: str = Field("", description="Title of the card; the dataset's name if empty.")
    licence: str = Field("other", description="Licence identifier for the card's YAML, for example cc-by-4.0.")
    languages: tuple[str, ...] = Field((), description="BCP-47 language codes of the speech.")
    sources: str = Field("", description="Source of the recordings, and the permission of their owners.")
