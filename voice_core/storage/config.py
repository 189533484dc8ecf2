"""How remote stores are reached: endpoints, credentials, TLS, timeouts. A `StoreConfig` can be pickled."""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import obstore
from obstore.store import GCSStore, S3Store, from_url

from voice_core.redaction import register_secrets
from voice_core.settings.base import refuse_credentials
from voice_core.settings.stores import GcsSettings, S3Settings

_SCHEMES = ("s3", "s3a", "gs", "memory")
_DEFAULT_REGION = "us-east-1"
_GOOGLE_ENDPOINT = "https://storage.googleapis.com"
# A request may take long, since bodies may be large.
_CONNECT_TIMEOUT, _TIMEOUT = timedelta(seconds=10), timedelta(hours=2)
_KEY_FIELDS = ("client_email", "private_key", "private_key_id")
_RETRY_TIMEOUT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Values that are empty come from the environment, as the cloud's own tools read it."""

    in_flight: int = 32  # requests at once: enough to hide the latency, few enough for one server
    max_retries: int = 8  # tries of a request with transient errors, with growing pauses
    read_timeout_sec: float = 60.0  # without any data from the server
    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    anonymous: bool = False
    ca_bundle: str = ""  # path of a PEM file
    verify_tls: bool = True
    credentials_file: str = ""  # path of a Google service account key
    project: str = ""

    def open(self, url: str) -> Any:
        """Open an obstore store. Raises `ValueError` or obstore's errors."""
        register_secrets(self.access_key_id, self.secret_access_key, self.session_token)
        refuse_credentials(url)
        scheme, bucket = url.partition("://")[::2]
        if scheme not in _SCHEMES or not (bucket or scheme == "memory"):
            raise ValueError("a store is a folder, file://…, s3://bucket[/folder] or gs://bucket[/folder]")
        return from_url(url, **({} if scheme == "memory" else self._options(url)))

    def sign_listing(self, bucket_url: str, query: Mapping[str, str]) -> str:
        """A signed URL that lists a bucket (`s3://bucket` or `gs://bucket`) with this query.

        It is a secret for an hour. Raises obstore's errors if the credentials cannot sign.
        """
        scheme, bucket = bucket_url.partition("://")[::2]
        request = f"{bucket}?{urlencode(query, quote_via=quote)}"
        google = scheme == "gs"
        if (google and self.endpoint_url) or self.anonymous:
            return f"{self.endpoint(bucket_url)}/{request}"
        # obstore signs requests for objects only. With this bucket name the query is part of the signed text, and the
        # object's name comes after the "#".
        store = (GCSStore if google else S3Store)(f"{request}#", **self._options(bucket_url))
        return obstore.sign(store, "GET", "", timedelta(hours=1)).partition("#")[0]

    def endpoint(self, url: str) -> str:
        """The scheme, host and port that requests for an s3:// or gs:// URL go to."""
        if self.endpoint_url:
            return self.endpoint_url.rstrip("/")
        if url.startswith("gs:"):
            return _GOOGLE_ENDPOINT
        named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = self.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return (named or (f"https://s3.{region}.amazonaws.com" if region else "https://s3.amazonaws.com")).rstrip("/")

    def ssl_context(self) -> ssl.SSLContext:
        """For requests that obstore does not make. Raises `OSError` if `ca_bundle` cannot be used."""
        context = ssl.create_default_context()
        if self.ca_bundle:
            context.load_verify_locations(self.ca_bundle)
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _options(self, url: str) -> dict[str, Any]:
        client: dict[str, Any] = {
            "connect_timeout": _CONNECT_TIMEOUT,
            "read_timeout": timedelta(seconds=self.read_timeout_sec),
            "timeout": _TIMEOUT,
        }
        if self.endpoint_url.startswith("http://"):
            client["allow_http"] = True
        if self.ca_bundle:
            client["root_certificate"] = _pem(self.ca_bundle)
        if not self.verify_tls:
            client["allow_invalid_certificates"] = True
        retry = {"max_retries": self.max_retries, "retry_timeout": _RETRY_TIMEOUT}
        config = self._s3() if url.startswith(("s3://", "s3a://")) else self._gcs()
        return {"client_options": client, "retry_config": retry, **config}

    def _s3(self) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if self.endpoint_url:
            # Self-hosted servers rarely have a host name per bucket.
            config |= {"endpoint": self.endpoint_url.rstrip("/"), "virtual_hosted_style_request": False}
        if self.anonymous:
            config["skip_signature"] = True
        elif self.access_key_id:
            config |= {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key}
            if self.session_token:
                config["session_token"] = self.session_token
        else:
            session = _aws_session(self.profile)
            if session is not None:
                from obstore.auth.boto3 import Boto3CredentialProvider

                config["credential_provider"] = Boto3CredentialProvider(session)
                return config | {"region": self.region or session.region_name or _DEFAULT_REGION}
        if self.region:
            config["region"] = self.region
        else:
            config["default_region"] = _DEFAULT_REGION
        return config

    def _gcs(self) -> dict[str, Any]:
        if self.endpoint_url:
            # With skip_signature alone, a put or a delete would still request a token from Google.
            key = {"gcs_base_url": self.endpoint_url.rstrip("/"), "disable_oauth": True}
            return {"service_account_key": json.dumps(key | dict.fromkeys(_KEY_FIELDS, ""))}
        if self.anonymous:
            return {"skip_signature": True}
        return {"application_credentials": self.credentials_file} if self.credentials_file else {}

    def s3_client(self) -> Any:
        """A boto3 client, for what obstore does not do. Raises `ModuleNotFoundError` without the extra "cloud"."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        session = boto3.Session(
            profile_name=self.profile or None,
            aws_access_key_id=self.access_key_id or None,
            aws_secret_access_key=self.secret_access_key or None,
            aws_session_token=self.session_token or None,
            region_name=self.region or None,
        )
        own = Config(s3={"addressing_style": "path"}) if self.endpoint_url else Config()
        return session.client(
            "s3",
            endpoint_url=self.endpoint_url or None,
            region_name=session.region_name or _DEFAULT_REGION,
            verify=self.ca_bundle or self.verify_tls,
            config=own.merge(Config(signature_version=UNSIGNED)) if self.anonymous else own,
        )

    def gcs_client(self) -> Any:
        """A google-cloud-storage client, for what obstore does not do.

        Raises `ModuleNotFoundError` without the extra "cloud".
        """
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        if self.endpoint_url:
            options = {"api_endpoint": self.endpoint_url}
            return storage.Client(
                project=self.project or "none", credentials=AnonymousCredentials(), client_options=options
            )
        if self.anonymous:
            return storage.Client.create_anonymous_client()
        if self.credentials_file:
            return storage.Client.from_service_account_json(self.credentials_file, project=self.project or None)
        return storage.Client(project=self.project or None)


def _pem(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"VOICE_S3__CA_BUNDLE names {path}, which cannot be read: {error.strerror}") from None
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise ValueError(f"VOICE_S3__CA_BUNDLE names {path}, which contains no PEM certificate")
    return data


def _aws_session(profile: str) -> Any:
    """A session with the credentials that boto3 finds (~/.aws, single sign-on, a role); None if it finds none."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError:
        if profile:
            raise ValueError("s3.profile needs boto3: pip install 'voice-data-factory[cloud]'") from None
        return None
    try:
        session = boto3.Session(profile_name=profile or None)
        return session if session.get_credentials() is not None else None
    except BotoCoreError as error:
        raise ValueError(str(error)) from None


def s3_config(s3: S3Settings, requests_in_flight: int) -> StoreConfig:
    """The configuration of s3:// stores."""
    return StoreConfig(
        in_flight=requests_in_flight,
        endpoint_url=s3.endpoint_url,
        region=s3.region,
        profile=s3.profile,
        access_key_id=s3.access_key_id.get_secret_value(),
        secret_access_key=s3.secret_access_key.get_secret_value(),
        session_token=s3.session_token.get_secret_value(),
        ca_bundle=s3.ca_bundle,
    )


def gcs_config(gcs: GcsSettings, requests_in_flight: int) -> StoreConfig:
    """The configuration of gs:// stores."""
    return StoreConfig(
        in_flight=requests_in_flight,
        endpoint_url=gcs.endpoint_url,
        credentials_file=gcs.credentials_file,
        project=gcs.project,
    )
