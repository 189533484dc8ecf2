"""`voice store check` as a person or a script meets it."""

import json

import pytest
from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets.cli.output import console
from voice_assets_tests.command_server import run_voice
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.store import Store


def test_the_command_tests_the_raw_and_the_work_url_of_the_settings(
    gcs_server: GcsServer, s3_tls_server: S3Server
) -> None:
    raw, work = gcs_server.new_bucket(), s3_tls_server.new_bucket()
    gcs_server.upload(raw, {"a.wav": b"x"})
    environment = s3_tls_server.environment(**gcs_server.environment(VOICE_RAW_URL=raw, VOICE_WORK_URL=work))
    read = json.loads(run_voice("store", "check", "--json", "--no-speed", **environment).stdout)
    assert {step["name"]: step["found"] for step in read[1]["steps"]}["write"] == "not tested; --write tests it"
    done = run_voice("store", "check", "--json", "--no-speed", "--write", **environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(item["url"], item["ok"]) for item in found] == [(raw, True), (work, True)]
    assert {item["name"]: item["state"] for item in found[0]["steps"]}["write"] == "skipped"
    assert {item["name"]: item["state"] for item in found[1]["steps"]}["write"] == "ok"
    assert list(Store(work, s3_tls_server.access()).listing()) == []


def test_the_command_ends_with_1_where_a_step_failed_and_prints_no_secret(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment(VOICE_S3__SECRET_ACCESS_KEY="hush-hush").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(console, "width", 200)
    done = CliRunner().invoke(app, ["store", "check", "s3://never-made"])
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "no such bucket" in said
    assert "hush" not in said


def test_the_command_writes_to_a_given_url_only_with_the_flag(
    s3_server: S3Server, s3_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3_server.new_bucket()
    for name, value in s3_server.environment(s3_proxy.url).items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["store", "check", url])
    assert done.exit_code == 0
    assert "Writing was not tested" in done.output
    assert s3_proxy.count("PUT") == 0
    assert CliRunner().invoke(app, ["store", "check", url, "--write", "--no-speed"]).exit_code == 0
    assert s3_proxy.count("PUT") > 0
