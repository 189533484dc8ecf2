"""`voice audiobook`: plan, build, redo, check and the like."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voice_assets.cli.book_names import all_books, book_key, find_book, find_source
from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import print_error_line, print_line, show_progress, show_wait_messages
from voice_core.language import pluralize
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.local_files import write_file

if TYPE_CHECKING:
    from voice_core.audiobook.audio_manifest import ChunkAudioManifest
    from voice_core.audiobook.chunk_manifest import BookManifest
    from voice_core.storage.store import Store
    from voice_core.synthesis import SynthesisOptions

BookArgument = Annotated[
    str, typer.Argument(help="A book's file, or the name of a book in the folder VOICE_AUDIOBOOK__BOOKS_URL.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Number of engines; by default, the physical cores less two, 1 to 12."),
]


def register(app: typer.Typer) -> None:
    for command in (plan, build, redo, check, page, speak, batch):
        app.command(command.__name__)(command)


def plan(
    book: BookArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what would be spoken of a book: chapters, what is skipped and why, hours, and disk space. Writes nothing.

    ≈ marks an estimate: nothing is spoken yet.
    """
    from voice_assets.cli.audiobook_tables import plan_to_dict, print_plan
    from voice_assets.cli.output import print_json
    from voice_core.audiobook.build import read_rows

    settings = Settings.load()
    file = find_book(settings, book)
    found, rows = read_rows(file.read(), file.name, settings)
    if as_json:
        print_json(plan_to_dict(found, rows, settings))
    else:
        print_plan(file.name, found, rows, settings)


def build(
    book: Annotated[
        list[str] | None, typer.Argument(help="Files or names of books; all of VOICE_AUDIOBOOK__BOOKS_URL by default.")
    ] = None,
    workers: Workers = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file again, and repair corrupt ones.")] = False,
) -> None:
    """Speak, validate and master books. Run it again at any time: only what changed is spoken and mastered again.

    The results are below `audiobooks/<book>/` of the work root. Chunks that failed validation are listed, worst first;
    the rest of the book is made.
    """
    from voice_assets.cli.audiobook_tables import print_library_report
    from voice_core.audiobook.build import build_books
    from voice_core.layout import BookKey

    settings = Settings.load()
    show_progress()
    show_wait_messages()
    chosen = [find_source(settings, name) for name in book] if book else all_books(settings)
    counts = Counter(str(item if isinstance(item, BookKey) else item.key) for item in chosen)
    if repeated := [key for key, count in counts.items() if count > 1]:
        raise ConfigurationError(f"several files are the book {', '.join(repeated)}: rename all but one of each")
    report = build_books(_open_work(settings), chosen, settings, _options(workers), verify=verify)
    print_library_report(report, settings)
    if report.failures:
        raise typer.Exit(FAILED_EXIT_CODE)


def redo(
    book: BookArgument,
    chunk: Annotated[list[str], typer.Argument(help="Chunks, such as 003-0012; `voice audiobook check` lists them.")],
    workers: Workers = None,
) -> None:
    """Speak chunks of a book again with another seed, keep the new take, and master their chapters again."""
    from voice_assets.cli.audiobook_tables import print_book_report
    from voice_core.audiobook.build import build_book

    settings = Settings.load()
    show_progress()
    show_wait_messages()
    found = find_source(settings, book)
    report = build_book(_open_work(settings), found, settings, _options(workers), redo=chunk)
    print_book_report(report.text.partition, report, settings)


def check(
    book: BookArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a finished book: whether its text adds up, every chunk is spoken, and every file is sound.

    Lists the chunks that failed validation, worst first, with their place in the book. Exit code 1 if a check of
    severity error fails.
    """
    from voice_assets.cli.audiobook_tables import print_checks
    from voice_assets.cli.output import print_json
    from voice_core.audiobook.audio_checks import list_exceptions
    from voice_core.audiobook.audiobook_manifest import read_audiobook_manifest
    from voice_core.audiobook.checks import check_audiobook, check_speech, check_text
    from voice_core.audiobook.pipeline_file import find_pipeline
    from voice_core.layout import BookKey

    settings = Settings.load()
    work = _open_work(settings, read_only=True)
    key = book_key(book)
    text, audio = _read_manifests(work, key)
    mastered = read_audiobook_manifest(work, BookKey(key))
    outcomes = [("book_chunks", item) for item in check_text(text)]
    outcomes += [("chunk_audio", item) for item in check_speech(work, text, audio)]
    if find_pipeline(text) is None:
        outcomes += [("audiobook", item) for item in check_audiobook(work, text, audio, mastered)]
    exceptions = list_exceptions(text, audio)
    if as_json:
        print_json(
            {
                "book": key,
                "checks": [
                    {"asset": asset, "check": item.name, "passed": item.passed, "message": item.message}
                    for asset, item in outcomes
                ],
                "exceptions": exceptions,
            }
        )
    else:
        print_checks(outcomes, exceptions)
    if any(not item.passed and not item.warning for _, item in outcomes):
        raise typer.Exit(FAILED_EXIT_CODE)


def page(
    book: BookArgument,
    path: Annotated[Path | None, typer.Option("--output", "-o", help="The HTML file; <book>.html by default.")] = None,
) -> None:
    """Write a page to listen to a book: its text, with the word lit that is spoken; click a word to hear it."""
    from voice_core.report.audiobook import render_book_page

    settings = Settings.load()
    work = _open_work(settings, read_only=True)
    key = book_key(book)
    text, audio = _read_manifests(work, key)
    target = path or Path(f"{key}.html")
    data = render_book_page(work, text, audio).encode()
    write_file(target, data)
    print_line(f"Listen: {target.resolve().as_uri()} ({len(data) / 1e6:.1f} MB)")


def speak(
    file_id: Annotated[str, typer.Option("--file_id", "--file-id", help="The file's id in pipeline.json.")],
    json_path: Annotated[Path, typer.Option("--json_path", "--json-path", help="The pipeline.json.")] = Path(
        "pipeline.json"
    ),
    workers: Workers = None,
) -> None:
    """Speak the chunks of one file of a pipeline.json, and merge the results into it.

    Reads the text files `phase3.files.ID.chunk_paths` and writes `phase4.files.ID.chunk_N`; everything else in the file
    is left as it is. Several processes may write to the same file. With AUDIOBOOK_BATCH_MODE set, one engine speaks.
    """
    from voice_core.audiobook.pipeline_json import speak_pipeline

    settings = Settings.load()
    show_progress()
    show_wait_messages()
    report = speak_pipeline(json_path, file_id, settings, workers or 0, work=_open_work(settings))
    for number, why in report.failed.items():
        print_error_line(f"chunk {number}: {why}", "failed:")
    print_line(
        f"{json_path}: {report.succeeded} of {pluralize(report.chunks, 'chunk')} of {file_id}; "
        f"{pluralize(report.spoken, 'take')} spoken now, {report.reused:,} kept, {report.exceptions:,} failed a test"
    )
    if report.failed:
        raise typer.Exit(FAILED_EXIT_CODE)


def batch(
    input_dir: Annotated[Path, typer.Option("--input-dir", help="Folder of books.")],
    max_workers: Annotated[
        int | None, typer.Option("--max-workers", min=1, help="Books at a time, each with one engine.")
    ] = None,
) -> None:
    """Build all books of a folder, several at a time, each with one engine."""
    from voice_assets.cli.audiobook_tables import print_library_report
    from voice_core.audiobook.books import list_books
    from voice_core.audiobook.build import build_books_in_parallel
    from voice_core.storage.store import Store

    settings = Settings.load()
    show_progress()
    show_wait_messages()
    if not input_dir.is_dir():
        raise ConfigurationError(f"--input-dir {input_dir}: the folder does not exist")
    books = Store(input_dir.expanduser().resolve().as_uri(), contained=not settings.follow_symlinks)
    listing = list_books(books)
    for problem in listing.problems:
        print_error_line(problem, "warning:", "yellow")
    files = [*listing.files.values()]
    report = build_books_in_parallel(_open_work(settings), files, settings, max_workers or 0)
    print_library_report(report, settings)
    if report.failures:
        raise typer.Exit(FAILED_EXIT_CODE)


def _read_manifests(work: "Store", key: str) -> "tuple[BookManifest, ChunkAudioManifest]":
    from voice_core.audiobook.manifests import require_speech, require_text
    from voice_core.layout import BookKey

    book = BookKey(key)
    return require_text(work, book, finished=False), require_speech(work, book, finished=False)


def _options(workers: int | None) -> "SynthesisOptions":
    from voice_core.synthesis import SynthesisOptions

    return SynthesisOptions(workers=workers or 0)


def _open_work(settings: Settings, *, read_only: bool = False) -> "Store":
    from resources.corpus import open_work, open_work_read_only

    return open_work_read_only(settings) if read_only else open_work(settings)
