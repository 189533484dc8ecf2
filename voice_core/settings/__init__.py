"""All settings, with types, defaults and descriptions.

A value comes from, in this order: an argument, an environment variable (`VOICE_RAW_URL`,
`VOICE_RULES__MIN_SNR_DB`: two underscores separate group and setting), the file `voice.toml` (or the one that
`VOICE_CONFIG` names), the default. `voice settings` prints each with its source and description.
"""

from voice_core.settings.audiobook import AudiobookSettings
from voice_core.settings.automation import AutomationSettings
from voice_core.settings.base import ENV_PREFIX, SettingsGroup, as_url
from voice_core.settings.codecs import NeuCodecSettings, Precision
from voice_core.settings.corpus import (
    AudioSettings,
    BatchSettings,
    CardSettings,
    CutSettings,
    RuleSettings,
    SplitSettings,
)
from voice_core.settings.loading import ConfigurationError, config_file
from voice_core.settings.moshi import MoshiSettings
from voice_core.settings.settings import Settings, StepName
from voice_core.settings.speech import IndexTTS2Settings, SpeechSettings
from voice_core.settings.stores import S3Settings

__all__ = [
    "ENV_PREFIX",
    "AudioSettings",
    "AudiobookSettings",
    "AutomationSettings",
    "BatchSettings",
    "CardSettings",
    "ConfigurationError",
    "CutSettings",
    "IndexTTS2Settings",
    "MoshiSettings",
    "NeuCodecSettings",
    "Precision",
    "RuleSettings",
    "S3Settings",
    "Settings",
    "SettingsGroup",
    "SpeechSettings",
    "SplitSettings",
    "StepName",
    "as_url",
    "config_file",
]  # fmt: skip
