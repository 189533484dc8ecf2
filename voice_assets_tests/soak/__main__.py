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

from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudWorld, made_of_content
from voice_assets_tests.core.corpus.small_corpus import World
from voice_assets_tests.servers.faulty import faulty_proxy
from voice_assets_tests.servers.gcs import GcsServer, gcs_server
from voice_assets_tests.servers.s3 import S3Server, s3_server
from voice_assets_tests.soak.concurrent_builds import build_together
from voice_assets_tests.soak.fault_injection import brew
from voice_assets_tests.soak.kill_loop import Kill, kill_loop, undisturbed
from voice_assets_tests.soak.outcome import Outcome
from voice_assets_tests.soak.places import KINDS, PROJECT, place
from voice_assets_tests.soak.rounds import soak_tests
from voice_core.demo.sample_data import build_world

RESULTS = PROJECT / "benchmarks" / "results" / "soak.json"
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="Kills in a row, for each kind of store.")
    parser.add_argument("--rounds", type=int, default=30, help="Rounds of bad weather, and of two builds at once.")
    parser.add_argument("--kind", choices=KINDS, action="append", help="Only these kinds of store.")
    parser.add_argument("--only", choices=["builds", *soak_tests()], action="append", help="Only these tests.")
    parser.add_argument("--share", type=float, default=1.0, help="Share of the rounds of each test of soak/rounds.")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voice-soak-")))
        outcomes: list[Outcome] = []
        if not options.only or "builds" in options.only:
            s3, gcs = stack.enter_context(s3_server()), stack.enter_context(gcs_server())
            outcomes += _outcomes(folder, s3, gcs, options)
        for name, test in soak_tests().items():
            if not options.only or name in options.only:
                console.print(test.NAME)
                (folder / name).mkdir()
                outcomes += test.run(folder / name, max(1, round(test.ROUNDS * options.share)), _say)
    table = Table(title="Soak tests", title_justify="left")
    for name in ("what", "rounds", "compared", "wrong", "minutes", "note"):
        table.add_column(name, justify="left" if name in ("what", "note") else "right")
    for item in outcomes:
        figures = (item.rounds, item.finished, item.differing, f"{item.wall_sec / 60:.1f}", item.note)
        table.add_row(item.what, *map(str, figures))
    console.print(table)
    rows = [
        {"what": o.what, "rounds": o.rounds, "compared": o.finished, "wrong": o.differing,
         "wall_sec": round(o.wall_sec, 1), **({"note": o.note} if o.note else {})}
        for o in outcomes
    ]  # fmt: skip
    if options.share == 1.0 and not options.kind:
        _store_results(rows, all_of_them=not options.only)
    if any(item.differing for item in outcomes):
        raise SystemExit(1)


def _store_results(rows: list[dict[str, object]], all_of_them: bool) -> None:
    """Write the figures; those of tests that did not run now are kept unless all ran."""
    stored = [] if all_of_them or not RESULTS.is_file() else json.loads(RESULTS.read_text())
    new = {row["what"]: row for row in rows}
    kept = [row for row in stored if row["what"] not in new]
    RESULTS.write_text(json.dumps([*kept, *new.values()], indent=1) + "\n")


def _outcomes(folder: Path, s3: S3Server, gcs: GcsServer, options: argparse.Namespace) -> Iterator[Outcome]:
    raw = build_world(folder / "world", seconds_scale=0.1).raw
    for kind in options.kind or KINDS:
        started = time.monotonic()
        with place(kind, folder / kind, raw, s3, gcs) as corpus:
            wanted, wall_sec = undisturbed(corpus)
            console.print(f"{kind}: {len(wanted)} objects, {wall_sec:.1f} s undisturbed")
            rounds: list[Kill] = []
            differing = 0
            try:
                rounds = kill_loop(corpus, wanted, kills=options.kills, longest_sec=wall_sec, tell=_tell)
            except AssertionError as error:
                console.print(f"[red]{error}[/]", highlight=False)
                differing = 1
        finished = sum(kill.finished for kill in rounds) + 1
        yield Outcome(f"kill -9, {kind}", options.kills, finished, differing, time.monotonic() - started)
    yield _repeated("bad weather, s3", options.rounds, folder / "weather", s3, _weathered)
    yield _repeated("two builds at once, s3", options.rounds, folder / "two", s3, _twice)


def _say(line: str) -> None:
    console.print(f"  {line}", markup=False, highlight=False)


def _tell(kill: Kill) -> None:
    end = "came to its end" if kill.finished else "killed"
    console.print(f"{kill.number:4d}  {end} within {kill.after_sec:5.1f} s, {kill.objects} objects", highlight=False)


def _repeated(
    what: str, rounds: int, folder: Path, s3: S3Server, build: Callable[[Path, Path, S3Server, int], CloudWorld]
) -> Outcome:
    """Build a small corpus in a new place each time, and compare with one on local disk."""
    started = time.monotonic()
    (folder / "local").mkdir(parents=True)
    local = World(folder / "local")
    for name in "abcd":
        local.record(name, 6.0)
    local.build()
    wanted = made_of_content(local.files())
    differing = 0
    for number in range(rounds):
        world = build(folder / str(number), local.raw_dir, s3, number)
        same = made_of_content(world.files()) == wanted
        differing += not same
        console.print(f"{number + 1:4d}  {what}: {'the same bytes' if same else 'OTHER BYTES'}", highlight=False)
    return Outcome(what, rounds, rounds, differing, time.monotonic() - started)


def _cloud_world(folder: Path, raw_dir: Path, s3: S3Server, endpoint_url: str = "") -> CloudWorld:
    folder.mkdir(parents=True)
    direct, access = s3.access(), s3.access(endpoint_url)
    buckets = Buckets(s3.new_bucket(), f"{s3.new_bucket()}/work", access, access, direct, direct)
    world = CloudWorld(folder, buckets)
    world.raw_dir.rmdir()
    world.raw_dir = raw_dir
    world.upload()
    return world


def _weathered(folder: Path, raw_dir: Path, s3: S3Server, seed: int) -> CloudWorld:
    with faulty_proxy(s3.url) as proxy:
        world = _cloud_world(folder, raw_dir, s3, proxy.url)
        brew(proxy, seed)
        world.build()
    return world


def _twice(folder: Path, raw_dir: Path, s3: S3Server, seed: int) -> CloudWorld:
    world = _cloud_world(folder, raw_dir, s3)
    build_together(world, folder / "other")
    return world


if __name__ == "__main__":
    main()
