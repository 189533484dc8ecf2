"""`voice audit`."""

from typing import Annotated

import typer

from voice_assets.cli.output import console, errors, show_progress
from voice_core.settings import Settings

_NAMED = 20  # files


def register(app: typer.Typer) -> None:
    app.command("audit")(audit)


def audit(
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="Only this batch, such as my-channel/batch-0001.")
    ] = None,
) -> None:
    """Read every file of the work root again and compare it with what was committed. Changes nothing but its report.

    All batches, all datasets with their cards and splits, dialogues and their shards, and the small files of state.
    Exit code 1 where a file is missing, damaged, or not what was committed. Files that no commit record lists are
    named, too. The whole audit leaves its report in audits/latest.json under the work root; one that was broken off
    goes on where it was.
    """
    from resources.corpus import open_work, open_work_read_only
    from voice_core.audit import audit_work_root as audit_all
    from voice_core.corpus.ingest.batches import list_partitions
    from voice_core.corpus.integrity import audit_partition, dataset_names
    from voice_core.layout import PartitionKey
    from voice_core.moshi.integrity import data_sets
    from voice_core.stages.integrity import AuditReport

    settings = Settings.load()
    known = list_partitions(open_work_read_only(settings))
    if not known and not data_sets(open_work_read_only(settings)):
        raise LookupError(f"there is no batch of recordings in {settings.work_url} (VOICE_WORK_URL) to audit")
    keys = [PartitionKey.parse(key) for key in partition or []]
    unknown = set(keys) - set(known)
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, sorted(unknown)))}; `voice status` lists them")
    show_progress()
    work = open_work(settings)
    if keys:
        names = dataset_names(work)
        found = {str(key): audit_partition(work, key, settings, names) for key in keys}
        report = AuditReport("", partitions=found, dataset=settings.dataset)
    else:
        report = audit_all(work, settings)
    for key, what in report.wrong.items():
        errors.print(f"{key} {what}", markup=False, highlight=False)
    for key in report.unlisted[:_NAMED]:
        errors.print(f"{key} is listed by no commit record", markup=False, highlight=False)
    if len(report.unlisted) > _NAMED:
        errors.print(f"and {len(report.unlisted) - _NAMED:,} more files that no commit record lists")
    for key in report.unfinished[:_NAMED]:
        errors.print(f"{key} is not up to date: a build completes it", markup=False, highlight=False)
    if len(report.unfinished) > _NAMED:
        errors.print(f"and {len(report.unfinished) - _NAMED:,} more that are not up to date")
    console.print(
        f"{report.files:,} files, {report.size_bytes / 1e9:,.2f} GB in {len(report.partitions)} batches: "
        f"{len(report.wrong):,} wrong, {len(report.unlisted):,} not listed."
    )
    if report.wrong:
        for remedy in report.remedies:
            errors.print(f"To repair: {remedy}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)
