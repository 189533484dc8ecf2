"""Commands called plan, status, check, settings, trace, failures or pools, and every --dry-run, write nothing."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets.instance import open_instance
from voice_assets.run_ownership import process_tags
from voice_assets_tests.dagster_home import corpus_variables, create_dagster_home
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.hub import HubServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.audiobook.books import list_books
from voice_core.audiobook.build import build_book
from voice_core.compute.process_id import Process
from voice_core.corpus.manifest import load_manifest
from voice_core.layout import DatasetLayout, PartitionKey, batch_key, lock_key
from voice_core.publish.publish import publish
from voice_core.settings import Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions

READ_ONLY = {"plan", "status", "check", "settings", "trace", "failures", "pools"}
"""Names of commands and groups that must not write."""
WRITING = {
    ("adopt",), ("audit",), ("build",), ("clean",), ("demo",), ("forget",), ("moshi", "build"), ("page",),
    ("pools", "apply"), ("publish",), ("store", "copy"),
    ("audiobook", "batch"), ("audiobook", "build"), ("audiobook", "page"), ("audiobook", "redo"),
    ("audiobook", "speak"),
}  # fmt: skip
"""Commands that write, unless they are given --dry-run."""
PARTITION = PartitionKey("harbour-radio", 1)
WRITES = "PUT|POST|DELETE|PATCH"
UNFINISHED = {"publish": "run `voice build` first"}

Command = TyperCommand | TyperGroup


def commands(group: TyperGroup | None = None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Command]:
    """Every command of `voice` by its path; a group that does something by itself counts as one."""
    if group is None:
        top = typer.main.get_command(app)
        assert isinstance(top, TyperGroup)
        return commands(top)
    found: dict[tuple[str, ...], Command] = {path: group} if group.invoke_without_command else {}
    for name, command in group.commands.items():
        assert isinstance(command, Command)
        found |= commands(command, (*path, name)) if isinstance(command, TyperGroup) else {(*path, name): command}
    return found


def has(command: Command, option: str) -> bool:
    return any(option in parameter.opts for parameter in command.params)


def read_only_calls(arguments: dict[tuple[str, ...], list[list[str]]]) -> Iterator[list[str]]:
    """The arguments of every call that must not write. `arguments` are those that a command needs."""
    for path, command in commands().items():
        dry_run = has(command, "--dry-run")
        if path in WRITING and not dry_run:
            continue
        for needed in arguments.get(path, [[]]):
            call = [*path, *needed, *(["--dry-run"] if dry_run else [])]
            yield call
            if has(command, "--json"):
                yield [*call, "--json"]


def test_every_command_is_known_to_write_or_not_to() -> None:
    unknown = {path for path in commands() if not READ_ONLY.intersection(path)} - WRITING
    assert not unknown, "add it to WRITING, or give it a name of READ_ONLY"
    assert commands().keys() >= WRITING


@dataclasses.dataclass
class Place:
    """A corpus with everything that a command could be tempted to put right."""

    root: Path
    stores: Callable[[], object]  # what the stores hold
    key: str  # of a row
    refusals: dict[str, str]  # why calls of a command fail, unless they are given --force

    def arguments(self) -> dict[tuple[str, ...], list[list[str]]]:
        settings = Settings.load()
        return {
            ("audiobook", "plan"): [[str(self.root / "books" / "boat.txt")]],
            ("audiobook", "check"): [["boat"]],
            ("adopt",): [[f"{settings.work_url}/segments"]],
            ("clean",): [["segments", "coded", "datasets", "chunk_audio", "scratch"]],
            ("forget",): [["snow-006"]],
            ("publish",): [[], ["--force", "--purge-history"]],
            ("store", "copy"): [
                [settings.raw_url, str(self.root / "copy")],
                [str(self.root / "mirror"), f"{settings.work_url}/mirror", "--delete"],
            ],
            ("trace",): [[self.key], [self.key, "--verify"]],
        }

    def seen(self) -> tuple[object, object]:
        """All files with their times and all folders of this machine; what the stores hold."""
        paths = sorted(self.root.rglob("*"))
        files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths if path.is_file()}
        return (files, [path for path in paths if path.is_dir()]), self.stores()


def dead_process() -> Process:
    return dataclasses.replace(Process.current(), pid=1, started="0")


def change_raw(raw: Path) -> None:
    """New recordings in an old and in a new channel, a changed transcript, a vanished recording."""
    folder = raw / "harbour-radio"
    for path in list(folder.glob("snow-006.*")):
        shutil.copy(path, folder / f"new-one{path.suffix}")
        (raw / "new-channel").mkdir(exist_ok=True)
        shutil.copy(path, raw / "new-channel")
    for path in folder.glob("clocks-004.*"):
        path.unlink()
    transcript = raw / "Atheer_-" / "atheer_0003.json"
    document = json.loads(transcript.read_text("utf-8"))
    document["segments"][1]["text"] = "Put right by hand."
    transcript.write_text(json.dumps(document), "utf-8")


@pytest.fixture
def machine(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Dagster home, a scratch folder with what a killed process left, an empty working directory."""
    root = tmp_path / "machine"
    for name in ("cwd", "scratch/1-abc", "mirror", "books"):
        (root / name).mkdir(parents=True)
    (root / "mirror" / "a.txt").write_text("a")
    (root / "books" / "boat.txt").write_text("The boat left.")
    (root / "scratch" / "ledger.lock").touch()
    (root / "scratch" / "1-abc.room").write_text("5")
    (root / "scratch" / "1-abc" / "audio").write_bytes(b"12345")
    variables = {
        **corpus_variables(root / "raw", root / "work", create_dagster_home(root / "home")),
        "VOICE_LOCAL_DIR": root / "scratch",
        "VOICE_GPU_LOCK_DIR": root / "gpu-locks",
        "VOICE_HUB__REPO_ID": "team/voices",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(root / "cwd")
    return root


def fill(root: Path, built: Path) -> None:
    """Recordings, a finished dataset that was published; then changes, a stale claim, a killed run."""
    shutil.copytree(built / "raw", root / "raw")
    shutil.copytree(built / "work", root / "work")
    work = Store((root / "work").as_uri())
    publish(work, Settings.load(work_url=str(root / "work")))
    books = Store((root / "books").as_uri())
    boat = list_books(books).find("boat")
    build_book(work, boat, Settings.load(), SynthesisOptions(backend="serial"), mastering_workers=1)
    change_raw(root / "raw")
    work.put(lock_key(str(PARTITION)), json.dumps(dataclasses.asdict(dead_process())).encode())
    with open_instance() as instance:
        tags = {**process_tags("killed"), "voice/pid": "1"}
        tags["voice/process"] = f"killed {dead_process().boot} 0"
        instance.add_run(
            dg.DagsterRun(job_name="encode_batch", run_id="killed", status=dg.DagsterRunStatus.STARTED, tags=tags)
        )


def a_row(work: Store) -> str:
    manifest = load_manifest(work, DatasetLayout("voice").manifest_key(PARTITION))
    assert manifest is not None
    return f"harbour-radio/{manifest.kept()[0].audio_id}_seg_{manifest.kept()[0].index}"


def faults(place: Place) -> list[str]:
    """Make every call; those that wrote, and those that failed for another reason than the one that is expected."""
    found = []
    before = place.seen()
    for call in read_only_calls(place.arguments()):
        done = CliRunner().invoke(app, call)
        after = place.seen()
        for what, one, other in zip(("this machine", "a store"), before, after, strict=True):
            if one != other:
                found.append(f"voice {' '.join(call)} wrote to {what}")
        before = after
        refusal = place.refusals.get(call[0]) if "--force" not in call else None
        expected = refusal in str(done.exception) if refusal else done.exit_code == 0
        if not expected:
            found.append(f"voice {' '.join(call)}: {done.exception!r} {done.output}")
    return found


def hub_state(hub: HubServer) -> object:
    return {name: (dict(repo.refs), set(repo.objects)) for name, repo in hub.repos.items()}


def test_on_folders_nothing_is_written(machine: Path, built: Path, hub: HubServer) -> None:
    fill(machine, built)
    found = faults(Place(machine, lambda: hub_state(hub), a_row(Store((machine / "work").as_uri())), UNFINISHED))
    assert not found, "\n".join(found)


def test_on_buckets_that_refuse_to_be_written_to_nothing_is_tried(
    machine: Path,
    built: Path,
    hub: HubServer,
    s3_server: S3Server,
    s3_proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(machine, built)
    stores = {}
    for name in ("raw", "work"):
        stores[name] = Store(f"{s3_server.new_bucket()}/{name}", s3_server.access())
        stores[name].put_many(files_below(machine / name))
        shutil.rmtree(machine / name)
        monkeypatch.setenv(f"VOICE_{name.upper()}_URL", stores[name].url)
    for name, value in s3_server.environment(s3_proxy.url).items():
        monkeypatch.setenv(name, value)
    stores["work"].put(batch_key(PartitionKey("Atheer_-", 1)), b"{")  # which a build makes again
    s3_proxy.answer(403, "AccessDenied", times=0, method=WRITES)

    def seen() -> object:
        objects = {name: sorted(store.listing(), key=lambda item: item.key) for name, store in stores.items()}
        return objects, hub_state(hub), [item for item in s3_proxy.requests if item.method in WRITES.split("|")]

    refusals = {**UNFINISHED, "trace": "Run `voice build` to rebuild it"}
    found = faults(Place(machine, seen, a_row(stores["work"]), refusals))
    assert not found, "\n".join(found)


def test_without_earlier_results_nothing_is_created(machine: Path, built: Path, hub: HubServer) -> None:
    shutil.copytree(built / "raw", machine / "raw")
    shutil.rmtree(machine / "scratch")
    place = Place(machine, lambda: hub_state(hub), "harbour-radio/snow-006_seg_0", {})
    assert [fault for fault in faults(place) if "wrote" in fault] == []
