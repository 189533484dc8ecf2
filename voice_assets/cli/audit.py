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
    from resources.corpus import open_work
    from voice_core.corpus.auditing import AuditReport, audit_partition
    from voice_core.corpus.auditing import audit as audit_all
    from voice_core.corpus.batches import list_partitions
    from voice_core.layout import PartitionKey

    settings = Settings.load()
    show_progress()
    work = open_work(settings)
    if partition:
        keys = [PartitionKey.parse(key) for key in partition]
        report = AuditReport("", partitions={str(key): audit_partition(work, key, settings) for key in keys})
    else:
        report = audit_all(work, list_partitions(work), settings)
    for key, what in report.wrong.items():
        errors.print(f"{key} {what}", markup=False, highlight=False)
    console.print(
        f"{report.files:,} files, {report.size_bytes / 1e9:,.2f} GB in {len(report.partitions)} batches: "
        f"{len(report.wrong):,} wrong."
    )
    if report.wrong:
        errors.print(f"`{report.remedy}` mends them.", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)
