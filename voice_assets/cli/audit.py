"""`voice audit`."""

from typing import Annotated

import typer

from voice_assets.cli.console import console, errors, show_progress
from voice_core.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("audit")(audit)


def audit(
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="Only this batch, such as my-channel/batch-0001.")
    ] = None,
) -> None:
    """Read every committed file of every stage again and compare its checksum. Changes nothing.

    Exit code 1 where a file is missing or not what was committed. The whole audit leaves its report in
    audits/latest.json under the work root; one that was broken off goes on where it was.
    """
    from resources.corpus import look_at_work, open_work
    from voice_core.corpus.auditing import AuditReport, audit_partition
    from voice_core.corpus.auditing import audit as audit_all
    from voice_core.corpus.batches import list_partitions
    from voice_core.layout import PartitionKey

    settings = Settings.load()
    known = list_partitions(look_at_work(settings))
    if not known:
        raise LookupError(f"there is no batch of recordings in {settings.work_url} (VOICE_WORK_URL) to audit")
    keys = [PartitionKey.parse(key) for key in partition or []]
    unknown = set(keys) - set(known)
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, sorted(unknown)))}; `voice status` lists them")
    show_progress()
    work = open_work(settings)
    if keys:
        report = AuditReport("", partitions={str(key): audit_partition(work, key, settings) for key in keys})
    else:
        report = audit_all(work, known, settings)
    for key, what in report.wrong.items():
        errors.print(f"{key} {what}", markup=False, highlight=False)
    console.print(
        f"{report.files:,} files, {report.size_bytes / 1e9:,.2f} GB in {len(report.partitions)} batches: "
        f"{len(report.wrong):,} wrong."
    )
    if report.wrong:
        errors.print(f"`{report.remedy}` mends them.", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)
