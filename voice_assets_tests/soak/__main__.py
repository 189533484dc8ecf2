"""`make soak`: everything that `make test` does a few rounds of, at full number. Ends with a table and its figures."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudCorpus, without_batch_records
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import PROJECT
from voice_assets_tests.servers.faulty_proxy import faulty_proxy
from voice_assets_tests.servers.gcs import GcsServer, gcs_server
from voice_assets_tests.servers.s3 import S3Server, s3_server
from voice_assets_tests.soak.concurrent_builds import build_concurrently
from voice_assets_tests.soak.deployments import STORAGE_KINDS, open_deployment
from voice_assets_tests.soak.fault_injection import inject_random_faults
from voice_assets_tests.soak.kill_loop import KillRound, build_undisturbed, kill_loop
from voice_assets_tests.soak.rounds import soak_tests
from voice_assets_tests.soak.soak_result import SoakResult
from voice_core.demo.sample_data import generate_sample_data

RESULTS = PROJECT / "benchmarks" / "results" / "soak.json"
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="Kills in a row, for each kind of store.")
    parser.add_argument("--rounds", type=int, default=30, help="Rounds of bad weather, and of two builds at once.")
    parser.add_argument("--kind", choices=STORAGE_KINDS, action="append", help="Only these kinds of store.")
    parser.add_argument("--only", choices=["builds", *soak_tests()], action="append", help="Only these tests.")
    parser.add_argument("--share", type=float, default=1.0, help="Share of the rounds of each test of soak/rounds.")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voice-soak-")))
        results: list[SoakResult] = []
        if not options.only or "builds" in options.only:
            s3, gcs = stack.enter_context(s3_server()), stack.enter_context(gcs_server())
            results += _run_builds(folder, s3, gcs, options)
        for name, test in soak_tests().items():
            if not options.only or name in options.only:
                console.print(test.NAME)
                (folder / name).mkdir()
                results += test.run(folder / name, max(1, round(test.ROUNDS * options.share)), _print_line)
    table = Table(title="Soak tests", title_justify="left")
    for name in ("what", "rounds", "compared", "wrong", "minutes", "note"):
        table.add_column(name, justify="left" if name in ("what", "note") else "right")
    for item in results:
        figures = (item.rounds, item.finished, item.wrong, f"{item.wall_sec / 60:.1f}", item.note)
        table.add_row(item.what, *map(str, figures))
    console.print(table)
    rows = [
        {"what": o.what, "rounds": o.rounds, "compared": o.finished, "wrong": o.wrong,
         "wall_sec": round(o.wall_sec, 1), **({"note": o.note} if o.note else {})}
        for o in results
    ]  # fmt: skip
    if options.share == 1.0 and not options.kind:
        _store_results(rows, all_of_them=not options.only)
    if any(item.wrong for item in results):
        raise SystemExit(1)


def _store_results(rows: list[dict[str, object]], all_of_them: bool) -> None:
    """Write the figures; those of tests that did not run now are kept unless all ran."""
    stored = [] if all_of_them or not RESULTS.is_file() else json.loads(RESULTS.read_text())
    new = {row["what"]: row for row in rows}
    kept = [row for row in stored if row["what"] not in new]
    RESULTS.write_text(json.dumps([*kept, *new.values()], indent=1) + "\n")


def _run_builds(folder: Path, s3: S3Server, gcs: GcsServer, options: argparse.Namespace) -> Iterator[SoakResult]:
    raw = generate_sample_data(folder / "corpus", seconds_scale=0.1).raw
    for kind in options.kind or STORAGE_KINDS:
        started = time.monotonic()
        with open_deployment(kind, folder / kind, raw, s3, gcs) as deployment:
            wanted, wall_sec = build_undisturbed(deployment)
            console.print(f"{kind}: {len(wanted)} objects, {wall_sec:.1f} s undisturbed")
            rounds: list[KillRound] = []
            differing = 0
            try:
                rounds = kill_loop(deployment, wanted, kills=options.kills, longest_sec=wall_sec, progress=_print_kill)
            except AssertionError as error:
                console.print(f"[red]{error}[/]", highlight=False)
                differing = 1
        finished = sum(kill.finished for kill in rounds) + 1
        yield SoakResult(f"kill -9, {kind}", options.kills, finished, differing, time.monotonic() - started)
    yield _repeat_build("bad weather, s3", options.rounds, folder / "weather", s3, _build_with_faults)
    yield _repeat_build("two builds at once, s3", options.rounds, folder / "two", s3, _build_concurrently)


def _print_line(line: str) -> None:
    console.print(f"  {line}", markup=False, highlight=False)


def _print_kill(kill: KillRound) -> None:
    end = "came to its end" if kill.finished else "killed"
    console.print(f"{kill.number:4d}  {end} within {kill.after_sec:5.1f} s, {kill.objects} objects", highlight=False)


def _repeat_build(
    what: str, rounds: int, folder: Path, s3: S3Server, build: Callable[[Path, Path, S3Server, int], CloudCorpus]
) -> SoakResult:
    """Build a small corpus in a new place each time, and compare with one on local disk."""
    started = time.monotonic()
    (folder / "local").mkdir(parents=True)
    local = Corpus(folder / "local")
    for name in "abcd":
        local.add_recording(name, 6.0)
    local.build()
    wanted = without_batch_records(local.files())
    differing = 0
    for number in range(rounds):
        corpus = build(folder / str(number), local.raw_dir, s3, number)
        same = without_batch_records(corpus.files()) == wanted
        differing += not same
        console.print(f"{number + 1:4d}  {what}: {'the same bytes' if same else 'OTHER BYTES'}", highlight=False)
    return SoakResult(what, rounds, rounds, differing, time.monotonic() - started)


def _create_cloud_corpus(folder: Path, raw_dir: Path, s3: S3Server, endpoint_url: str = "") -> CloudCorpus:
    folder.mkdir(parents=True)
    direct, access = s3.access(), s3.access(endpoint_url)
    buckets = Buckets(s3.new_bucket(), f"{s3.new_bucket()}/work", access, access, direct, direct)
    corpus = CloudCorpus(folder, buckets)
    corpus.raw_dir.rmdir()
    corpus.raw_dir = raw_dir
    corpus.upload()
    return corpus


def _build_with_faults(folder: Path, raw_dir: Path, s3: S3Server, seed: int) -> CloudCorpus:
    with faulty_proxy(s3.url) as proxy:
        corpus = _create_cloud_corpus(folder, raw_dir, s3, proxy.url)
        inject_random_faults(proxy, seed)
        corpus.build()
    return corpus


def _build_concurrently(folder: Path, raw_dir: Path, s3: S3Server, seed: int) -> CloudCorpus:
    corpus = _create_cloud_corpus(folder, raw_dir, s3)
    build_concurrently(corpus, folder / "other")
    return corpus


if __name__ == "__main__":
    main()
