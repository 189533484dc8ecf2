"""`voice publish`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import confirm, console, print_warning_line, show_progress, take_first
from voice_core.language import pluralize
from voice_core.settings import Settings

if TYPE_CHECKING:
    from voice_core.publish.difference import Difference
    from voice_core.publish.publish import PublishResult
    from voice_core.storage.store import Store

_SHOWN = 40


def register(app: typer.Typer) -> None:
    app.command("publish")(publish)


def publish(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the difference; write nothing, here or at the hub.")
    ] = False,
    repo: Annotated[
        str, typer.Option(help="Dataset repository, such as my-team/my-voices, instead of VOICE_HUB__REPO_ID.")
    ] = "",
    revision: Annotated[str, typer.Option(help="Branch to commit to, instead of VOICE_HUB__REVISION.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace or delete published files that others changed at the hub.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Publish what is committed, even if `voice build` has something to do."),
    ] = False,
    purge_history: Annotated[
        bool,
        typer.Option(
            "--purge-history",
            help="Then squash the branch, and delete data that no published branch uses. Cannot be undone.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before history is purged.")] = False,
) -> None:
    """Publish the dataset to the Hugging Face hub, in one commit with the files that changed.

    The token comes from HF_TOKEN or `hf auth login`, the server from HF_ENDPOINT. A missing repository is created,
    private unless VOICE_HUB__PRIVATE=false. Other files in the repository are kept. Large files that the hub has
    already, also from an interrupted run, are not uploaded again. The repository and the revision are recorded in
    published.json in the dataset's folder.

    Examples: `voice publish --dry-run`, `voice publish --repo my-team/my-voices`,
    `voice publish --revision next --force`.
    """
    from resources.corpus import open_work, open_work_read_only

    settings = with_hub_target(Settings.load(), repo, revision)
    show_progress()
    if not force:
        _require_finished(settings)
    work = open_work_read_only(settings) if dry_run else open_work(settings)
    publish_and_report(work, settings, dry_run=dry_run, overwrite=overwrite)
    if purge_history:
        confirm_and_purge(work, settings, dry_run=dry_run, yes=yes)


def with_hub_target(settings: Settings, repo_id: str = "", branch: str = "") -> Settings:
    """The settings, with this repository and branch if they are given."""
    given = {"repo_id": repo_id, "revision": branch}
    hub = settings.hub.model_copy(update={name: value for name, value in given.items() if value})
    return settings.model_copy(update={"hub": hub})


def publish_and_report(
    work: "Store", settings: Settings, *, dry_run: bool = False, overwrite: bool = False, create: bool = True
) -> None:
    """Publish, and print the result."""
    from voice_core.publish.publish import publish as publish_dataset

    done = publish_dataset(work, settings, dry_run=dry_run, overwrite=overwrite, create=create)
    difference = done.difference
    if not difference.empty:
        console.print(_table(difference, done))
    for path in difference.unrecognised:
        print_warning_line(f"{path} is kept, and is read as rows when the dataset is loaded", "not from this dataset:")
    _print_report(done, dry_run)


def confirm_and_purge(work: "Store", settings: Settings, *, dry_run: bool = False, yes: bool = False) -> None:
    """Print what a purge deletes, ask for confirmation, and purge."""
    from voice_core.publish.purge import plan_purge, purge

    plan = plan_purge(work, settings)
    console.print(
        f"Purge of {plan.url}: the branch {plan.branch} is squashed to one commit, and "
        f"{pluralize(plan.files, 'large file')} that no published branch uses are deleted "
        f"({plan.bytes / 1e6:,.1f} MB).",
        markup=False,
        highlight=False,
    )
    for ref in plan.refs:
        print_warning_line("uses some of them, and will lose them.", ref)
    if dry_run:
        return
    if not yes:
        confirm("This cannot be undone. Purge?", abort=True)
    purge(work, settings)
    console.print("Purged. Copies made by others are not affected.")


def _require_finished(settings: Settings) -> None:
    from voice_assets.build import compute_status

    if not compute_status(settings)[1].finished:
        raise LookupError(
            "some stages are not up to date with the recordings and settings (see `voice status`): run "
            "`voice build` first, or publish what is committed with --force"
        )


def _table(difference: "Difference", done: "PublishResult") -> Table:
    table = Table(title=f"{done.repo_id}, branch {done.branch}", title_justify="left")
    table.add_column("change")
    table.add_column("file", overflow="fold")
    table.add_column("bytes", justify="right")
    lines = [("[green]added[/]", file.path, f"{file.size:,}") for file in difference.added]
    lines += [("[yellow]changed[/]", file.path, f"{file.size:,}") for file in difference.changed]
    lines += [("[red]deleted[/]", path, "") for path in difference.deleted]
    foreign = set(difference.conflicts)
    shown, more = take_first(lines, _SHOWN)
    for change, path, size in shown:
        mark = " [bold red](changed by others)[/]" if path in foreign else ""
        table.add_row(change, escape(path) + mark, size)
    if more:
        table.add_row("", more, "")
    return table


def _print_report(done: "PublishResult", dry_run: bool) -> None:
    difference = done.difference
    if difference.empty:
        console.print(
            f"Nothing to do: {done.url} has these {difference.unchanged} files already, at revision {done.revision}.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    counts = f"{len(difference.added)} added, {len(difference.changed)} changed, {len(difference.deleted)} deleted"
    kept = f"{difference.unchanged} unchanged"
    if dry_run:
        made = " The repository or its branch would be created." if done.creates else ""
        console.print(f"{counts}, {kept}; at most {difference.bytes:,} bytes to upload. Nothing was done.{made}")
        return
    console.print(f"{counts}, {kept}; {done.files_sent} large files sent ({done.bytes_sent:,} bytes).")
    console.print(f"Published: {done.commit_url}", markup=False, highlight=False, soft_wrap=True)
