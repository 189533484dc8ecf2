"""GPU pools that hold: between runs, backfills and commands, and after a kill. Real processes, a pretended GPU."""

import json
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

from voice_assets.cli.exit_codes import INTERRUPTED_EXIT_CODE
from voice_assets.definitions import build_definitions
from voice_assets.defs.moshi.partitions import DIALOGUE_BATCH
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.pools import apply_limits, read_pool_state, set_missing_limits
from voice_assets.run_ownership import process_tags, read_run_process, release_orphaned_runs
from voice_assets.run_queries import find_busy_partitions
from voice_assets_tests.assets.daemon_fixture import run_dagster_dev
from voice_assets_tests.assets.gpu_contention import (
    MODULE,
    UnencodedCorpus,
    find_overlaps,
    read_run_log,
    run_contention,
)
from voice_assets_tests.assets.pretend_gpu import GPU
from voice_assets_tests.dagster_home import create_dagster_home
from voice_assets_tests.processes import wait_until
from voice_core.compute.gpu_lock import hold_gpu, read_gpu_holders
from voice_core.compute.gpus import load_gpu_profiles
from voice_core.corpus.status import ASSETS
from voice_core.settings import Settings

pytestmark = pytest.mark.slow


def cpu_sec(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def new_home(folder: Path) -> Path:
    return create_dagster_home(folder, with_databases=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = new_home(tmp_path / "home")
    with dg.DagsterInstance.from_config(str(made)) as opened:
        apply_limits(opened, load_gpu_profiles())  # as `voice pools apply`
    return made


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


@pytest.fixture
def create_unencoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., UnencodedCorpus]]:
    created: list[UnencodedCorpus] = []

    def make(batches: int, *, gated: bool = False) -> UnencodedCorpus:
        unencoded = UnencodedCorpus(tmp_path / f"corpus-{len(created)}", batches, gated=gated)
        monkeypatch.setenv("VOICE_GPU_LOCK_DIR", unencoded.variables["GPU_LOCK_DIR"])
        created.append(unencoded)
        return unencoded

    yield make
    for unencoded in created:
        unencoded.end()


def test_two_backfills_and_two_builds_never_share_the_gpu(create_unencoded: Callable[..., UnencodedCorpus]) -> None:
    unencoded = create_unencoded(batches=12, gated=True)
    usage = run_contention(unencoded, batches_each=3)
    assert sorted(use.purpose for use in usage.uses) == sorted(f"encoding {key}" for key in unencoded.keys)
    assert len({use.pid for use in usage.uses}) == 4
    assert find_overlaps([(use.begin, use.end) for use in usage.uses]) == []
    assert len(usage.steps) == 4
    # On SQLite Dagster lets two into a pool now and then, at the same instant; without a pool all would be in it.
    assert len(find_overlaps(usage.steps)) < len(usage.steps) - 1
    assert usage.max_concurrent_runs >= 3  # or it would prove nothing


def test_a_build_that_waits_names_the_holder_and_continues_when_it_is_killed(
    create_unencoded: Callable[..., UnencodedCorpus], home: Path, instance: dg.DagsterInstance
) -> None:
    unencoded = create_unencoded(batches=2)
    first = unencoded.build(home, unencoded.keys[:1], PRETEND_GPU_SEC="600")
    wait_until("the first is on the GPU", unencoded.uses)
    second = unencoded.build(home, unencoded.keys[1:])
    wait_until("the second waits", lambda: read_pool_state(instance, "gpu_t4").waiting)
    (waiting,) = read_pool_state(instance, "gpu_t4").waiting
    (holding,) = read_pool_state(instance, "gpu_t4").holding
    assert (holding.job, holding.batches, holding.pid) == ("encode_batch", unencoded.keys[0], str(first.pid))
    told = rf"waiting for the pool gpu_t4 \(limit 1\), held by run {holding.run_id[:8]} of encode_batch over "
    told += rf"{unencoded.keys[0]} on .*, process {first.pid}, since 20"
    wait_until("it says so", lambda: any(re.search(told, line) for line in read_run_log(instance, waiting.run_id)))
    first.kill()
    first.wait()
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    assert re.search(told, " ".join(output.split())), output
    assert f"{holding.run_id} of encode_batch was marked as failed" in " ".join(output.split())
    killed = instance.get_run_by_id(holding.run_id)
    assert killed is not None
    assert killed.status is dg.DagsterRunStatus.FAILURE
    assert [use.pid for use in unencoded.uses()] == [first.pid, second.pid]
    assert not read_pool_state(instance, "gpu_t4").holding


def test_a_run_of_dagsters_launcher_that_is_killed_on_the_gpu_gives_lock_and_slot_back_and_the_next_ones_enter(
    create_unencoded: Callable[..., UnencodedCorpus],
) -> None:
    unencoded = create_unencoded(batches=3, gated=True)
    with (
        run_dagster_dev(unencoded.folder, unencoded.variables, MODULE, unencoded.extra_variables) as dagster_server,
        dagster_server.instance as instance,
    ):
        instance.add_dynamic_partitions(CHANNEL_BATCH, unencoded.keys)
        for key in unencoded.keys[:2]:
            dagster_server.backfill(["coded_segments"], [key])
        dagster_server.wait("the first is on the GPU", unencoded.uses)
        (holding,) = read_pool_state(instance, "gpu_t4").holding
        (use,) = unencoded.uses()
        assert holding.pid == str(use.pid)
        assert read_gpu_holders(unencoded.variables["GPU_LOCK_DIR"])[GPU] is not None
        os.kill(use.pid, signal.SIGKILL)
        unencoded.open_gate()
        build = unencoded.build(dagster_server.home, unencoded.keys[2:])
        output, _ = build.communicate(timeout=300)
        assert build.returncode == 0, output
        dagster_server.wait(
            "the other backfill is done, too",
            lambda: len(unencoded.uses()) == 3 and not read_pool_state(instance, "gpu_t4").holding,
        )
        killed = instance.get_run_by_id(holding.run_id)
        assert killed is not None
        assert killed.status is dg.DagsterRunStatus.FAILURE
    uses = unencoded.uses()
    assert {use.purpose for use in uses} == {f"encoding {key}" for key in unencoded.keys}
    assert uses[0].end == float("inf")
    assert find_overlaps([(use.begin, use.end) for use in uses[1:]]) == []
    assert read_gpu_holders(unencoded.variables["GPU_LOCK_DIR"]) == {GPU: None}


def test_after_a_kill_pools_names_the_run_and_pools_apply_gives_the_slot_back_and_the_next_build_the_batch(
    create_unencoded: Callable[..., UnencodedCorpus], home: Path, instance: dg.DagsterInstance
) -> None:
    unencoded = create_unencoded(batches=1)
    build = unencoded.build(home, unencoded.keys, PRETEND_GPU_SEC="600")
    wait_until("it is on the GPU", unencoded.uses)
    shown = json.loads(unencoded.start_voice(home, "pools", "show", "--json").communicate(timeout=300)[0])
    (pool,) = [pool for pool in shown["pools"] if pool["name"] == "gpu_t4"]
    assert shown["killed"] == []
    assert [place["pid"] for place in pool["holding"]] == [str(build.pid)]
    assert shown["gpus"][GPU]["process"]["pid"] == build.pid
    assert shown["gpus"][GPU]["run_id"] == pool["holding"][0]["run_id"]
    build.send_signal(signal.SIGKILL)
    build.wait()
    assert read_pool_state(instance, "gpu_t4").holding  # nobody has noticed
    assert read_gpu_holders(unencoded.variables["GPU_LOCK_DIR"]) == {GPU: None}  # the kernel has
    output = unencoded.start_voice(home, "pools").communicate(timeout=300)[0]
    assert "was killed. `voice pools apply` marks it as failed" in output
    assert "free" in output
    assert read_pool_state(instance, "gpu_t4").holding
    output = unencoded.start_voice(home, "pools", "apply").communicate(timeout=300)[0]
    assert "was killed: it is marked as failed, and its slots are freed" in output
    assert not read_pool_state(instance, "gpu_t4").holding
    build = unencoded.build(home, unencoded.keys)
    assert build.wait(300) == 0


def test_a_step_that_waits_for_a_gpu_says_in_its_runs_log_who_holds_it(
    create_unencoded: Callable[..., UnencodedCorpus], home: Path, instance: dg.DagsterInstance
) -> None:
    unencoded = create_unencoded(batches=1)
    told = f"encoding {unencoded.keys[0]} waits for a GPU: {GPU} is held by a trial in the shell"
    told += f" (process {os.getpid()} on "
    with hold_gpu([GPU], "a trial in the shell", unencoded.variables["GPU_LOCK_DIR"]):
        build = unencoded.build(home, unencoded.keys)
        wait_until("it has the pool", lambda: read_pool_state(instance, "gpu_t4").holding)
        (place,) = read_pool_state(instance, "gpu_t4").holding
        wait_until("it says so", lambda: any(line.startswith(told) for line in read_run_log(instance, place.run_id)))
        assert unencoded.uses() == []
    output, _ = build.communicate(timeout=300)
    assert build.returncode == 0, output
    assert "waits for a GPU" in output


def test_a_build_that_waits_for_the_pool_uses_no_cpu_and_ends_at_once_when_terminated(
    create_unencoded: Callable[..., UnencodedCorpus], home: Path, instance: dg.DagsterInstance
) -> None:
    unencoded = create_unencoded(batches=2)
    first = unencoded.build(home, unencoded.keys[:1], PRETEND_GPU_SEC="600")
    wait_until("the first is on the GPU", unencoded.uses)
    second = unencoded.build(home, unencoded.keys[1:])
    wait_until("the second waits", lambda: read_pool_state(instance, "gpu_t4").waiting)
    before = cpu_sec(second.pid)
    time.sleep(3)
    assert cpu_sec(second.pid) - before < 1.0
    second.terminate()
    assert second.wait(60) == INTERRUPTED_EXIT_CODE
    assert first.poll() is None


@pytest.mark.parametrize(
    ("job", "asset", "partitions", "pool"),
    [
        ("encode_batch", "coded_segments", CHANNEL_BATCH, "gpu_t4"),
        ("speak_dialogues", "moshi_shards", DIALOGUE_BATCH, "gpu_h200"),
    ],
)
def test_a_step_waits_for_any_pool_without_using_the_cpu(
    instance: dg.DagsterInstance, job: str, asset: str, partitions: str, pool: str
) -> None:
    settings = Settings(codec="neucodec", neucodec={"pool": "gpu_t4"}, speech={"pool": "gpu_h200"})  # type: ignore[arg-type]
    instance.add_dynamic_partitions(partitions, ["some/batch-0001"])
    instance.event_log_storage.claim_concurrency_slot(pool, "somebody", "elses")
    run_id = str(uuid.uuid4())
    used: list[float] = []

    def look() -> None:
        told = f"waiting for the pool {pool} (limit 1), held by run somebody of an unknown job"
        try:
            wait_until("it says so", lambda: any(told in line for line in read_run_log(instance, run_id)))
            before = time.process_time()
            time.sleep(2)
            used.append(time.process_time() - before)
        finally:
            instance.event_log_storage.free_concurrency_slots_for_run("somebody")

    watching = threading.Thread(target=look)
    watching.start()
    build_definitions(settings).resolve_job_def(job).execute_in_process(
        instance=instance,
        run_id=run_id,
        partition_key="some/batch-0001",
        asset_selection=[dg.AssetKey(asset)],
        raise_on_error=False,  # there is nothing to make it of
    )
    watching.join()
    assert used, read_run_log(instance, run_id)
    assert used[0] < 1.0
    assert any(line.startswith(f"got a slot of the pool {pool} after ") for line in read_run_log(instance, run_id))


def test_dagster_still_polls_for_a_pool_without_a_pause(instance: dg.DagsterInstance) -> None:
    """Fails once Dagster pauses between two claims; `_PoolWaitListener` of pool_wait.py is not needed then."""
    instance.event_log_storage.claim_concurrency_slot("gpu_t4", "another run", "step")
    with InstanceConcurrencyContext(instance, dg.DagsterRun(job_name="encode_batch")) as concurrency:
        assert not concurrency.claim("gpu_t4", "encode")
        assert concurrency.has_pending_claims()
        assert concurrency.interval_to_next_pending_claim_check() <= 0


def test_limits_come_from_the_file_and_applying_them_again_changes_nothing(tmp_path: Path) -> None:
    instance = dg.DagsterInstance.from_config(str(new_home(tmp_path / "untouched")))
    assert read_pool_state(instance, "gpu_t4").is_default
    assert apply_limits(instance, load_gpu_profiles()) == ["gpu_t4: 1 at a time (new)", "gpu_h200: 1 at a time (new)"]
    assert not read_pool_state(instance, "gpu_t4").is_default
    assert apply_limits(instance, load_gpu_profiles()) == []
    instance.event_log_storage.set_concurrency_slots("gpu_h200", 3)
    assert apply_limits(instance, load_gpu_profiles()) == ["gpu_h200: 1 at a time (was 3)"]
    assert read_pool_state(instance, "gpu_h200").limit == 1
    config = instance.get_concurrency_config().pool_config
    assert str(config.pool_granularity) == "PoolGranularity.OP"
    assert config.default_pool_limit == 1


def test_a_run_sets_the_limit_of_its_pool_from_the_file_if_none_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gpus.toml"
    rest = 'batch_sec = 240\nprecision = "fp32"\nprecisions = ["fp32"]\n'
    file.write_text(f"[gpu_t4]\nlimit = 3\n{rest}[gpu_h200]\nlimit = 4\n{rest}")
    monkeypatch.setenv("VOICE_GPU_PROFILES", str(file))
    settings = Settings(codec="neucodec", neucodec={"pool": "gpu_t4"})  # type: ignore[arg-type]
    encode = build_definitions(settings).resolve_job_def("encode_batch")

    def limit_after_a_run(instance: dg.DagsterInstance) -> int | None:
        instance.add_dynamic_partitions(CHANNEL_BATCH, ["some/batch-0001"])
        encode.execute_in_process(instance=instance, partition_key="some/batch-0001", raise_on_error=False)
        return read_pool_state(instance, "gpu_t4").limit

    with dg.DagsterInstance.from_config(str(new_home(tmp_path / "untouched"))) as instance:
        assert limit_after_a_run(instance) == 3
        assert read_pool_state(instance, "gpu_h200").is_default  # in which none of its steps is
    with dg.DagsterInstance.from_config(str(new_home(tmp_path / "default"))) as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default("gpu_t4")  # as the daemon does
        assert limit_after_a_run(instance) == 3
    with dg.DagsterInstance.from_config(str(new_home(tmp_path / "set"))) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu_t4", 1)
        assert limit_after_a_run(instance) == 1


def test_runs_that_give_a_pool_its_limit_at_the_same_instant_give_it_once(tmp_path: Path) -> None:
    folder = str(new_home(tmp_path / "untouched"))
    instances = [dg.DagsterInstance.from_config(folder) for _ in range(8)]
    together = threading.Barrier(len(instances))

    def give(instance: dg.DagsterInstance) -> None:
        together.wait()
        set_missing_limits(instance, ["gpu_t4", "gpu_h200"])

    with ThreadPoolExecutor(len(instances)) as threads:
        list(threads.map(give, instances))
    for name in ("gpu_t4", "gpu_h200"):
        assert instances[0].event_log_storage.get_concurrency_info(name).slot_count == 1


def test_a_run_that_is_running_or_elsewhere_or_has_the_tags_of_another_is_not_changed(
    instance: dg.DagsterInstance,
) -> None:
    dead = {"voice/host": process_tags("")["voice/host"], "voice/pid": "1"}
    boot = process_tags("")["voice/process"].split()[-2]
    runs = {
        "alive": process_tags("alive"),
        "elsewhere": {**dead, "voice/host": "another", "voice/process": f"elsewhere {boot} 0"},
        "again": {**dead, "voice/process": f"first {boot} 0"},
        "killed": {**dead, "voice/process": f"killed {boot} 0"},
    }
    for run_id, tags in runs.items():
        instance.add_run(
            dg.DagsterRun(job_name="encode_batch", run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags)
        )
    assert release_orphaned_runs(instance) == ["killed"]
    assert release_orphaned_runs(instance) == []
    alive = instance.get_run_by_id("alive")
    assert alive is not None
    process = read_run_process(alive)
    assert process is not None
    assert process.pid == os.getpid()


def test_a_batch_of_a_killed_run_does_not_count_as_being_built(
    instance: dg.DagsterInstance,
) -> None:
    instance.add_dynamic_partitions(CHANNEL_BATCH, ["news/batch-0001"])
    boot = process_tags("")["voice/process"].split()[-2]
    tags = {**process_tags("killed"), "voice/process": f"killed {boot} 0", "dagster/partition": "news/batch-0001"}
    run = dg.DagsterRun(job_name="ingest_batch", run_id="killed", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    assert find_busy_partitions(instance, ["news/batch-0001"], ASSETS, ["ingest_batch"]) == {"news/batch-0001"}
    release_orphaned_runs(instance)
    assert find_busy_partitions(instance, ["news/batch-0001"], ASSETS, ["ingest_batch"]) == set()
