"""`voice audit`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import console, print_error_line, show_progress, take_first
from voice_core.language import pluralize
from voice_core.layout import parse_partitions
from voice_core.settings import Settings

_SHOWN = 20  # files


def register(app: typer.Typer) -> None:
    app.command("audit")(audit)


def audit(
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="Only this batch, such as my-channel/batch-0001.")
    ] = None,
) -> None:
    """Read every file of the work root again and compare it with what was committed. Changes nothing but its report.

    Covers all batches, all datasets with their cards and splits, dialogues and their shards, audiobooks, and the state
    files.
    The exit code is 1 if a file is missing, damaged, or differs from what was committed. Files that no commit record
    lists are shown, too. A complete audit writes its report to audits/latest.json under the work root; run the same
    command again to resume one that was interrupted.
    """
    from resources.corpus import open_work, open_work_read_only
    from voice_core.audiobook.integrity import list_built_books
    from voice_core.audit import audit_work_root as audit_all
    from voice_core.corpus.ingest.batches import list_partitions
    from voice_core.corpus.integrity import audit_partition, dataset_names
    from voice_core.moshi.integrity import data_sets
    from voice_core.stages.integrity import AuditReport

    settings = Settings.load()
    known = list_partitions(open_work_read_only(settings))
    there = open_work_read_only(settings)
    if not known and not data_sets(there) and not list_built_books(there):
        raise LookupError(f"nothing to audit: there is no batch of recordings in {settings.work_url} (VOICE_WORK_URL)")
    keys = parse_partitions(partition or [], known)
    show_progress()
    work = open_work(settings)
    if keys:
        names = dataset_names(work)
        found = {str(key): audit_partition(work, key, settings, names) for key in keys}
        report = AuditReport("", partitions=found, dataset=settings.dataset)
    else:
        report = audit_all(work, settings)
    for key, what in report.wrong.items():
        print_error_line(f"{key} {what}")
    _print_first(report.unlisted, "is not listed by any commit record")
    _print_first(report.unfinished, "is not up to date: a build completes it")
    console.print(
        f"{pluralize(report.files, 'file')}, {report.size_bytes / 1e9:,.2f} GB in "
        f"{pluralize(len(report.partitions), 'batch')}: "
        f"{len(report.wrong):,} wrong, {len(report.unlisted):,} not listed."
    )
    if report.wrong:
        for remedy in report.remedies:
            print_error_line(f"To repair: {remedy}")
        raise typer.Exit(FAILED_EXIT_CODE)


def _print_first(keys: Sequence[str], what: str) -> None:
    shown, more = take_first(keys, _SHOWN)
    for key in [*shown, *([more] if more else [])]:
        print_error_line(f"{key} {what}" if key is not more else f"{more}: {what}")
