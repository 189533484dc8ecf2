"""Secrets in settings and in failures appear nowhere: not in the output, in Dagster's store or in the work root."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from voice_assets_tests.command_server import shared_command_server
from voice_assets_tests.dagster_home import PROJECT
from voice_assets_tests.servers.faulty_proxy import faulty_proxy
from voice_assets_tests.servers.hub import HubServer
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.secret_leaks import (
    LeakTestCorpus,
    Servers,
    file_cases,
    hub_cases,
    new_secret,
    settings_cases,
    store_cases,
    url_cases,
)

# One of each class; `make soak` tries them all.
CASES = (
    "VOICE_S3__SECRET_ACCESS_KEY=SECRET",
    "VOICE_S3__ACCESS_KEY_ID=SECRET",
    "VOICE_S3__SECRET_ACCESS_KEYX=SECRET",
    "VOICE_WORKERS=SECRET",
    "VOICE_WORKERSX=SECRET",
    "VOICE_CODEC=SECRET",
    "[s3]\nsecret_access_key = SECRET",
    "[s3]\nsecret_access_keyx",
    "[s3]\nsecret_access_key: a table",
    "VOICE_S3={SECRET",
    "VOICE_S3, misspelt key",
    "VOICE_CONFIG=SECRET",
    "VOICE_API_TOKEN=SECRET",
    "raw_url=s3://key:{}@",
    "store check s3://key:a/{}@",
    "raw_url, signed",
    "s3 at http://user:{}@127.0.0.1:1",
    "VOICE_GCS__CREDENTIALS_FILE: a string",
    "VOICE_GCS__CREDENTIALS_FILE: the file's content",
    "GOOGLE_APPLICATION_CREDENTIALS: the file's content",
    "HF_TOKEN='{}', refused",
    "HF_TOKEN, 403",
    "S3 answers 403 SignatureDoesNotMatch",
    "AWS_ENDPOINT_URL=http://user:SECRET@",
    "HTTPS_PROXY=http://user:{}/b@",
)


@pytest.fixture(scope="module")
def leak_corpus(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeakTestCorpus]:
    with faulty_proxy(s3_server.url) as proxy, HubServer() as hub:
        servers = Servers(s3_server, proxy, hub)
        yield LeakTestCorpus(tmp_path_factory.mktemp("secrets"), servers, shared_command_server())


def test_a_secret_in_a_setting_or_a_failure_appears_nowhere(leak_corpus: LeakTestCorpus, tmp_path: Path) -> None:
    servers = leak_corpus.servers
    kinds = (settings_cases(), url_cases(), file_cases(tmp_path), store_cases(servers), hub_cases(servers))
    chosen = {case.name: case for case in chain(*kinds) if case.name in CASES}
    assert [name for name in CASES if name not in chosen] == []
    leaks = {name: found for name, case in chosen.items() if (found := leak_corpus.find_leaks(case))}
    assert leaks == {}


def test_a_code_location_that_cannot_be_loaded_does_not_print_the_secret(leak_corpus: LeakTestCorpus) -> None:
    secret = new_secret()
    variables = leak_corpus.variables(VOICE_S3__SECRET_ACESS_KEY=secret, VOICE_WORKERS=secret, VOICE_FOREIGN=secret)
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "voice_assets.definitions"],
        cwd=leak_corpus.folder,
        env={**os.environ, **variables, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "VOICE_S3__SECRET_ACESS_KEY" in output
    assert secret not in output


def test_variables_of_other_programs_are_named_once_and_ignored(leak_corpus: LeakTestCorpus, tmp_path: Path) -> None:
    variables = leak_corpus.variables(VOICE_ASSISTANT_NAME="mine", VOICE_RAW_ULR="elsewhere")
    done = leak_corpus.run(variables, "status")
    assert done.code == 0
    warnings = [line for line in done.output.splitlines() if "VOICE_" in line]
    assert len(warnings) == 1
    assert "VOICE_ASSISTANT_NAME" in warnings[0]
    assert "VOICE_RAW_ULR (did you mean VOICE_RAW_URL?)" in warnings[0]
    assert "elsewhere" not in done.output
