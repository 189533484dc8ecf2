"""The corpus that the voice dataset assets work on: its settings, its two stores, its codec."""

import dagster as dg
from pydantic import Field, PrivateAttr

from voice_core.codecs import load_codec
from voice_core.codecs.base import Codec
from voice_core.settings import Settings
from voice_core.store import Store, StoreError


class CorpusResource(dg.ConfigurableResource):
    """Settings come from VOICE_* variables and voice.toml, as for the `voice` command; a field here overrules both."""

    raw_url: str = Field(default="", description="Overrules VOICE_RAW_URL.")
    work_url: str = Field(default="", description="Overrules VOICE_WORK_URL.")
    codec: str = Field(default="", description="Overrules VOICE_CODEC.")

    _settings: Settings | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        self._settings = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            given = {"raw_url": self.raw_url, "work_url": self.work_url, "codec": self.codec}
            self._settings = Settings.load(**{name: value for name, value in given.items() if value})
        return self._settings

    def raw(self) -> Store:
        return open_raw(self.settings)

    def work(self) -> Store:
        return open_work(self.settings)

    def load_codec(self) -> Codec | None:
        return codec_of(self.settings)


def open_raw(settings: Settings) -> Store:
    """The raw bucket, only ever read."""
    try:
        return Store(settings.raw_url)
    except StoreError as error:
        raise StoreError(f"{error}. VOICE_RAW_URL names the raw bucket; `voice demo` makes one to try") from None


def open_work(settings: Settings) -> Store:
    return Store(settings.work_url, create=True)


def codec_of(settings: Settings) -> Codec | None:
    """The codec of coded_segments; None where the dataset is built without codes."""
    return None if settings.codec == "none" else load_codec(settings.codec)
