"""`voice clean`."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import confirm, console, print_error_line, print_line, show_progress
from voice_core.compute import progress
from voice_core.language import pluralize
from voice_core.layout import parse_partitions
from voice_core.settings import Settings

if TYPE_CHECKING:
    from voice_core.corpus.retention.evict import EvictionPlan, RebuildCost
    from voice_core.storage.store import Store


class Stage(StrEnum):
    SEGMENTS = "segments"
    CODED = "coded"
    DATASETS = "datasets"
    CHUNK_AUDIO = "chunk_audio"
    SCRATCH = "scratch"


def register(app: typer.Typer) -> None:
    app.command("clean")(clean)


def clean(
    stages: Annotated[
        list[Stage],
        typer.Argument(metavar="STAGE", help="segments, coded, datasets, chunk_audio or scratch; one or more."),
    ],
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="Only this batch, such as my-channel/batch-0001.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be freed, and free nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also free datasets that are not published.")] = False,
) -> None:
    """Delete the files of a stage that nothing needs any more.

    **segments** can be freed once the coded files exist (without a codec: the dataset's rows), **coded** once the
    dataset's rows exist, **datasets** once they are published. The files that replace them are read and compared with
    their checksums right before anything is deleted. A batch that is incomplete or not up to date keeps its files, and
    so does a recording that is not in the raw bucket any more.

    **chunk_audio** is the speech of books, which can be freed once the audiobook is mastered. Where a chapter has to be
    mastered again, its chunks are spoken again.

    **scratch** removes leftovers of killed processes: local copies, and on S3 unfinished uploads that are older than a
    day.

    Manifests are kept: `voice status` shows *freed*, `voice build` does not rebuild the files, and a step that needs a
    freed file later (a new codec, a rule that keeps more) rebuilds it, byte for byte.
    """
    from resources.corpus import open_work, open_work_read_only

    settings = Settings.load()
    show_progress()
    work = open_work_read_only(settings) if dry_run else open_work(settings)
    whole = True
    if Stage.SCRATCH in stages:
        _clean_scratch(work, settings, dry_run, yes)
    if Stage.CHUNK_AUDIO in stages:
        whole = _clean_books(work, dry_run, yes)
    wanted = [str(stage) for stage in stages if stage not in (Stage.SCRATCH, Stage.CHUNK_AUDIO)]
    if wanted:
        whole = _clean_stages(work, settings, wanted, partition or [], dry_run, yes, force) and whole
    if not whole:
        raise typer.Exit(FAILED_EXIT_CODE)


def _clean_stages(
    work: "Store",
    settings: Settings,
    stages: Sequence[str],
    chosen: Sequence[str],
    dry_run: bool,
    yes: bool,
    force: bool,
) -> bool:
    from voice_assets.build import compute_status
    from voice_core.corpus.retention.evict import DerivedFilesDamagedError, evict_files, plan_eviction

    _, status = compute_status(settings)
    keys = parse_partitions(chosen, {item.partition for item in status.partitions})
    items = [item for item in status.partitions if not keys or item.partition in keys]
    plans = plan_eviction(work, items, stages, settings, force=force)
    console.print(_table(plans))
    for plan in plans:
        if plan.retained:
            print_line(f"{plan.partition}, {plan.stage}: kept: {plan.retained}")
    todo = [plan for plan in plans if plan.files]
    if not todo:
        console.print("Nothing to free.")
        return True
    size = sum(plan.size_bytes for plan in todo)
    what = f"{pluralize(sum(len(plan.files) for plan in todo), 'file')}, {size / 1e9:,.3f} GB"
    if dry_run:
        console.print(f"{what} would be freed.")
        return True
    if not yes:
        confirm(f"Free {what}?", abort=True)
    freed, whole = 0, True
    with progress.track("verifying and freeing", len(todo), "batches") as bar:
        for plan in todo:
            try:
                evict_files(work, plan, settings)
                freed += plan.size_bytes
            except DerivedFilesDamagedError as error:
                whole = False
                print_error_line(str(error), "kept:")
            bar.advance()
    console.print(f"{freed / 1e9:,.3f} GB freed.")
    return whole


def _table(plans: Sequence["EvictionPlan"]) -> Table:
    table = Table(title="Files that can be freed", title_justify="left")
    for name in ("batch", "stage"):
        table.add_column(name)
    for name in ("files", "GB"):
        table.add_column(name, justify="right")
    table.add_column("to rebuild")
    for plan in plans:
        if plan.refusal:
            table.add_row(str(plan.partition), plan.stage, "", "", f"[yellow]kept:[/] {escape(plan.refusal)}")
        elif plan.files:
            size = f"{plan.size_bytes / 1e9:,.3f}"
            table.add_row(
                str(plan.partition), plan.stage, f"{len(plan.files):,}", size, _describe_rebuild(plan.rebuild)
            )
    return table


def _describe_rebuild(rebuild: "RebuildCost") -> str:
    parts = []
    if rebuild.decode_recordings:
        parts.append(f"decode {rebuild.decode_hours:,.2f} h of {pluralize(rebuild.decode_recordings, 'recording')}")
    if rebuild.encode_segments:
        parts.append(f"encode {pluralize(rebuild.encode_segments, 'segment')}")
    if rebuild.copied:
        parts.append(f"copy {rebuild.copied:,} back from later stages")
    return ", ".join(parts) or "write again"


def _clean_books(work: "Store", dry_run: bool, yes: bool) -> bool:
    """Free the speech of finished audiobooks; returns whether all of what was planned is freed."""
    from voice_core.audiobook.integrity import list_built_books
    from voice_core.audiobook.retention import free_speech, plan_freeing

    plans = [plan_freeing(work, book) for book in list_built_books(work)]
    for plan in plans:
        if plan.kept:
            print_line(f"{plan.book}: kept: {plan.kept}")
    todo = [plan for plan in plans if plan.keys]
    size = sum(plan.size_bytes for plan in todo)
    books = pluralize(len(todo), "book")
    what = f"{pluralize(sum(len(plan.keys) for plan in todo), 'chunk')} of {books}, {size / 1e9:,.3f} GB"
    if not todo or dry_run:
        print_line(f"{what} would be freed." if todo else "No speech of books to free.")
        return True
    if not yes:
        confirm(f"Free {what}?", abort=True)
    freed = [free_speech(work, plan.book) for plan in todo]
    for plan in freed:
        if plan.kept:
            print_error_line(f"{plan.book}: {plan.kept}", "kept:")
    print_line(f"{sum(plan.size_bytes for plan in freed) / 1e9:,.3f} GB of speech freed.")
    return not any(plan.kept for plan in freed)


def _clean_scratch(work: "Store", settings: Settings, dry_run: bool, yes: bool) -> None:
    from voice_core.storage.scratch import find_scratch
    from voice_core.storage.store import StoreError
    from voice_core.storage.unfinished_uploads import abort_uploads, list_unfinished_uploads

    scratch = find_scratch(settings.local_dir, settings.local_gb)
    left = scratch.find_abandoned()
    console.print(
        f"{scratch.root}: {pluralize(left.count, 'leftover')} of killed processes, {left.size_bytes / 1e9:,.3f} GB",
        markup=False,
    )
    uploads = []
    if work.url.startswith("s3"):
        try:
            uploads = list_unfinished_uploads(work)
        except StoreError as error:
            print_error_line(str(error))
        else:
            size = sum(upload.size_bytes for upload in uploads)
            what = f"{pluralize(len(uploads), 'unfinished upload')}, {size / 1e9:,.3f} GB"
            console.print(f"{work.url}: {what}", markup=False)
    if dry_run or not (left.count or uploads):
        return
    if not yes:
        confirm("Remove them?", abort=True)
    scratch.remove_abandoned()
    abort_uploads(work, uploads)
