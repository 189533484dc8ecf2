"""The corpus that the voice dataset assets work on: its settings, its two stores, its codec."""

from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from resources.neucodec import NeuCodecResource
from resources.stores import gcs_access_from_resource, open_store, s3_access_from_resource
from voice_core.codecs import load_configured_codec
from voice_core.codecs.base import Codec
from voice_core.corpus.segment.rebuild import RebuildSources
from voice_core.settings import Settings
from voice_core.storage.config import StoreConfig
from voice_core.storage.store import Store, StoreError


class CorpusResource(dg.ConfigurableResource):
    """Settings come from VOICE_* variables and voice.toml, as for the `voice` command; a field here overrides both.

    `s3` and `gcs` are dagster-aws's S3Resource and dagster-gcp's GCSResource, where s3:// and gs:// URLs are used:
    the stores take their addresses and credentials from them.
    """

    raw_url: str = Field(default="", description="Overrides VOICE_RAW_URL.")
    work_url: str = Field(default="", description="Overrides VOICE_WORK_URL.")
    codec: str = Field(default="", description="Overrides VOICE_CODEC.")

    s3: dg.ResourceDependency[Any] = None  # type: ignore[assignment]
    gcs: dg.ResourceDependency[Any] = None  # type: ignore[assignment]
    neucodec: dg.ResourceDependency[NeuCodecResource | None] = None  # type: ignore[assignment]

    _settings: Settings | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        self._settings = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            given = {"raw_url": self.raw_url, "work_url": self.work_url, "codec": self.codec}
            neucodec = self.neucodec.overrides() if self.neucodec is not None else {}
            self._settings = Settings.load(neucodec=neucodec, **{name: value for name, value in given.items() if value})
        return self._settings

    def raw(self) -> Store:
        return open_raw(self.settings, self._access(self.settings.raw_url))

    def work(self) -> Store:
        return open_work(self.settings, self._access(self.settings.work_url))

    def _access(self, url: str) -> StoreConfig | None:
        if url.startswith("s3:") and self.s3 is not None:
            return s3_access_from_resource(self.s3, self.settings)
        if url.startswith("gs:") and self.gcs is not None:
            return gcs_access_from_resource(self.gcs, self.settings)
        return None

    def load_codec(self) -> Codec | None:
        return load_configured_codec(self.settings)

    def rebuild_sources(self) -> RebuildSources:
        """The sources from which freed files are rebuilt."""
        return RebuildSources(self.raw, self.load_codec)


def open_raw(settings: Settings, access: StoreConfig | None = None) -> Store:
    """The raw bucket, which is only read."""
    try:
        return open_store(settings.raw_url, settings, access, untrusted=True)
    except StoreError as error:
        raise StoreError(f"{error}. Set VOICE_RAW_URL to the raw bucket, or run `voice demo`") from None


def open_work(settings: Settings, access: StoreConfig | None = None) -> Store:
    return open_store(settings.work_url, settings, access, create=True)


def open_work_read_only(settings: Settings) -> Store:
    """The work root, read-only; an empty one if its folder does not exist yet."""
    try:
        return open_store(settings.work_url, settings)
    except StoreError:
        if not settings.work_url.startswith("file:"):
            raise
        return Store("memory://")
