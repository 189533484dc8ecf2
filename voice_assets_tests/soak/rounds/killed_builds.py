"""`voice build` of the small demo, killed -9 at random moments, on each kind of store."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from voice_assets_tests.servers.gcs import gcs_server
from voice_assets_tests.servers.s3 import s3_server
from voice_assets_tests.soak.deployments import STORAGE_KINDS, open_deployment
from voice_assets_tests.soak.kill_loop import KillRound, build_undisturbed, kill_loop, without_batches
from voice_assets_tests.soak.soak_result import SoakResult
from voice_core.demo.sample_data import generate_sample_data

NAME = "kill -9"
ROUNDS = 50


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    """So many kills in a row for each kind of store; all kinds must give the same bytes."""
    raw = generate_sample_data(folder / "corpus", seconds_scale=0.1).raw
    results: list[SoakResult] = []
    local: dict[str, bytes] = {}
    for kind in STORAGE_KINDS:
        started = time.monotonic()
        with ExitStack() as stack:
            s3, gcs = stack.enter_context(s3_server()), stack.enter_context(gcs_server())
            deployment = stack.enter_context(open_deployment(kind, folder / kind, raw, s3, gcs))
            expected, wall_sec = build_undisturbed(deployment)
            progress(f"{kind}: {len(expected)} objects, {wall_sec:.1f} s undisturbed")
            done: list[KillRound] = []
            local = local or without_batches(expected)
            wrong = int(without_batches(expected) != local)
            if wrong:
                progress(f"{kind}: other bytes than on local disk")
            try:
                done = kill_loop(
                    deployment, expected, kills=rounds, longest_sec=wall_sec, progress=lambda kill: progress(str(kill))
                )
            except AssertionError as error:
                progress(str(error))
                wrong += 1
        compared = sum(kill.finished for kill in done) + 2  # the undisturbed build, and the one at the end
        results.append(SoakResult(f"{NAME}, {kind}", rounds, compared, wrong, time.monotonic() - started))
    return results
