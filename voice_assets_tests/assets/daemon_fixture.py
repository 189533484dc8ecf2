"""Dagster's webserver and daemon, with everything switched on, over a small corpus, and a client for them."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from voice_assets.pools import apply_limits
from voice_assets_tests.dagster_home import create_dagster_home
from voice_assets_tests.processes import kill_process_group, wait_until
from voice_assets_tests.servers.process import free_port
from voice_core.compute.gpus import load_gpu_profiles

_LAUNCH = """
mutation Launch($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
_LAUNCH_RUN = """
mutation LaunchRun($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_BACKFILL = (
    "query Status($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
)
_TICKS = """
query Ticks($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) {
    ... on InstigationState { ticks(limit: 50) { status skipReason runIds error { message } } }
  }
}
"""


@dataclass
class DagsterServer:
    """Talks to Dagster as a browser would."""

    url: str
    home: Path
    log: Path
    module: str

    @property
    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))

    def query_graphql(self, query: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            value = json.load(answer)
        assert "errors" not in value, value["errors"]
        return value["data"]

    def backfill(self, assets: list[str], partitions: list[str] | None = None) -> str:
        """Launch a backfill as the UI does, over all partitions unless some are given; returns its id."""
        parameters: dict[str, Any] = {"assetSelection": [{"path": [name]} for name in assets]}
        parameters |= {"allPartitions": True} if partitions is None else {"partitionNames": partitions}
        answer = self.query_graphql(_LAUNCH, parameters=parameters)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def launch(self, job: str) -> str:
        """Launch a job as the UI does; returns the id of the run."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": self.module,
            "jobName": job,
        }
        answer = self.query_graphql(_LAUNCH_RUN, parameters={"selector": selector, "runConfigData": {}})["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def backfill_status(self, backfill_id: str) -> str:
        return self.query_graphql(_BACKFILL, id=backfill_id)["partitionBackfillOrError"]["status"]

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """The ticks of a sensor, the newest first."""
        selector = {
            "name": name,
            "repositoryName": "__repository__",
            "repositoryLocationName": self.module,
        }
        return self.query_graphql(_TICKS, selector=selector)["instigationStateOrError"].get("ticks", [])

    def wait(self, what: str, until: Callable[[], object], seconds: float = 600.0) -> None:
        """Poll until something holds; fails with the end of Dagster's log."""
        wait_until(what, until, seconds, describe=lambda: self.log.read_text("utf-8", "replace")[-6000:], poll_sec=0.5)


@contextmanager
def run_dagster_dev(
    folder: Path,
    variables: Mapping[str, str],
    module: str = "voice_assets.definitions",
    others: Mapping[str, str] | None = None,
    workspace: Path | None = None,
) -> Iterator[DagsterServer]:
    """`dagster dev` in a home of its own, ended with all its children.

    `variables` are VOICE_* without the prefix, `others` are added as they are. A `workspace` takes the module's place.
    """
    home = create_dagster_home(folder / "home", with_databases=True)
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VOICE_")}
    environment |= {f"VOICE_{key}": value for key, value in variables.items()}
    environment |= {"DAGSTER_HOME": str(home), "PYTHONUNBUFFERED": "1", **(others or {})}
    log = folder / "dagster.log"
    with dg.DagsterInstance.from_config(str(home)) as instance:  # two processes on a fresh SQLite home would race
        apply_limits(instance, load_gpu_profiles())
    target = ["-m", module] if workspace is None else ["-w", str(workspace)]
    command = [sys.executable, "-m", "dagster", "dev", *target]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    dagster_server = DagsterServer(f"http://127.0.0.1:{port}", home, log, module)
    try:
        dagster_server.wait("the webserver answers", lambda: _is_ready(dagster_server, process))
        yield dagster_server
    finally:
        kill_process_group(process.pid)  # after a SIGTERM it goes on for more than 20 seconds
        process.wait()


def _is_ready(dagster_server: DagsterServer, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, dagster_server.log.read_text("utf-8", "replace")[-4000:]
    with suppress(OSError):
        return bool(dagster_server.query_graphql("query { version }"))
    return False
