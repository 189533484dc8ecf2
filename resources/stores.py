"""Opens stores by URL, with addresses and credentials of the settings or of Dagster's own resources."""

import os
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import dagster as dg

from voice_core.settings import Settings
from voice_core.storage.config import StoreConfig, gcs_config, s3_config
from voice_core.storage.store import Store

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource
    from dagster_gcp.gcs import GCSResource


def open_store(
    url: str, settings: Settings, access: StoreConfig | None = None, *, create: bool = False, untrusted: bool = False
) -> Store:
    """The store at any URL, by default with the settings' access. `create` creates a missing local folder.

    `untrusted` is for folders that others fill: links that lead out of them are followed with VOICE_FOLLOW_SYMLINKS
    only.
    """
    if access is None:
        access = _gcs_config(settings) if url.startswith("gs:") else _s3_config(settings)
    return Store(url, access, create=create, contained=untrusted and not settings.follow_symlinks)


def _s3_config(settings: Settings) -> StoreConfig:
    return s3_config(settings.s3, settings.requests_in_flight)


def _gcs_config(settings: Settings) -> StoreConfig:
    return gcs_config(settings.gcs, settings.requests_in_flight)


def s3_access_from_resource(resource: "S3Resource", settings: Settings) -> StoreConfig:
    """The configuration of dagster-aws's resource; what it leaves open comes from the settings."""
    base = _s3_config(settings)
    return replace(
        base,
        endpoint_url=resource.endpoint_url or base.endpoint_url,
        region=resource.region_name or base.region,
        profile=resource.profile_name or base.profile,
        access_key_id=resource.aws_access_key_id or base.access_key_id,
        secret_access_key=resource.aws_secret_access_key or base.secret_access_key,
        session_token=resource.aws_session_token or base.session_token,
        anonymous=resource.use_unsigned_session,
        max_retries=resource.max_attempts,
        verify_tls=resource.verify is not False,
        ca_bundle=base.ca_bundle or os.environ.get("AWS_CA_BUNDLE", ""),
    )


def gcs_access_from_resource(resource: "GCSResource", settings: Settings) -> StoreConfig:
    """The configuration of dagster-gcp's resource; what it leaves open comes from the settings."""
    base = _gcs_config(settings)
    return replace(base, project=resource.project or base.project)


def cloud_resources(settings: Settings) -> dict[str, Any]:
    """Dagster's resources for the clouds that the settings' URLs name, as fields of `CorpusResource`.

    None without the extra "cloud": the settings alone lead to the stores then.
    """
    schemes = {url.split(":", 1)[0] for url in (settings.raw_url, settings.work_url)}
    found: dict[str, Any] = {}
    if "s3" in schemes and find_spec("dagster_aws"):
        from dagster_aws.s3 import S3Resource

        # Keys by the names of their variables: values would be shown in the Dagster UI.
        keys: dict[str, Any] = {
            field: dg.EnvVar(variable)
            for field, variable in (
                ("aws_access_key_id", "VOICE_S3__ACCESS_KEY_ID"),
                ("aws_secret_access_key", "VOICE_S3__SECRET_ACCESS_KEY"),
                ("aws_session_token", "VOICE_S3__SESSION_TOKEN"),
            )
            if os.environ.get(variable)
        }
        found["s3"] = S3Resource(
            endpoint_url=settings.s3.endpoint_url or None,
            region_name=settings.s3.region or None,
            profile_name=settings.s3.profile or None,
            max_attempts=StoreConfig().max_retries,
            **keys,
        )
    if "gs" in schemes and find_spec("dagster_gcp"):
        from dagster_gcp.gcs import GCSResource

        found["gcs"] = GCSResource(project=settings.gcs.project or None)
    return found
