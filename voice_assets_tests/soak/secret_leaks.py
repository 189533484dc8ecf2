"""Secrets planted in settings and in failures: each case has a secret of its own, which must appear nowhere."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, SecretStr

from voice_assets_tests.command_server import CommandResult, CommandServer
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import create_dagster_home
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.hub import HubServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.settings import Settings

CLOSED_ADDRESS = "127.0.0.1:1"  # nothing listens there
STATUS, BUILD, SETTINGS = ("status",), ("build",), ("settings",)
CHECK = ("store", "check", "--no-speed")
PUBLISH, PUBLISH_ASSET = ("publish", "--force"), ("publish", "asset")
# Texts that name something, and are shown as names are.
_NAMES = {
    "raw_url", "work_url", "dataset", "raw_pattern", "channels", "channel_mapping", "audio_extensions", "local_dir",
    "gpu_profiles", "gpu_lock_dir",
    "card.title", "card.licence", "card.languages", "card.sources",
    "hub.repo_id", "hub.revision", "moshi.name", "moshi.scripts_url",
}  # fmt: skip

_OPTIONS = {"codec_options", "speech.options"}
"""Tables whose keys are names of options, and are shown as names of settings are."""


def new_secret() -> str:
    """Letters and digits: legal in a URL, in TOML and in JSON, and the same in each."""
    return f"s{uuid.uuid4().hex}"


@dataclass(slots=True)
class LeakCase:
    """`commands` are run with these variables, and with `toml` as voice.toml; then `secret` is looked for."""

    name: str
    secret: str
    commands: Sequence[Sequence[str]]
    variables: Mapping[str, str] = field(default_factory=dict)
    toml: str = ""
    before: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Servers:
    s3: S3Server
    proxy: FaultyProxy  # before `s3`
    hub: HubServer


class LeakTestCorpus:
    """A finished small corpus with a Dagster instance, on which cases are tried."""

    def __init__(self, folder: Path, servers: Servers, commands: CommandServer) -> None:
        self.servers, self._commands = servers, commands
        self.folder = folder / "ground"
        self.folder.mkdir(parents=True)
        create_dagster_home(self.folder / "dagster_home")
        corpus = Corpus(self.folder)
        for name in "ab":
            corpus.add_recording(name, 6.0)
        self.raw_dir = corpus.raw_dir
        done = self.run(self.variables(), *BUILD)
        assert done.code == 0, done.output
        self._before = files_below(self.folder)

    def variables(self, **more: str) -> dict[str, str]:
        return {
            "VOICE_RAW_URL": str(self.raw_dir),
            "VOICE_WORK_URL": str(self.folder / "work"),
            "VOICE_LOCAL_DIR": str(self.folder / "scratch"),
            "DAGSTER_HOME": str(self.folder / "dagster_home"),
            "HF_HOME": str(self.folder / "huggingface"),
            "NO_PROXY": "",
            **more,
        }

    def run(self, variables: Mapping[str, str], *arguments: str) -> CommandResult:
        return self._commands.run(self.folder, variables, *arguments)

    def find_leaks(self, case: LeakCase) -> list[str]:
        """Where the secret of a case is found after its commands: in their output, or in a file."""
        found = []
        config = self.folder / "voice.toml"
        config.write_text(case.toml, "utf-8")
        for arguments in case.commands:
            self.servers.proxy.clear_faults()
            case.before()
            done = self.run(self.variables(**case.variables), *arguments)
            found += [
                f"voice {' '.join(arguments)}: {line}"
                for line in done.output.splitlines()
                if _contains_secret(line, case)
            ]
        config.unlink()
        for path, data in files_below(self.folder).items():
            if data != self._before.get(path) and _contains_secret(data.decode("latin-1"), case):
                found.append(path)
        return found


def _contains_secret(text: str, case: LeakCase) -> bool:
    half = len(case.secret) // 2
    return any(part in text.lower() for part in (case.secret[:half], case.secret[half:]))


def list_settings() -> Iterator[tuple[str, bool]]:
    """Every setting by its name, such as rules.min_snr_db, and whether it is a secret."""
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for inner, inner_info in kind.model_fields.items():
                yield f"{name}.{inner}", inner_info.annotation is SecretStr
        else:
            yield name, False


def variable_name(name: str) -> str:
    return "VOICE_" + name.replace(".", "__").upper()


def settings_cases() -> Iterator[LeakCase]:
    """A secret in every setting: as its value, in its misspelt variable, in JSON and in TOML around it."""
    for name, is_secret in list_settings():
        variable, secret = variable_name(name), new_secret()
        if name not in _NAMES:
            commands = [SETTINGS, STATUS] if is_secret else [STATUS]
            yield LeakCase(f"{variable}=SECRET", secret, commands, {variable: secret})
        yield LeakCase(f"{variable}X=SECRET", secret := new_secret(), [STATUS], {f"{variable}X": secret})
        group, _, key = name.rpartition(".")
        table = f"[{group}]\n" if group else ""
        yield LeakCase(f"{table}{key} = SECRET", secret := new_secret(), [STATUS], toml=f"{table}{key} = {secret}\n")
        yield LeakCase(f"{table}{key}x", secret := new_secret(), [STATUS], toml=f'{table}{key}x = "{secret}"\n')
        if name not in _OPTIONS:
            yield LeakCase(
                f"{table}{key}: a table", secret := new_secret(), [STATUS], toml=f'[{name}]\n"{secret}" = "{secret}"'
            )
    groups = sorted({name.split(".")[0] for name, _ in list_settings()})
    for group in groups:
        variable = variable_name(group)
        if group not in _NAMES:
            yield LeakCase(f"{variable}={{SECRET", secret := new_secret(), [STATUS], {variable: "{" + secret})
        yield LeakCase(
            f"{variable}, misspelt key", secret := new_secret(), [STATUS], {variable: json.dumps({"secret_x": secret})}
        )
    yield LeakCase("VOICE_CONFIG=SECRET", secret := new_secret(), [STATUS, SETTINGS], {"VOICE_CONFIG": secret})
    yield LeakCase("VOICE_API_TOKEN=SECRET", secret := new_secret(), [STATUS], {"VOICE_API_TOKEN": secret})


def url_cases() -> Iterator[LeakCase]:
    """Keys and passwords in URLs and addresses."""
    for scheme in ("s3", "gs", "https", "memory"):
        for user in ("key:{}", "{}", "key:a/{}", "key:{}@b"):
            for name in ("raw_url", "work_url", "moshi.scripts_url"):
                secret = new_secret()
                url = f"{scheme}://{user.format(secret)}@bucket/folder"
                yield LeakCase(
                    f"{name}={scheme}://{user}@", secret, [SETTINGS, STATUS, BUILD], {variable_name(name): url}
                )
            yield LeakCase(f"store check {scheme}://{user}@", secret := new_secret(), [
                (*CHECK, f"{scheme}://{user.format(secret)}@bucket/folder"),
                ("store", "copy", f"{scheme}://{user.format(secret)}@bucket/folder", "copied"),
                ("adopt", f"{scheme}://{user.format(secret)}@bucket/folder"),
            ])  # fmt: skip
    secret = new_secret()
    signed = f"https://bucket.example/folder?X-Amz-Signature={secret}"
    yield LeakCase("raw_url, signed", secret, [STATUS, BUILD, (*CHECK, signed)], {"VOICE_RAW_URL": signed})
    for group in ("s3", "gcs"):
        for address in ("http://user:{}@127.0.0.1:1", "http://{}@127.0.0.1:1", "http://127.0.0.1:1/?token={}", "{}"):
            secret = new_secret()
            variables = {variable_name(f"{group}.endpoint_url"): address.format(secret), "VOICE_RAW_URL": "s3://bucket"}
            yield LeakCase(f"{group} at {address}", secret, [SETTINGS, STATUS, CHECK], variables)


def store_cases(servers: Servers) -> Iterator[LeakCase]:
    """Stores that fail, with secrets in what leads to them."""
    raw_url, work_url = servers.s3.new_bucket(), f"{servers.s3.new_bucket()}/work"
    s3 = servers.s3.environment(servers.proxy.url, VOICE_RAW_URL=raw_url, VOICE_WORK_URL=work_url)

    def keys(secret: str) -> dict[str, str]:
        return s3 | {
            "VOICE_S3__ACCESS_KEY_ID": f"AKIA{secret}",
            "VOICE_S3__SECRET_ACCESS_KEY": secret,
            "VOICE_S3__SESSION_TOKEN": secret,
        }

    for status, code in ((403, "AccessDenied"), (401, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch")):
        secret = new_secret()

        def refuse(status: int = status, code: str = code, secret: str = secret) -> None:
            servers.proxy.answer(status, code, message=f"AKIA{secret} {secret}", times=10_000)

        yield LeakCase(f"S3 answers {status} {code}", secret, [STATUS, BUILD, CHECK], keys(secret), before=refuse)
    yield LeakCase("S3, no such host", secret := new_secret(), [BUILD, CHECK, SETTINGS], keys(secret) | {
        "VOICE_S3__ENDPOINT_URL": f"http://{CLOSED_ADDRESS}"
    })  # fmt: skip
    aws = {"VOICE_RAW_URL": raw_url, "VOICE_S3__CA_BUNDLE": ""}
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        secret = new_secret()
        yield LeakCase(f"{name}=http://user:SECRET@", secret, [CHECK], aws | {
            name: f"http://user:{secret}@{CLOSED_ADDRESS}",
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        })  # fmt: skip
    yield LeakCase("AWS_*", secret := new_secret(), [CHECK, SETTINGS], aws | {
        "AWS_ENDPOINT_URL": f"http://{CLOSED_ADDRESS}", "AWS_ACCESS_KEY_ID": f"AKIA{secret}",
        "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": secret,
    })  # fmt: skip
    for userinfo in ("user:{}", "{}:", "user:a/{}", "user:{}/b"):
        secret = new_secret()
        proxy = f"http://{userinfo.format(secret)}@{CLOSED_ADDRESS}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
        yield LeakCase(f"HTTPS_PROXY=http://{userinfo}@", secret, [CHECK, PUBLISH, PUBLISH_ASSET], keys("a" * 32) | {
            "VOICE_S3__ENDPOINT_URL": "", "VOICE_S3__CA_BUNDLE": "", "VOICE_HUB__REPO_ID": "team/voices",
            "HF_TOKEN": "hf_none", "HF_ENDPOINT": "https://hub.example",
            "VOICE_WORK_URL": "work", **proxies,
        })  # fmt: skip
    secret = new_secret()
    account = json.dumps({"type": "service_account", "private_key": secret, "client_email": "a@b", "token_uri": "x"})
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "VOICE_GCS__CREDENTIALS_FILE"):
        variables = {"VOICE_RAW_URL": "gs://bucket", name: account}
        yield LeakCase(f"{name}: the file's content", secret, [STATUS, BUILD, CHECK, SETTINGS], variables)


def file_cases(folder: Path) -> Iterator[LeakCase]:
    """Key files whose content is not what it should be."""
    for name, content in {
        "a string": '"{}"', "a broken key": '{{"type": "service_account", "private_key": "{}"}}',
        "no JSON": "{}", "another type": '{{"type": "{}"}}',
    }.items():  # fmt: skip
        secret = new_secret()
        path = folder / f"{name}.json"
        path.write_text(content.format(secret), "utf-8")
        for variable in ("GOOGLE_APPLICATION_CREDENTIALS", "VOICE_GCS__CREDENTIALS_FILE"):
            variables = {"VOICE_RAW_URL": "gs://bucket", variable: str(path)}
            yield LeakCase(f"{variable}: {name}", secret, [STATUS, CHECK], variables)


def hub_cases(servers: Servers) -> Iterator[LeakCase]:
    """The hub, with a token that it refuses, and where it does not answer."""
    hub = {"VOICE_HUB__REPO_ID": "team/voices", "HF_ENDPOINT": servers.hub.url}
    both = [PUBLISH, PUBLISH_ASSET]
    for token in ("hf_{}", "{}", "{} with spaces", "{}\x01"):
        secret = new_secret()
        yield LeakCase(f"HF_TOKEN={token!r}, refused", secret, both, hub | {"HF_TOKEN": token.format(secret)})
    secret = new_secret()

    def refuse() -> None:
        servers.hub.fail(".", 403, times=10, message=f"you with the token {secret} may not")

    yield LeakCase("HF_TOKEN, 403", secret, both, hub | {"HF_TOKEN": secret}, before=refuse)
    for endpoint in ("http://user:{}@127.0.0.1:1", "http://{}@127.0.0.1:1", "http://user:a/{}@127.0.0.1:1"):
        secret = new_secret()
        variables = hub | {"HF_TOKEN": f"hf_{secret}", "HF_ENDPOINT": endpoint.format(secret)}
        yield LeakCase(f"HF_ENDPOINT={endpoint}", secret, both, variables)
    secret = new_secret()
    variables = hub | {"HF_TOKEN": servers.hub.token, "VOICE_HUB__REPO_ID": secret}
    yield LeakCase("VOICE_HUB__REPO_ID=SECRET", secret, both, variables)
