"""The settings of the validation, `validation_config.yaml`."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic import ConfigDict, Field, ValidationError

from voice_core.settings import ConfigurationError, SettingsGroup


class _Group(SettingsGroup):
    model_config = ConfigDict(strict=True)


class Tier1Limits(_Group):
    """The limits of what is measured of every take. A take outside of them fails the test of that name."""

    fastest_pace: float = Field(1.9, gt=1, description="Most speech in a time, as a multiple of the usual pace.")
    slowest_pace: float = Field(0.45, gt=0, lt=1, description="Least speech in a time, as a multiple of the usual one.")
    slack_sec: float = Field(0.35, ge=0, description="Length by which any speech may differ, seconds.")
    pause_sec: float = Field(1.2, gt=0, description="Longest silence at punctuation, seconds.")
    gap_sec: float = Field(0.36, gt=0, description="Longest silence where the text has no punctuation, seconds.")
    outer_silence_sec: float = Field(2.0, gt=0, description="Longest silence at the beginning or the end, seconds.")
    hole_ms: float = Field(30.0, gt=0, description="Shortest silence with an abrupt beginning that counts, ms.")
    clipped_share: float = Field(0.000005, ge=0, lt=1, description="Largest share of samples in flat peaks (0 to 1).")
    loudest_dbfs: float = Field(-6.0, le=0, description="Highest level of the speech, RMS in dBFS.")
    softest_dbfs: float = Field(-50.0, le=0, description="Lowest level of the speech, RMS in dBFS.")
    edge_below_db: float = Field(45.0, gt=0, description="How far the ends must be below the level of the speech, dB.")
    edge_silence_sec: float = Field(0.1, ge=0, description="Least silence before and after the speech, seconds.")
    repeat_db: float = Field(
        3.0, ge=0, description="Two stretches whose mel spectra differ by less than this are the same words, dB."
    )


class Tier1Config(_Group):
    """Measures of every take."""

    enabled: bool = Field(True, description="Measure every take.")
    limits: Tier1Limits = Tier1Limits()  # type: ignore[call-arg]


class Tier2Config(_Group):
    """Recognition of a share of the chunks."""

    enabled: bool = Field(False, description="Recognise a share of the chunks and compare the words by sound.")
    whisper_model: str = Field(
        "tiny", min_length=1, description="Model: its folder, pocketsphinx, or a folder's name in models_folder."
    )
    whisper_sample_rate: float = Field(
        0.02, ge=0, le=1, description="Share of the chunks that are recognised (0 to 1)."
    )
    models_folder: str = Field("", description="Folder that has the folders of models named in whisper_model.")
    larger_model: str = Field("", description="Model that recognises failed chunks again; none if empty.")
    least_log_ratio: float = Field(
        3.5,
        ge=0,
        description="A wrong word counts where a model of faster-whisper finds the text at least this much less likely "
        "than what it heard (natural logarithm of the ratio); 0 counts nearly all.",
    )
    max_word_errors: float = Field(
        0.05, ge=0, description="Largest share of wrong words, by sound, with other recognisers."
    )
    allowed_errors: int = Field(
        1, ge=0, description="Wrong words allowed in any chunk of five words or more, with other recognisers."
    )


class ValidationConfig(_Group):
    """All settings of the validation."""

    tier1: Tier1Config = Tier1Config()  # type: ignore[call-arg]
    tier2: Tier2Config = Tier2Config()  # type: ignore[call-arg]
    mos_predictor: str = Field("", description="Predictor of the mean opinion score of each take; none if empty.")
    max_retries: int = Field(2, ge=0, le=20, description="How many more takes of a chunk are spoken that fails.")


DEFAULTS = ValidationConfig()  # type: ignore[call-arg]


def read_validation_config(path: str) -> ValidationConfig:
    """The settings in a YAML file; the defaults for "". Relative folders in it are relative to the file.

    Raises ConfigurationError, which names the file and each key that is wrong.
    """
    if not path:
        return DEFAULTS
    file = Path(path).expanduser()
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"audiobook.validation: {file} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"audiobook.validation: {file} is not YAML: {error}") from None
    if content is None:
        return DEFAULTS
    if not isinstance(content, dict):
        raise ConfigurationError(f"audiobook.validation: {file} must have keys such as tier1 and tier2")
    try:
        config = ValidationConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(f"audiobook.validation: {file}: {_describe(error, content)}") from None
    tier2 = config.tier2
    paths = {name: _beside(file, getattr(tier2, name)) for name in ("whisper_model", "models_folder", "larger_model")}
    return config.model_copy(update={"tier2": tier2.model_copy(update=paths)})


def _beside(file: Path, value: str) -> str:
    """A relative path that exists beside the file, or else the value."""
    there = file.parent / Path(value).expanduser() if value else file
    return str(there) if value and there.is_dir() else value


def _describe(error: ValidationError, content: dict[Any, Any]) -> str:
    """Each key that is wrong, why, and the keys that there are where it is unknown."""
    problems = []
    for item in error.errors(include_url=False, include_input=False):
        groups = item["loc"][:-1]
        key = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            model: Any = DEFAULTS
            for group in groups:
                model = getattr(model, str(group))
            problems.append(f"{key} is unknown; there are {', '.join(type(model).model_fields)}")
        else:
            problems.append(f"{key}: {item['msg'][:1].lower()}{item['msg'][1:]}")
    return "; ".join(problems)
