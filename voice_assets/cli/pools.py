"""`voice pools`."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, print_json
from voice_core.compute import gpu_lock, gpus
from voice_core.settings import Settings

if TYPE_CHECKING:
    from voice_assets.pools import PoolState

pools = typer.Typer(
    name="pools",
    help="The GPU pools: limits, runs that hold or wait for a slot, and GPUs of this machine in use.",
    invoke_without_command=True,
)
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@pools.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show()


@pools.command("show")
def show(as_json: _AsJson = False) -> None:
    """Show each pool's limit, the runs that hold or wait for it, and the process that uses each GPU of this machine.

    Writes nothing. Runs of this machine whose process was killed are listed; the next `voice build`, or `voice pools
    apply`, marks them as failed and frees their slots.
    """
    from voice_assets.instance import find_instance
    from voice_assets.pools import read_pool_states
    from voice_assets.run_ownership import find_orphaned_runs

    settings = Settings.load()
    instance = find_instance()
    killed = [*find_orphaned_runs(instance)] if instance else []
    found = read_pool_states(instance, gpus.load_gpu_profiles(settings.gpu_profiles))
    held, folder = gpu_lock.read_gpu_holders(settings.gpu_lock_dir), gpu_lock.gpu_lock_folder(settings.gpu_lock_dir)
    if as_json:
        value = {
            "killed": killed,
            "pools": [dataclasses.asdict(pool) for pool in found],
            "gpus": {name: dataclasses.asdict(holder) if holder else None for name, holder in held.items()},
        }
        print_json(value)
        return
    for run_id in killed:
        console.print(f"Run {run_id[:8]} was killed. `voice pools apply` marks it as failed and frees its slots.")
    console.print(_pools_table(found))
    table = Table(title=escape(f"GPUs of this machine ({folder})"), title_justify="left")
    table.add_column("GPU")
    table.add_column("held by", overflow="fold")
    for name, holder in held.items():
        table.add_row(escape(name), escape(str(holder)) if holder else "[dim]free[/]")
    if held:
        console.print(table)
    else:
        console.print(f"No GPU of this machine has been used yet ({folder}).", markup=False, highlight=False)
    if any(pool.is_default for pool in found):
        console.print(
            "(default): Dagster's default limit. The next run, or `voice pools apply`, sets the limit of the profile."
        )


@pools.command("apply")
def apply() -> None:
    """Set the limits of the GPU profiles (VOICE_GPU_PROFILES) in Dagster, and free the slots of killed runs.

    Runs of this machine whose process was killed are marked as failed. The command is idempotent.
    """
    from voice_assets.instance import open_instance
    from voice_assets.pools import apply_limits
    from voice_assets.run_ownership import release_orphaned_runs

    instance = open_instance()
    known = gpus.load_gpu_profiles(Settings.load().gpu_profiles)
    for run_id in release_orphaned_runs(instance):
        console.print(f"Run {run_id[:8]} was killed: it is marked as failed, and its slots are freed.")
    changes = apply_limits(instance, known)
    for change in changes:
        console.print(change, markup=False, highlight=False)
    if not changes:
        limits = ", ".join(f"{name} {profile.limit}" for name, profile in known.items())
        console.print(f"Nothing to change: {limits}.", highlight=False)


def _pools_table(found: "list[PoolState]") -> Table:
    table = Table(title="Pools", title_justify="left")
    table.add_column("pool", no_wrap=True)
    table.add_column("limit", justify="right")
    table.add_column("held by", overflow="fold")
    table.add_column("waiting", overflow="fold")
    for pool in found:
        limit = "none" if pool.limit is None else f"{pool.limit}{' (default)' if pool.is_default else ''}"
        waiting = [*map(str, pool.waiting), *(f"{place}, queued" for place in pool.queued)]
        table.add_row(pool.name, limit, escape("\n".join(map(str, pool.holding))), escape("\n".join(waiting)))
    return table
