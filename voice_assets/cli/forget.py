"""`voice forget`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.request import url2pathname

import typer

from voice_assets.cli.build import run_build
from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import confirm, console, errors, print_error_line, show_progress, take_first
from voice_core.corpus.forget.forget import clear_pending, find_forget_target, remove_recording
from voice_core.corpus.forget.forget import mark_forgotten as write_forget
from voice_core.corpus.forget.search import RecordingName, SearchResult, find_references
from voice_core.error_text import describe_exception
from voice_core.settings import ConfigurationError, Settings, config_file

if TYPE_CHECKING:
    from voice_core.corpus.dataset.publications import PublicationRecord
    from voice_core.storage.store import Store

_SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command("forget")(forget)


def forget(
    audio_id: Annotated[str, typer.Argument(help="AUDIO_ID, or CHANNEL/AUDIO_ID if several channels have it.")],
    why: Annotated[str, typer.Option(help="Reason; kept in the record.")] = "",
    purge_history: Annotated[
        bool,
        typer.Option(
            "--purge-history",
            help="Also delete published data that only old revisions use. Cannot be undone.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a recording from everything that was made of it, and never use it again.

    Its segments, codes, rows and pairs are removed from every dataset of the work root, regardless of VOICE_DATASET,
    VOICE_CODEC and VOICE_CHANNELS; then the dataset is built. The recording is ignored from then on, but its raw object
    is not deleted: the raw bucket is only read. If a dataset was published, the change is published too; old revisions
    there keep the audio unless --purge-history is given.

    Run the same command again to resume. At the end, the work root is searched, and copies out of reach are listed.
    The exit code is 1 if references are left.
    """
    from resources.corpus import open_work

    settings = Settings.load()
    work = open_work(settings)
    wish = find_forget_target(work, audio_id)
    if wish.forgotten_at and wish.pending is None:
        found = find_references(work, wish.name)
        if not (found.found or found.unreadable):
            _print_line(f"{wish.name} was forgotten on {wish.forgotten_at}, and nothing of it is left in {work.url}.")
            _print_search_counts(found)
            return
    length = f" ({wish.duration_sec:.0f} s)" if wish.duration_sec else ""
    if not yes:
        question = f"Resume forgetting {wish.name}?" if wish.forgotten_at else f"Forget {wish.name}{length}?"
        confirm(question, abort=True)
    show_progress()
    write_forget(work, wish, when=datetime.now(UTC).isoformat(timespec="seconds"), why=why)
    places = remove_recording(work, wish.name, settings)
    datasets = [f"datasets/{dataset}" for dataset in places["datasets"]]
    _print_line(f"{wish.name} is forgotten; removed from {', '.join([*places['partitions'], *datasets]) or 'nothing'}.")
    left = _remove_pages(settings, wish.name)
    left += _build(settings, places["partitions"])
    for dataset in places["datasets"]:
        left += _remove_from_publications(work, settings, dataset, purge_history, yes)
    found = find_references(work, wish.name)
    left += [f"{key}: {what}" for key, what in found.found.items()]
    left += [f"{key} could not be searched ({why})" for key, why in found.unreadable.items()]
    _print_search_counts(found)
    _print_unreachable_copies(wish.adopted_from)
    if left:
        errors.print("[bold red]Left to do[/], then run the same command again:")
        shown, more = take_first(left, _SHOWN)
        for line in [*shown, *filter(None, [more])]:
            print_error_line(f"  {line}")
        raise typer.Exit(FAILED_EXIT_CODE)
    clear_pending(work, wish.name)


def _print_line(line: str) -> None:
    console.print(line, markup=False, highlight=False)


def _print_search_counts(found: SearchResult) -> None:
    counts = ", ".join(f"{count:,} {kind}" for kind, count in found.checked.items())
    _print_line(f"Searched: {counts}.")


def _print_unreachable_copies(adopted_from: str) -> None:
    """Print which copies the command cannot reach."""
    folder = f"the folder that it was adopted from ({adopted_from}), " if adopted_from else ""
    errors.print(
        "[yellow]Not reached:[/] the raw bucket, ",
        f"{folder}other work roots and copies of this one (`voice store copy`, backups, object versions of a bucket), "
        "pages that `voice page` wrote to another path, notebooks and events of Dagster on other machines, what "
        "`datasets` cached, what others downloaded, and speech that an engine made with the recording as its voice.",
        sep="",
        highlight=False,
    )


def _remove_pages(settings: Settings, name: RecordingName) -> list[str]:
    """Delete the pages to listen to at the default paths; returns errors."""
    from voice_core.report.page import may_contain_recording

    folders = {Path(), config_file().parent}
    if settings.work_url.startswith("file:"):
        folders.add(Path(url2pathname(settings.work_url.removeprefix("file://"))).parent)
    left = []
    for path in sorted({(folder / "listen.html").resolve() for folder in folders}):
        try:
            if path.is_file() and may_contain_recording(path.read_bytes(), name.audio_id):
                path.unlink()
                _print_line(f"Deleted {path}: `voice page {path}` writes it again.")
        except OSError as error:
            left.append(f"{path}, which may hold its audio and text: {error}")
    return left


def _build(settings: Settings, partitions: list[str]) -> list[str]:
    """Build the dataset of the settings; returns what is left to do.

    A build that cannot run, for example because the raw bucket is unreachable, does not keep the recording.
    """
    from resources.corpus import open_work
    from voice_assets.instance import open_instance
    from voice_assets.notebook_store import NotebookStore
    from voice_core.corpus.dataset.splits import read_splits

    try:
        notebooks = NotebookStore.from_instance(open_instance())
        for partition in partitions:
            notebooks.remove(partition)
        # Existing splits are extended, so that the dataset loses the recording even if another batch fails. Without
        # splits there are no rows either, and the first splits have to wait for all batches.
        assigned = read_splits(open_work(settings), settings) is not None
        built = run_build(settings, [], incomplete=assigned) or not assigned
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        return [f"`voice build` failed: {describe_exception(error)}"]
    return [] if built else ["`voice build` failed, see above"]


def _remove_from_publications(
    work: "Store", settings: Settings, dataset: str, purge_history: bool, yes: bool
) -> list[str]:
    """Remove the recording from every place that a dataset was published to; returns those that still have it."""
    from voice_core.corpus.dataset.publications import read_publications
    from voice_core.corpus.dataset.rows_stage import read_dataset_manifest
    from voice_core.corpus.forget.rows import read_recorded_settings
    from voice_core.corpus.ingest.batches import list_partitions

    own = read_recorded_settings(work, dataset, settings)
    publications = read_publications(work, own)
    manifests = [read_dataset_manifest(work, partition, own, lazily=True) for partition in list_partitions(work)]
    if unfinished := [item.partition for item in manifests if item is not None and not item.complete]:
        _print_line(f"datasets/{dataset} lacks rows of {', '.join(unfinished)}: `VOICE_DATASET={dataset} voice build`.")
        return [f"{place.url} still holds it: build the dataset {dataset} first" for place in publications]
    return [place.url for place in publications if not remove_from_hub(work, own, place, purge_history, yes)]


def remove_from_hub(
    work: "Store", settings: Settings, place: "PublicationRecord", purge_history: bool, yes: bool
) -> bool:
    """Remove the recording from a place that the dataset was published to; returns whether it is removed."""
    from voice_assets.cli.publish import confirm_and_purge, publish_and_report, with_hub_target
    from voice_core.publish.errors import HubError
    from voice_core.publish.publish import open_hub

    # The repository exists, so the setting for new repositories does not apply.
    there = with_hub_target(settings, place.repo_id, place.branch)
    there = there.model_copy(update={"hub": there.hub.model_copy(update={"private": False})})
    command = f"voice publish --repo {place.repo_id} --revision {place.branch} --purge-history"
    again = f"`VOICE_DATASET={settings.dataset} {command}`"
    try:
        endpoint = open_hub(there).endpoint
        if endpoint != place.endpoint:
            raise ConfigurationError(f"HF_ENDPOINT is {endpoint}: set it to {place.endpoint}")
        if not yes and not confirm(f"Publish that to {place.url} now?", default=True):
            errors.print(f"It is still there: {again} removes it.", highlight=False)
            return False
        publish_and_report(work, there, create=False)
        if purge_history:
            confirm_and_purge(work, there, yes=yes)
            return True
    except (HubError, ConfigurationError, LookupError) as error:
        errors.print(f"[bold red]It is still at {place.url}[/], and {again} removes it: ", end="", highlight=False)
        errors.print(str(error), markup=False, highlight=False)
        return False
    errors.print(
        f"[yellow]Old revisions of {place.url} still hold its audio:[/] {again} removes it from them.", highlight=False
    )
    return True
