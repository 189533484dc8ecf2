"""Every setting, typed and documented in one place.

A value comes from, in this order: an argument, an environment variable (`VOICE_RAW_URL`,
`VOICE_RULES__MIN_SNR_DB`: two underscores reach into a group), the file `voice.toml` (or the one that
`VOICE_CONFIG` names), the default below. `voice settings` prints them all with their source and meaning.
"""

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from voice_core.layout import slug

ENV_PREFIX = "VOICE_"


def as_url(value: str) -> str:
    """A folder's path as a URL; a URL as it is."""
    return value if "://" in value else Path(value).expanduser().resolve().as_uri()


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BatchSettings(Group):
    """How recordings are grouped into batches. A batch is one partition; a full one is sealed for good."""

    max_recordings: int = Field(200, ge=1, description="Recordings in a batch before it is sealed.")
    max_hours: float = Field(20.0, gt=0, description="Hours of audio in a batch before it is sealed.")


class CutSettings(Group):
    """How a line is cut from its recording. A change here decodes recordings again."""

    sample_rate_hz: int = Field(24_000, ge=8_000, le=48_000, description="Sample rate of segments, Hz.")
    snap_reach_sec: float = Field(
        0.15, ge=0, le=1, description="How far a boundary may move from the transcript's time to a quieter place."
    )
    fade_sec: float = Field(0.005, ge=0, le=0.05, description="Linear fade at each end of a segment.")
    max_overlap_sec: float = Field(
        0.25,
        ge=0,
        description="Lines whose times overlap by more than this are rejected; less is parted at the quietest place.",
    )
    max_cut_sec: float = Field(
        60.0, gt=0, le=600, description="Lines longer than this are never cut: it bounds memory and storage."
    )
    min_cut_sec: float = Field(0.1, gt=0, description="Lines shorter than this are never cut.")


class RuleSettings(Group):
    """Which cut segments are kept. A change here only filters again: nothing is decoded."""

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
        4_000.0, ge=0, description="Lowest effective bandwidth kept, Hz; telephone speech ends near 3,400."
    )
    min_chars_per_sec: float = Field(2.0, ge=0, description="Slowest text, characters without spaces a second.")
    max_chars_per_sec: float = Field(30.0, gt=0, description="Fastest text, characters without spaces a second.")

    @model_validator(mode="after")
    def _ordered(self) -> "RuleSettings":
        if self.min_duration_sec >= self.max_duration_sec:
            raise ValueError("rules.min_duration_sec must lie below rules.max_duration_sec")
        if self.min_chars_per_sec >= self.max_chars_per_sec:
            raise ValueError("rules.min_chars_per_sec must lie below rules.max_chars_per_sec")
        return self


class SplitSettings(Group):
    """How rows are dealt to train and test."""

    test_fraction: float = Field(0.05, ge=0, lt=1, description="Share of recording groups held out for the test split.")
    seed: str = Field("voice", description="Changes which groups are held out.")
    speaker_scope: Literal["recording", "channel", "corpus"] = Field(
        "recording",
        description="Where a speaker_id means one person: within its recording (diarisation labels such as "
        "SPEAKER_00), within a channel, or everywhere. Recordings that share a person share a split.",
    )


class CardSettings(Group):
    """What the dataset card says that only you can know."""

    title: str = Field("", description="Title of the card; the dataset's name when empty.")
    licence: str = Field("other", description="Licence identifier for the card's YAML, for example cc-by-4.0.")
    languages: tuple[str, ...] = Field((), description="BCP-47 language codes of the speech.")
    sources: str = Field("", description="Where the recordings come from and what their owners allow.")


def _http_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]


class S3Settings(Group):
    """Where s3:// URLs lead. What is empty comes from the usual AWS_* variables and ~/.aws files."""

    endpoint_url: HttpUrl = Field(
        "", description="Address of an S3 server that is not AWS, such as https://nas.local:9021."
    )
    region: str = Field("", description="Region of the bucket; us-east-1 where nothing names one.")
    profile: str = Field("", description="Profile of ~/.aws/config and ~/.aws/credentials.")
    access_key_id: str = Field("", description="Access key; better left to the environment or a profile.")
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key; never printed.")
    session_token: SecretStr = Field(SecretStr(""), description="Token of temporary credentials; never printed.")
    ca_bundle: str = Field("", description="PEM file of the authority that signed the server's certificate.")


class GcsSettings(Group):
    """Where gs:// URLs lead. What is empty comes from Google's application default credentials."""

    project: str = Field("", description="Google Cloud project; the credentials' own when empty.")
    credentials_file: str = Field("", description="Service account key file, JSON.")
    endpoint_url: HttpUrl = Field("", description="Address of an emulator; without credentials then.")


class HubSettings(Group):
    """Where the dataset is published. The token comes from HF_TOKEN or `hf auth login`, the server from HF_ENDPOINT."""

    repo_id: str = Field(
        "", description="Dataset repository, such as my-team/my-voices; nothing is published if empty."
    )
    revision: str = Field("main", description="Branch that the dataset is committed to.")
    private: bool = Field(True, description="Whether a repository that is made is private.")


Precision = Literal["fp32", "tf32", "bf16", "fp16"]


class NeuCodecSettings(Group):
    """The codec neucodec: where its weights are, and how it runs. What is empty or 0 comes from the pool's GPU profile;
    without a pool it is fp32, and 240 s at once on a GPU, 120 s on a CPU."""

    checkpoint: str = Field("neuphonic/neucodec", description="Hub id of the weights, or a folder that holds them.")
    revision: str = Field(
        "main", description="Commit of the hub's repository. A branch stays at the commit that was first fetched."
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda (any free GPU) or cuda:N."
    )
    pool: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_]*$",
        description="Dagster pool of the encoding step, gpu_t4 or gpu_h200; none if empty.",
    )
    precision: Precision | Literal[""] = Field(
        "",
        description="Arithmetic; only fp32 gives the reference's codes. The others count as another revision.",
    )
    batch_sec: float = Field(0.0, ge=0, description="Audio encoded at once, seconds; halved where memory runs out.")
    compile: bool = Field(False, description="Compile both encoders with torch.compile: slow start, faster run.")


class SpeechSettings(Group):
    """The engine that speaks what is written."""

    engine: str = Field("hibari", description="Speech engine: hibari (embedded, English), noise or indextts2.")
    pool: str = Field(
        "", pattern=r"^[A-Za-z0-9_]*$", description="Dagster pool of the speaking step, gpu_t4 or gpu_h200; or none."
    )


class IndexTTS2Settings(Group):
    """The speech engine indextts2: its package's constructor, its voices, and how it generates."""

    model_dir: str = Field("checkpoints", description="Folder of the weights.")
    cfg_path: str = Field("", description="Its configuration; config.yaml in that folder when empty.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|mps|xpu|cuda(:\d+)?)$", description="auto, cpu, cuda (any free GPU), cuda:N, mps."
    )
    use_fp16: bool = Field(False, description="Half precision on a GPU: half the memory.")
    use_cuda_kernel: bool | None = Field(
        None, description="The vocoder's own CUDA kernel, compiled at first use; by the device when not given."
    )
    use_deepspeed: bool = Field(False, description="Generate with DeepSpeed, where it is installed.")
    use_accel: bool = Field(False, description="Generate with the package's acceleration engine (flash-attn).")
    use_torch_compile: bool = Field(False, description="Compile the mel decoder with torch.compile.")
    use_qwen_emo: bool = Field(True, description="Load the model that reads an emotion from its description.")
    aux_paths: dict[str, str] = Field(
        default_factory=dict,
        description="Where its helpers' weights lie: w2v_bert, semantic_codec, campplus, bigvgan. JSON object.",
    )
    voices: dict[str, str] = Field(
        default_factory=dict,
        description="Name of a voice → its recording, of which 15 s are used. The first is the default. JSON object.",
    )
    languages: tuple[str, ...] = Field(("zh", "en"), description="What the weights speak, BCP-47; empty: anything.")
    emo_alpha: float = Field(1.0, ge=0, le=1, description="How much of an emotion, where an utterance has one.")
    use_random: bool = Field(False, description="Take an emotion from a random speaker, not from the most alike.")
    interval_silence: int = Field(200, ge=0, description="Silence between the parts of a long text, ms.")
    max_text_tokens_per_segment: int = Field(120, ge=1, description="Longest part of a text said at once, tokens.")
    more_segment_before: int = Field(0, ge=0, description="Tokens of the first part when streaming: sooner heard.")
    verbose: bool = Field(False, description="Let the package tell more, into the log.")
    generation: dict[str, float | int | bool] = Field(
        default_factory=dict,
        description="Other arguments of its generation, such as num_beams, top_p, temperature. JSON object.",
    )


Step = Literal["ingest", "encode", "write", "speak"]


class MoshiSettings(Group):
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


class AutomationSettings(Group):
    """What the Dagster daemon does by itself."""

    enabled: bool = Field(
        False, description="Whether sensors and schedules run from the start; else they are switched on in the UI."
    )
    sensor_interval_sec: int = Field(60, ge=5, description="How often the raw bucket is looked at, seconds.")
    max_runs_per_tick: int = Field(20, ge=1, description="Most runs that a tick of a sensor asks for.")
    partitions_per_run: int = Field(10, ge=1, description="Most batches that one run works on, one after another.")
    nightly: str = Field("0 3 * * *", description="When the dataset is brought up to date whatever happened, cron.")
    weekly_audit: str = Field("0 5 * * 0", description="When every committed file is read and its checksum compared.")
    timezone: str = Field("UTC", description="Time zone of these two.")
    fresh_within_hours: float = Field(36.0, gt=0, description="A dataset that is older counts as overdue in the UI.")


class ConfigurationError(ValueError):
    """The settings are wrong; the message names each setting, its value and what is allowed."""


class Settings(BaseSettings):
    """The configuration of one voice dataset."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", validate_default=True
    )

    raw_url: str = Field("demo/raw", description="The raw bucket, only ever read: file://, s3://, gs:// or a folder.")
    work_url: str = Field(
        "demo/work", description="Where everything that is made lies: file://, s3://, gs:// or a folder."
    )
    dataset: str = Field(
        "voice", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="Name of the dataset under datasets/."
    )
    codec: str = Field(
        "melvq", description="Codec of coded_segments: neucodec, melvq (embedded stand-in) or none (no codes)."
    )
    raw_pattern: str = Field(
        "{channel}/{audio_id}",
        description="Where a recording lies in the raw bucket, without its extension; its transcript lies beside it.",
    )
    channels: tuple[str, ...] = Field((), description="Channel folders to read; all when empty. JSON list.")
    channel_mapping: dict[str, str] = Field(
        default_factory=dict, description="Folder in the raw bucket → display name of the channel. JSON object."
    )
    audio_extensions: tuple[str, ...] = Field(
        (".mp3", ".m4a", ".mp4", ".aac", ".opus", ".ogg", ".oga", ".webm", ".mka", ".flac", ".wav", ".aif", ".aiff"),
        description="Extensions that are recordings, lower case. Where two files share an id the first listed wins.",
    )
    max_transcript_mb: float = Field(32.0, gt=0, description="A larger transcript is refused, not read.")
    local_gb: float = Field(
        24.0,
        gt=0,
        description="Local disk that copies of remote objects may take at a time, GB; larger work is sliced.",
    )
    local_dir: str = Field("", description="Folder for these copies; one in the system's temporary folder when empty.")
    requests_in_flight: int = Field(32, ge=1, le=512, description="Requests at once to a remote store, a process.")
    workers: int = Field(0, ge=0, le=256, description="CPU processes that cut and measure; 0: one a core.")
    steps: tuple[Step, ...] = Field(
        (),
        description="Steps that this machine's code location runs: ingest, encode, write, speak; its own if empty.",
    )
    gpu_profiles: str = Field(
        "", description="File of the GPU pools: limits, batch sizes, precisions; the packaged one when empty."
    )
    gpu_lock_dir: str = Field(
        "", description="Folder of the locks by which the processes of a host share its GPUs; in /tmp when empty."
    )

    batch: BatchSettings = BatchSettings()  # type: ignore[call-arg]
    cut: CutSettings = CutSettings()  # type: ignore[call-arg]
    roundtrip_share: float = Field(
        0.1, ge=0, le=1, description="Share of segments that are decoded again after encoding, and measured."
    )

    guard_share: float = Field(
        0.0005,
        ge=0,
        le=1,
        description="Share of segments that the codec's plain path encodes too, to compare; in bf16, fp16 one a batch.",
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
    automation: AutomationSettings = AutomationSettings()  # type: ignore[call-arg]

    @field_validator("raw_url", "work_url")
    @classmethod
    def _as_url(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return as_url(value)

    @field_validator("raw_pattern")
    @classmethod
    def _names_both(cls, value: str) -> str:
        if value.count("{channel}") != 1 or value.count("{audio_id}") != 1:
            raise ValueError("must name {channel} and {audio_id} once each")
        return value

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
    def load(cls, **overrides: object) -> "Settings":
        """Read the settings, or raise `ConfigurationError` with a line a wrong setting."""
        if os.environ.get(ENV_PREFIX + "CONFIG") and not config_file().is_file():
            raise ConfigurationError(f"{ENV_PREFIX}CONFIG names {config_file()}, and there is no such file")
        _refuse_unknown_variables(cls)
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None
        except ValueError as error:  # malformed TOML, or JSON in an environment variable
            raise ConfigurationError(f"{config_file()} or a {ENV_PREFIX}* variable cannot be read: {error}") from None

    def display_name(self, channel_slug: str) -> str:
        """A channel's name for people, by the slug that stands in its partitions' keys.

        >>> Settings(channel_mapping={"Atheer_-": "Atheer - أثير"}).display_name("Atheer_-")
        'Atheer - أثير'
        >>> Settings().display_name("News%2C World")
        'News, World'
        """
        names = {slug(folder): name for folder, name in self.channel_mapping.items()}
        return names.get(channel_slug) or unquote(channel_slug)


def config_file() -> Path:
    """The file that VOICE_CONFIG names, else ./voice.toml, else the one that `voice demo` leaves."""
    named = os.environ.get(ENV_PREFIX + "CONFIG")
    if named:
        return Path(named)
    own, demo = Path("voice.toml"), Path("demo", "voice.toml")
    return demo if demo.is_file() and not own.is_file() else own


def _refuse_unknown_variables(settings: type[BaseSettings]) -> None:
    """A misspelt variable would otherwise leave its setting at the default without a word."""
    known = {f"{ENV_PREFIX}{name}".upper() for name in (*settings.model_fields, "config")}
    for variable in sorted(os.environ):
        head = ENV_PREFIX + variable.removeprefix(ENV_PREFIX).split("__")[0]
        if variable.startswith(ENV_PREFIX) and head.upper() not in known:
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"{variable} is no setting{hint} (`voice settings` lists them)")


def _explain(error: ValidationError) -> str:
    lines = ["the settings are wrong:"]
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        variable = ENV_PREFIX + "__".join(path).upper()
        shown = f" (got {item['input']!r})" if not isinstance(item["input"], dict) else ""
        lines.append(f"  {'.'.join(path)} / {variable}: {item['msg']}{shown}")
    return "\n".join(lines)
