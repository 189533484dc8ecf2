"""A whole build with the recordings on Google Cloud Storage and the work root on S3, over HTTP."""

from pathlib import Path

import pytest

from voice_assets_tests.command_server import run_voice
from voice_assets_tests.dagster_home import corpus_variables, create_dagster_home
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.demo.sample_data import SampleData
from voice_core.storage.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(
    gcs_server: GcsServer,
    gcs_proxy: FaultyProxy,
    s3_server: S3Server,
    s3_proxy: FaultyProxy,
    small_demo: SampleData,
    tmp_path: Path,
) -> dict[str, str]:
    """The small world in a bucket, an empty bucket to work in, and a proxy before either."""
    raw = gcs_server.new_bucket()
    gcs_server.upload_folder(raw, small_demo.raw)
    work = s3_server.new_bucket() + "/work"
    return {
        **gcs_server.environment(gcs_proxy.url),
        **s3_server.environment(s3_proxy.url),
        **corpus_variables(raw, work, create_dagster_home(tmp_path / "home", with_databases=True)),
        "VOICE_WORKERS": "1",
    }


def objects(environment: dict[str, str], server: S3Server) -> dict[str, bytes]:
    """What was made. What a store calls an object stands below `batches/` alone."""
    store = Store(environment["VOICE_WORK_URL"], server.access())
    keys = [item.key for item in store.listing() if not item.key.startswith("batches/")]
    return dict(zip(keys, store.map_keys(store.get, keys), strict=True))


def test_stores_that_fail_every_now_and_then_lead_to_the_bytes_of_a_local_build(
    environment: dict[str, str], gcs_proxy: FaultyProxy, s3_proxy: FaultyProxy, s3_server: S3Server, built: Path
) -> None:
    for proxy in (gcs_proxy, s3_proxy):
        proxy.answer(503, "SlowDown", times=15)
        proxy.answer(500, "InternalError", times=5, path=r"^/[^/?]+/[^?]*2")
        proxy.reset(times=10, path=r"^/[^/?]+/[^?]*[37]")
        proxy.truncate_response(200, times=10, path=r"^/[^/?]+/[^?]*[59]")
        proxy.drop_response(times=2, method="PUT")
    done = run_voice("build", **environment)
    assert done.returncode == 0, done.stderr
    local = {key: data for key, data in files_below(built / "work").items() if not key.startswith("batches/")}
    made = objects(environment, s3_server)
    assert sorted(made) == sorted(local)
    assert [key for key in made if made[key] != local[key]] == []
    s3_proxy.clear_faults()
    gcs_proxy.clear_faults()
    again = run_voice("build", **environment)
    assert "Nothing to do" in again.stdout, again.stdout + again.stderr
    assert s3_proxy.count("PUT") == 0
    assert gcs_proxy.count("GET", r"\.(mp3|wav|flac|m4a|opus|ogg)") == 0


def test_a_recording_that_may_not_be_read_is_named_and_the_others_are_built(
    environment: dict[str, str], gcs_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    environment["VOICE_CHANNELS"] = '["Atheer_-"]'
    gcs_proxy.answer(403, "AccessDenied", times=0, path=r"atheer_0001\.\w+$")
    done = run_voice("build", **environment)
    said = " ".join((done.stdout + done.stderr).split())
    assert "atheer_0001" in said
    assert "access denied" in said
    made = objects(environment, s3_server)
    assert any("/atheer_0002_seg_" in key for key in made)
    gcs_proxy.clear_faults()
    assert run_voice("build", **environment).returncode == 0
    assert any("/atheer_0001_seg_" in key for key in objects(environment, s3_server))
