"""`voice publish`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import confirm, console, errors, show_progress
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
        bool, typer.Option("--dry-run", "-n", help="Show the difference; write nothing, there or here.")
    ] = False,
    repo: Annotated[
        str, typer.Option(help="Dataset repository, such as my-team/my-voices, instead of VOICE_HUB__REPO_ID.")
    ] = "",
    revision: Annotated[str, typer.Option(help="Branch to commit to, instead of VOICE_HUB__REVISION.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace or delete files of ours that somebody else changed there.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Publish what is committed, though `voice build` would find something to do."),
    ] = False,
    purge_history: Annotated[
        bool,
        typer.Option(
            "--purge-history",
            help="Then make the branch one commit, and delete for good all rows that no published branch uses now.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before history is purged.")] = False,
) -> None:
    """Make a Hugging Face hub hold the dataset: one commit with just the files that changed.

    The token comes from HF_TOKEN or `hf auth login`, the server from HF_ENDPOINT. A repository that is not there is
    made, private unless VOICE_HUB__PRIVATE=false. Files that others put into it stay. Large files that the hub has
    already, from a broken off run too, are not sent again. Where it was published, and at which revision, stands in
    published.json beside the dataset.

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
    """The settings with another place to publish to, where one is given."""
    given = {"repo_id": repo_id, "revision": branch}
    hub = settings.hub.model_copy(update={name: value for name, value in given.items() if value})
    return settings.model_copy(update={"hub": hub})


def publish_and_report(
    work: "Store", settings: Settings, *, dry_run: bool = False, overwrite: bool = False, create: bool = True
) -> None:
    """Publish, and say what was done."""
    from voice_core.publish.publish import publish as publish_dataset

    done = publish_dataset(work, settings, dry_run=dry_run, overwrite=overwrite, create=create)
    difference = done.difference
    if not difference.empty:
        console.print(_table(difference, done))
    for path in difference.unrecognised:
        errors.print("[yellow]not ours:[/] ", end="")
        errors.print(f"{path} stays, and loading the dataset there reads it as rows", markup=False, highlight=False)
    _print_report(done, dry_run)


def confirm_and_purge(work: "Store", settings: Settings, *, dry_run: bool = False, yes: bool = False) -> None:
    """Say what a purge takes away, ask, and do it."""
    from voice_core.publish.purge import plan_purge, purge

    plan = plan_purge(work, settings)
    console.print(
        f"Purge of {plan.url}: the branch {plan.branch} becomes one commit, and {plan.files} large files that no "
        f"published branch uses now are deleted for good ({plan.bytes / 1e6:,.1f} MB).",
        markup=False,
        highlight=False,
    )
    for ref in plan.refs:
        errors.print(f"[yellow]{escape(ref)}[/] uses some of them, and loses them.", highlight=False)
    if dry_run:
        return
    if not yes:
        confirm("This cannot be undone. Purge?", abort=True)
    purge(work, settings)
    console.print("Purged. Copies that others have made are theirs to delete.")


def _require_finished(settings: Settings) -> None:
    from voice_assets.build import compute_status

    if not compute_status(settings)[1].finished:
        raise LookupError(
            "not everything is up to date with the recordings and the settings (`voice status` shows what): run "
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
    for change, path, size in lines[:_SHOWN]:
        mark = " [bold red](somebody else changed it)[/]" if path in foreign else ""
        table.add_row(change, escape(path) + mark, size)
    if len(lines) > _SHOWN:
        table.add_row("", f"and {len(lines) - _SHOWN:,} more", "")
    return table


def _print_report(done: "PublishResult", dry_run: bool) -> None:
    difference = done.difference
    if difference.empty:
        console.print(
            f"Nothing to do: {done.url} holds these {difference.unchanged} files already, at revision {done.revision}.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    counts = f"{len(difference.added)} added, {len(difference.changed)} changed, {len(difference.deleted)} deleted"
    kept = f"{difference.unchanged} unchanged"
    if dry_run:
        made = " The repository or its branch would be made." if done.creates else ""
        console.print(f"{counts}, {kept}; at most {difference.bytes:,} bytes to upload. Nothing was done.{made}")
        return
    console.print(f"{counts}, {kept}; {done.files_sent} large files sent ({done.bytes_sent:,} bytes).")
    console.print(f"Published: {done.commit_url}", markup=False, highlight=False, soft_wrap=True)
