"""A whole build with the recordings on Google Cloud Storage and the work root on S3, over HTTP.

On four recordings; `make soak` builds the small demo on these stores, and kills the builds.
"""

from pathlib import Path

import pytest

from voice_assets_tests.command_server import run_voice
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import corpus_variables, create_dagster_home
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.deployments import create_file_deployment
from voice_assets_tests.soak.kill_loop import build_undisturbed, without_batches
from voice_core.storage.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw bucket of two channels, so of two batches."""
    corpus = Corpus(tmp_path_factory.mktemp("recordings"))
    for audio_id in ("a", "b"):
        corpus.add_recording(audio_id, 8.0)
    for audio_id in ("c", "d"):
        corpus.add_recording(audio_id, 8.0, channel="talk", extension=".mp3")
    return corpus.raw_dir


@pytest.fixture(scope="module")
def local_files(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a build on local disk makes of them."""
    deployment = create_file_deployment(tmp_path_factory.mktemp("local"), recordings)
    files, _ = build_undisturbed(deployment)
    return without_batches(files)


@pytest.fixture
def environment(
    gcs_server: GcsServer,
    gcs_proxy: FaultyProxy,
    s3_server: S3Server,
    s3_proxy: FaultyProxy,
    recordings: Path,
    tmp_path: Path,
) -> dict[str, str]:
    """The recordings in a bucket, an empty bucket to work in, and a proxy before either."""
    raw = gcs_server.new_bucket()
    gcs_server.upload_folder(raw, recordings)
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
    environment: dict[str, str],
    gcs_proxy: FaultyProxy,
    s3_proxy: FaultyProxy,
    s3_server: S3Server,
    local_files: dict[str, bytes],
) -> None:
    for proxy in (gcs_proxy, s3_proxy):
        proxy.answer(503, "SlowDown", times=15)
        proxy.answer(500, "InternalError", times=3, path=r"seg_1|a\.wav|c\.mp3")
        proxy.reset(times=3, path=r"seg_2|b\.wav|d\.mp3")
        proxy.truncate_response(200, times=5, path=r"seg_3|\.json|\.wav")
        proxy.drop_response(times=2, method="PUT")
    done = run_voice("build", **environment)
    assert done.returncode == 0, done.stderr
    made = objects(environment, s3_server)
    assert sorted(made) == sorted(local_files)
    assert [key for key in made if made[key] != local_files[key]] == []
    s3_proxy.clear_faults()
    gcs_proxy.clear_faults()
    again = run_voice("build", **environment)
    assert "Nothing to do" in again.stdout, again.stdout + again.stderr
    assert s3_proxy.count("PUT") == 0
    assert gcs_proxy.count("GET", r"\.(mp3|wav|flac|m4a|opus|ogg)") == 0


def test_a_recording_that_may_not_be_read_is_named_and_the_others_are_built(
    environment: dict[str, str], gcs_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    environment["VOICE_CHANNELS"] = '["talk"]'
    gcs_proxy.answer(403, "AccessDenied", times=0, path=r"/c\.mp3$")
    done = run_voice("build", **environment)
    said = " ".join((done.stdout + done.stderr).split())
    assert "talk/c" in said
    assert "access denied" in said
    made = objects(environment, s3_server)
    assert any("/d_seg_" in key for key in made)
    gcs_proxy.clear_faults()
    assert run_voice("build", **environment).returncode == 0
    assert any("/c_seg_" in key for key in objects(environment, s3_server))
