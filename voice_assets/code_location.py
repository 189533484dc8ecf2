"""Which steps and settings a code location has while Dagster loads the definitions in `defs/`.

Dagster calls a `@dg.definitions` function without arguments, and one workspace may load the same folder for several
machines. So `build_definitions` makes the location current for the time of loading, and the functions ask for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import dagster as dg

from voice_core.codecs import codec_settings
from voice_core.compute.gpus import load_gpu_profile
from voice_core.settings import Settings, StepName

STEPS: tuple[StepName, ...] = ("ingest", "encode", "write", "speak")


@dataclass(frozen=True, slots=True)
class CodeLocation:
    """What one code location builds, and with which settings."""

    settings: Settings = field(default_factory=Settings.load)
    steps: frozenset[StepName] = frozenset(STEPS)
    encoding_pool: str | None = None
    speech_pool: str | None = None

    @property
    def sensor_status(self) -> dg.DefaultSensorStatus:
        """RUNNING where automation is enabled in the settings."""
        enabled = self.settings.automation.enabled
        return dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED

    @property
    def schedule_status(self) -> dg.DefaultScheduleStatus:
        """RUNNING where automation is enabled in the settings."""
        enabled = self.settings.automation.enabled
        return dg.DefaultScheduleStatus.RUNNING if enabled else dg.DefaultScheduleStatus.STOPPED


_current: ContextVar[CodeLocation | None] = ContextVar("code_location", default=None)


def current_location() -> CodeLocation:
    """The location whose definitions are being loaded; outside of that, one with all steps."""
    return _current.get() or CodeLocation()


@contextmanager
def loading(location: CodeLocation) -> Iterator[None]:
    """Make a location current."""
    token = _current.set(location)
    try:
        yield
    finally:
        _current.reset(token)


def encoding_pool(settings: Settings) -> str | None:
    """The pool of the encoding step: that of the settings, for a codec that needs a GPU.

    Raises ConfigurationError for a pool without a profile, and for a precision that its GPUs do not support.
    """
    own = codec_settings(settings)
    pool = str(getattr(own, "pool", ""))
    if not pool:
        return None
    load_gpu_profile(pool, settings.gpu_profiles).choose_precision(getattr(own, "precision", ""))
    return pool


def speech_pool(settings: Settings) -> str | None:
    """The pool of the speech step. Raises ConfigurationError for a pool without a profile."""
    return load_gpu_profile(settings.speech.pool, settings.gpu_profiles).pool if settings.speech.pool else None
