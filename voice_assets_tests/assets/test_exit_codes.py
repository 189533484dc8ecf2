"""What a command's exit code says, and what is printed when an error ends it."""

import resource
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy.exc import OperationalError

from voice_assets.cli.exit_codes import ERROR_EXIT_CODE, INTERNAL_ERROR_EXIT_CODE, INTERRUPTED_EXIT_CODE, report_error
from voice_assets.failures import describe_error, describe_root_cause
from voice_assets_tests.command_server import run_voice
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import create_dagster_home
from voice_core.settings import ConfigurationError
from voice_core.storage.store import StoreError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh DAGSTER_HOME, beside a raw bucket of one recording."""
    folder = create_dagster_home(tmp_path / "home")
    corpus = Corpus(tmp_path)
    corpus.add_recording("a", 4.0)
    for name, value in {
        "DAGSTER_HOME": folder,
        "VOICE_RAW_URL": corpus.raw_dir,
        "VOICE_WORK_URL": corpus.work_dir,
        "VOICE_CODEC": "none",
    }.items():
        monkeypatch.setenv(name, str(value))
    return folder


def run(
    *arguments: str, code: str = "", largest_file: int = resource.RLIM_INFINITY
) -> "subprocess.CompletedProcess[str]":
    """Run `voice`; a file that grows beyond `largest_file` bytes meets an error, as one on a full disk."""
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file}, {resource.RLIM_INFINITY}))\n"
    return run_voice(*arguments, code=limit + code)


def test_an_instance_that_cannot_be_created_on_a_full_disk_is_one_line_and_code_2(home: Path) -> None:
    done = run("pools", "apply", largest_file=60_000)
    assert done.returncode == ERROR_EXIT_CODE
    assert len(done.stderr.splitlines()) == 1
    assert f"Dagster's databases under {home} (DAGSTER_HOME)" in done.stderr
    assert "free space on its disk" in done.stderr
    assert sorted(path.name for path in home.iterdir()) == [".instance.lock", "dagster.yaml"]
    assert run("pools", "apply").returncode == 0


def test_a_build_without_disk_space_for_its_record_says_so_and_the_next_one_resumes(home: Path) -> None:
    assert run("pools", "apply").returncode == 0
    room = (home / "history" / "runs" / "index.db").stat().st_size + 4096
    done = run("build", largest_file=room)
    assert done.returncode == ERROR_EXIT_CODE
    assert "Traceback" not in done.stdout + done.stderr
    assert "free space on its disk and run the same command again" in done.stderr
    assert run("build").returncode == 0
    assert "Nothing to do" in run("build").stdout


def test_a_bug_of_the_program_has_its_own_exit_code_and_saves_its_traceback(home: Path) -> None:
    done = run("break", code="@app.command('break')\ndef fail(): None.missing")
    assert done.returncode == INTERNAL_ERROR_EXIT_CODE
    assert done.stderr.startswith("internal error: AttributeError: 'NoneType' object has no attribute 'missing'.")
    assert len(done.stderr.splitlines()) == 1
    kept = Path(done.stderr.split()[-1])
    assert "in fail" in kept.read_text("utf-8")
    kept.unlink()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("no such codec"), ERROR_EXIT_CODE),
        (PermissionError(13, "denied"), ERROR_EXIT_CODE),
        (KeyError("recordings"), INTERNAL_ERROR_EXIT_CODE),
        (AssertionError(), INTERNAL_ERROR_EXIT_CODE),
        (NotImplementedError(), INTERNAL_ERROR_EXIT_CODE),
    ],
)
def test_errors_that_are_foreseen_end_with_2_and_others_with_70(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert report_error(error) == code
    assert len(list(tmp_path.glob("voice-error-*.txt"))) == (code == INTERNAL_ERROR_EXIT_CODE)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError("get file:///data/a: refused"), "error: get file:///data/a: refused"),
        (ConfigurationError("workers is wrong"), "error: workers is wrong"),
        (LookupError("there is no batch"), "error: there is no batch"),
        (LookupError(), "error: LookupError: "),
        (PermissionError(13, "denied"), "error: PermissionError: [Errno 13] denied"),
    ],
)
def test_an_error_of_this_project_is_printed_without_the_name_of_its_class(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report_error(error)
    assert capsys.readouterr().err == f"{told}\n"


def test_the_error_of_a_step_is_printed_without_the_name_of_its_class() -> None:
    @dg.op
    def fail() -> None:
        raise StoreError("get file:///data/a: refused")

    @dg.job
    def failing() -> None:
        fail()

    result = failing.execute_in_process(raise_on_error=False)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert describe_root_cause(event.step_failure_data.error) == "get file:///data/a: refused"
    assert describe_error(event.step_failure_data.error).startswith("get file:///data/a: refused\n")


def _fill(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE a (b)")
        connection.execute("PRAGMA max_page_count = 3")
        connection.execute("INSERT INTO a VALUES (zeroblob(100000))")


def _write_read_only(database: Path) -> None:
    with sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True) as connection:
        connection.execute("CREATE TABLE a (b)")


def _write_what_is_locked(database: Path) -> None:
    other = sqlite3.connect(database)
    other.execute("BEGIN EXCLUSIVE")
    try:
        sqlite3.connect(database, timeout=0).execute("CREATE TABLE a (b)")
    finally:
        other.close()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_fill, "database or disk is full: free space on its disk"),
        (
            _write_read_only,
            "attempt to write a readonly database: set DAGSTER_HOME to a folder that this user can write to",
        ),
        (_write_what_is_locked, "database is locked: another process is writing to it"),
    ],
)
def test_an_error_of_a_database_is_one_line(
    write: Callable[[Path], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "runs.db"
    sqlite3.connect(database).execute("CREATE TABLE first (b)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        write(database)
    wrapped = OperationalError("INSERT", {}, caught.value)
    wrapped.__cause__ = caught.value
    assert report_error(wrapped) == ERROR_EXIT_CODE
    assert said in capsys.readouterr().err


def test_the_help_and_the_reference_list_the_exit_codes() -> None:
    told = " ".join(run("--help").stdout.split())
    reference = (Path(__file__).parents[2] / "docs/reference/exit-codes.md").read_text("utf-8")
    for code in (ERROR_EXIT_CODE, INTERNAL_ERROR_EXIT_CODE, INTERRUPTED_EXIT_CODE):
        assert f"{code} " in told[told.index("Exit codes") :]
        assert f"| {code} |" in reference
