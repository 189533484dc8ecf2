"""How Dagster's own resources for the clouds configure the stores."""

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource
from dagster_gcp.gcs import GCSResource

from resources.corpus import CorpusResource
from resources.stores import cloud_resources, gcs_access_from_resource, s3_access_from_resource
from voice_assets_tests.servers.s3 import S3Server
from voice_core.settings import Settings


def test_a_resource_says_where_s3_is_and_the_settings_fill_in_what_it_leaves_open() -> None:
    settings = Settings(s3={"region": "eu-central-1", "profile": "own"}, requests_in_flight=7)  # type: ignore[arg-type]
    resource = S3Resource(endpoint_url="https://nas:9021", aws_access_key_id="me", aws_secret_access_key="hush")
    access = s3_access_from_resource(resource, settings)
    assert (access.endpoint_url, access.access_key_id, access.secret_access_key) == ("https://nas:9021", "me", "hush")
    assert (access.region, access.profile, access.in_flight) == ("eu-central-1", "own", 7)
    assert "hush" not in repr(access)


def test_a_resource_says_which_project_google_is_asked_for() -> None:
    settings = Settings(gcs={"credentials_file": "key.json"})  # type: ignore[arg-type]
    access = gcs_access_from_resource(GCSResource(project="radio"), settings)
    assert (access.project, access.credentials_file) == ("radio", "key.json")


def test_only_the_clouds_that_are_used_get_a_resource() -> None:
    assert cloud_resources(Settings(raw_url="/a", work_url="/b")) == {}
    assert cloud_resources(Settings(raw_url="gs://a", work_url="s3://b")).keys() == {"gcs", "s3"}


def test_the_definitions_contain_the_names_of_the_variables_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_S3__SECRET_ACCESS_KEY", "hush")
    resource = cloud_resources(Settings.load(work_url="s3://b"))["s3"]
    assert resource.aws_secret_access_key == dg.EnvVar("VOICE_S3__SECRET_ACCESS_KEY")
    assert "hush" not in repr(resource)


def test_an_asset_reaches_its_work_root_through_the_resource(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_WORK_URL", s3_server.new_bucket())
    access = s3_server.access()
    resource = S3Resource(
        endpoint_url=access.endpoint_url,
        region_name=access.region,
        aws_access_key_id=access.access_key_id,
        aws_secret_access_key=access.secret_access_key,
    )

    @dg.asset
    def note(corpus: CorpusResource) -> None:
        corpus.work().put("note", b"here")

    assert dg.materialize([note], resources={"corpus": CorpusResource(s3=resource)}).success
    monkeypatch.setenv("VOICE_S3__ENDPOINT_URL", access.endpoint_url)
    monkeypatch.setenv("VOICE_S3__ACCESS_KEY_ID", access.access_key_id)
    monkeypatch.setenv("VOICE_S3__SECRET_ACCESS_KEY", access.secret_access_key)
    assert CorpusResource().work().get("note") == b"here"
