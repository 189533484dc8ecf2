"""Where s3://, gs:// and the hub lead, and with which credentials."""

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
            "must be https://HOST, with :PORT and /PATH if need be, and without a user, a password or a query: "
            "credentials have settings of their own"
        )
    return value


def _path(value: str) -> str:
    if value.lstrip().startswith(("{", "-----BEGIN")) or "\n" in value:
        raise ValueError("must be the path of a file, not the file's content")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
FilePath = Annotated[str, AfterValidator(_path)]


class S3Settings(SettingsGroup):
    """Where s3:// URLs lead. What is empty comes from the usual AWS_* variables and ~/.aws files."""

    endpoint_url: HttpUrl = Field(
        "", description="Address of an S3 server that is not AWS, such as https://nas.local:9021."
    )
    region: str = Field("", description="Region of the bucket; us-east-1 where nothing names one.")
    profile: str = Field("", description="Profile of ~/.aws/config and ~/.aws/credentials.")
    access_key_id: SecretStr = Field(
        SecretStr(""), description="Access key; better left to the environment or a profile. Never printed."
    )
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key; never printed.")
    session_token: SecretStr = Field(SecretStr(""), description="Token of temporary credentials; never printed.")
    ca_bundle: FilePath = Field("", description="PEM file of the authority that signed the server's certificate.")


class GcsSettings(SettingsGroup):
    """Where gs:// URLs lead. What is empty comes from Google's application default credentials."""

    project: str = Field("", description="Google Cloud project; the credentials' own when empty.")
    credentials_file: FilePath = Field("", description="Service account key file, JSON.")
    endpoint_url: HttpUrl = Field("", description="Address of an emulator; without credentials then.")


class HubSettings(SettingsGroup):
    """Where the dataset is published. The token comes from HF_TOKEN or `hf auth login`, the server from HF_ENDPOINT."""

    repo_id: str = Field(
        "", description="Dataset repository, such as my-team/my-voices; nothing is published if empty."
    )
    revision: str = Field("main", description="Branch that the dataset is committed to.")
    private: bool = Field(True, description="Whether a repository that is made is private.")
