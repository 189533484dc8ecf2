"""Endpoints and credentials of s3:// and gs:// stores, and the repository on the hub."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from voice_core.settings.base import SettingsGroup

_ADDRESS = re.compile(r"https?://([^/:@?#\s]+|\[[0-9A-Fa-f:.]+\])(:\d+)?(/[^@?#\s]*)?")


def _http_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if value and not _ADDRESS.fullmatch(value):
        raise ValueError(
            "must be https://HOST, optionally with :PORT and /PATH, without a user, a password or a query: "
            "credentials have separate settings"
        )
    return value


def _path(value: str) -> str:
    if value.lstrip().startswith(("{", "-----BEGIN")) or "\n" in value:
        raise ValueError("must be the path of a file, not the file's content")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
FilePath = Annotated[str, AfterValidator(_path)]


class S3Settings(SettingsGroup):
    """Access to s3:// URLs. Empty values come from the usual AWS_* variables and ~/.aws files."""

    endpoint_url: HttpUrl = Field(
        "", description="Address of an S3 server that is not AWS, such as https://nas.local:9021."
    )
    region: str = Field("", description="Region of the bucket; us-east-1 if it is set nowhere.")
    profile: str = Field("", description="Profile of ~/.aws/config and ~/.aws/credentials.")
    access_key_id: SecretStr = Field(
        SecretStr(""), description="Access key; preferably from the environment or a profile. Never printed."
    )
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key; never printed.")
    session_token: SecretStr = Field(SecretStr(""), description="Token of temporary credentials; never printed.")
    ca_bundle: FilePath = Field("", description="PEM file of the authority that signed the server's certificate.")


class GcsSettings(SettingsGroup):
    """Access to gs:// URLs. Empty values come from Google's application default credentials."""

    project: str = Field("", description="Google Cloud project; that of the credentials if empty.")
    credentials_file: FilePath = Field("", description="Service account key file, JSON.")
    endpoint_url: HttpUrl = Field("", description="Address of an emulator, which is used without credentials.")


class HubSettings(SettingsGroup):
    """The hub repository. The token comes from HF_TOKEN or `hf auth login`, the server from HF_ENDPOINT."""

    repo_id: str = Field(
        "", description="Dataset repository, such as my-team/my-voices; nothing is published if empty."
    )
    revision: str = Field("main", description="Branch that the dataset is committed to.")
    private: bool = Field(True, description="Whether a new repository is private.")
