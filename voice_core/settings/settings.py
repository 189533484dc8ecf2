"""The class `Settings`: all groups, and the settings outside of groups."""

import os
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from voice_core.layout import slug
from voice_core.redaction import register_secrets
from voice_core.settings.audiobook import AudiobookSettings
from voice_core.settings.automation import AutomationSettings
from voice_core.settings.base import ENV_PREFIX, as_url
from voice_core.settings.codecs import NeuCodecSettings
from voice_core.settings.corpus import (
    AudioSettings,
    BatchSettings,
    CardSettings,
    CutSettings,
    RuleSettings,
    SplitSettings,
)
from voice_core.settings.loading import (
    ConfigurationError,
    config_file,
    describe_unreadable_config,
    describe_validation_error,
    warn_of_unknown_variables,
)
from voice_core.settings.moshi import MoshiSettings
from voice_core.settings.speech import IndexTTS2Settings, SpeechSettings
from voice_core.settings.stores import GcsSettings, HubSettings, S3Settings
from voice_core.settings.url_overlap import describe_overlap

BATCH_MODE_VARIABLE = "AUDIOBOOK_BATCH_MODE"
"""Set by programs that start a process for each of several books; it has no prefix since they know it by this name."""
StepName = Literal["ingest", "encode", "write", "speak"]


class Settings(BaseSettings):
    """The configuration of one voice dataset."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )

    raw_url: str = Field(
        "demo/raw", description="The raw bucket, which is only read: file://, s3://, gs:// or a folder."
    )
    work_url: str = Field("demo/work", description="The work root, for all results: file://, s3://, gs:// or a folder.")
    dataset: str = Field(
        "voice", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="Name of the dataset under datasets/."
    )
    codec: str = Field(
        "melvq", description="Codec of coded_segments: neucodec, melvq (embedded stand-in) or none (no codes)."
    )
    codec_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of a codec without its own group, such as one of another package. JSON object.",
    )
    raw_pattern: str = Field(
        "{channel}/{audio_id}",
        description="Key of a recording in the raw bucket, without its extension; its transcript is in the same "
        "folder.",
    )
    channels: tuple[str, ...] = Field((), description="Channel folders to read; all if empty. JSON list.")
    channel_mapping: dict[str, str] = Field(
        default_factory=dict, description="Folder in the raw bucket → display name of the channel. JSON object."
    )
    audio_extensions: tuple[str, ...] = Field(
        (".mp3", ".m4a", ".mp4", ".aac", ".opus", ".ogg", ".oga", ".webm", ".mka", ".flac", ".wav", ".aif", ".aiff"),
        description="Extensions of recordings, lower case. If two files have the same id, the first listed one is "
        "used.",
    )
    max_transcript_mb: float = Field(
        32.0, gt=0, description="Largest transcript that is read, MB; a larger one is rejected."
    )
    follow_symlinks: bool = Field(
        False,
        description="Follow symbolic links that lead out of the folder of recordings, of scripts or of `voice adopt`.",
    )
    local_gb: float = Field(
        24.0,
        gt=0,
        description="Local disk space for copies of remote objects, GB; larger work is done in parts.",
    )
    local_dir: str = Field("", description="Folder for these copies; one in the system's temporary folder if empty.")
    requests_in_flight: int = Field(32, ge=1, le=512, description="Concurrent requests to remote stores per process.")
    workers: int = Field(0, ge=0, le=256, description="CPU processes that cut and measure; 0: one per core.")
    steps: tuple[StepName, ...] = Field(
        (),
        description="Steps that the code location of this machine runs: ingest, encode, write, speak; its default if "
        "empty.",
    )
    gpu_profiles: str = Field(
        "", description="File of the GPU pools: limits, batch sizes, precisions; the packaged one if empty."
    )
    gpu_lock_dir: str = Field(
        "", description="Folder of the locks with which the processes of a host share its GPUs; one in /tmp if empty."
    )

    batch: BatchSettings = BatchSettings()  # type: ignore[call-arg]
    audio: AudioSettings = AudioSettings()  # type: ignore[call-arg]
    cut: CutSettings = CutSettings()  # type: ignore[call-arg]
    roundtrip_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of segments that are decoded after encoding, to measure the round trip (0 to 1).",
    )

    guard_share: float = Field(
        0.0005,
        ge=0,
        le=1,
        description="Share of segments that the codec's plain path also encodes, to compare (0 to 1); in bf16 and fp16 "
        "one per batch.",
    )

    rules: RuleSettings = RuleSettings()  # type: ignore[call-arg]
    split: SplitSettings = SplitSettings()  # type: ignore[call-arg]
    card: CardSettings = CardSettings()  # type: ignore[call-arg]

    s3: S3Settings = S3Settings()  # type: ignore[call-arg]
    gcs: GcsSettings = GcsSettings()  # type: ignore[call-arg]
    hub: HubSettings = HubSettings()  # type: ignore[call-arg]
    neucodec: NeuCodecSettings = NeuCodecSettings()  # type: ignore[call-arg]
    speech: SpeechSettings = SpeechSettings()  # type: ignore[call-arg]
    indextts2: IndexTTS2Settings = IndexTTS2Settings()  # type: ignore[call-arg]
    moshi: MoshiSettings = MoshiSettings()  # type: ignore[call-arg]
    audiobook: AudiobookSettings = AudiobookSettings()  # type: ignore[call-arg]
    automation: AutomationSettings = AutomationSettings()  # type: ignore[call-arg]

    @field_validator("raw_url", "work_url")
    @classmethod
    def _as_url(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return as_url(value)

    @field_validator("work_url")
    @classmethod
    def _check_work_apart_from_raw(cls, value: str, info: ValidationInfo) -> str:
        if how := describe_overlap(info.data.get("raw_url", ""), value):
            raise ValueError(f"raw_url {how} it: results would be read as recordings; choose separate folders")
        return value

    @field_validator("moshi")
    @classmethod
    def _check_scripts_apart(cls, value: MoshiSettings, info: ValidationInfo) -> MoshiSettings:
        if value.scripts_url and (how := describe_overlap(value.scripts_url, info.data.get("work_url", ""))):
            raise ValueError(f"scripts_url {how} the work_url: choose separate folders")
        return value

    @field_validator("audiobook")
    @classmethod
    def _check_books_apart(cls, value: AudiobookSettings, info: ValidationInfo) -> AudiobookSettings:
        if value.books_url and (how := describe_overlap(value.books_url, info.data.get("work_url", ""))):
            raise ValueError(f"books_url {how} the work_url: choose separate folders")
        return value

    @field_validator("raw_pattern")
    @classmethod
    def _check_raw_pattern(cls, value: str) -> str:
        if value.count("{channel}") != 1 or value.count("{audio_id}") != 1:
            raise ValueError("must contain {channel} and {audio_id} exactly once each")
        return value

    @model_validator(mode="after")
    def _fill_shared_fields(self) -> "Settings":
        """Copy settings of the machine to the codec and the engine, which are created from their own group."""
        wanted = {"neucodec": ("gpu_profiles", "gpu_lock_dir"), "indextts2": ("gpu_lock_dir", "local_dir")}
        for name, fields in wanted.items():
            group = getattr(self, name)
            given = {field: getattr(group, field) or getattr(self, field) for field in fields}
            object.__setattr__(self, name, group.model_copy(update=given))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())

    @classmethod
    def load(cls, **overrides: Any) -> "Settings":
        """Read the settings. Raises `ConfigurationError` with one line per invalid setting."""
        if os.environ.get(ENV_PREFIX + "CONFIG") and not config_file().is_file():
            raise ConfigurationError(f"{ENV_PREFIX}CONFIG names a file that does not exist")
        warn_of_unknown_variables(cls)
        if os.environ.get(BATCH_MODE_VARIABLE):
            overrides["audiobook"] = {"batch_mode": True, **dict(overrides.get("audiobook") or {})}
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError(describe_validation_error(error, cls)) from None
        except ValueError as error:  # malformed TOML, or JSON in an environment variable
            raise ConfigurationError(describe_unreadable_config(error)) from None
        s3 = settings.s3
        register_secrets(
            *(item.get_secret_value() for item in (s3.access_key_id, s3.secret_access_key, s3.session_token))
        )
        return settings

    def display_name(self, channel_slug: str) -> str:
        """The display name of a channel, from the slug in its partition keys.

        >>> Settings(channel_mapping={"Atheer_-": "Atheer - أثير"}).display_name("Atheer_-")
        'Atheer - أثير'
        >>> Settings().display_name("News%2C World")
        'News, World'
        """
        names = {slug(folder): name for folder, name in self.channel_mapping.items()}
        return names.get(channel_slug) or unquote(channel_slug)
