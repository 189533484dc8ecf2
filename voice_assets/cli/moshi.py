"""`voice moshi build`."""

import logging
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, errors, show_progress
from voice_core.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from voice_core.moshi.build import MoshiBuildReport
    from voice_core.moshi.shard_manifest import ShardManifest
    from voice_core.storage.store import Store


class Backend(StrEnum):
    auto = "auto"
    serial = "serial"
    thread = "thread"
    process = "process"


_MAX_LISTED = 20  # dialogues that are named
_UNSUPPORTED_FLAGS = {
    "--no-sampling": "IndexTTS2 samples whatever it is told (do_sample is forced on); speech is seeded instead",
    "--no-dedup": "ids name files, so the second dialogue of an id would overwrite the first; it is rejected instead",
    "--manifest-buffer-size": "lists are written once, whole, when all is spoken: there is nothing to buffer",
}


def register(app: typer.Typer) -> None:
    app.command("build")(build)


def build(
    input_jsonl: Annotated[
        Path | None, typer.Option(help="Dialogue file; else the folder VOICE_MOSHI__SCRIPTS_URL.")
    ] = None,
    output_root: Annotated[str, typer.Option(help="Folder or URL of the work root; else VOICE_WORK_URL.")] = "",
    dataset_name: Annotated[str, typer.Option(help="Name of the data set; else VOICE_MOSHI__NAME.")] = "",
    engine: Annotated[str, typer.Option(help="hibari, noise or indextts2; else VOICE_SPEECH__ENGINE.")] = "",
    mock_inference: Annotated[bool, typer.Option("--mock-inference", help="The same as --engine noise.")] = False,
    cfg_path: Annotated[str, typer.Option(help="IndexTTS2: its config.yaml.")] = "",
    model_dir: Annotated[str, typer.Option(help="IndexTTS2: folder of the weights. Chooses that engine.")] = "",
    user_spk_prompt: Annotated[str, typer.Option(help="Voice of the user: a name, or a recording.")] = "",
    assistant_spk_prompt: Annotated[str, typer.Option(help="Voice of the assistant, likewise.")] = "",
    device: Annotated[str, typer.Option(help="IndexTTS2: auto, cpu, cuda, cuda:N or mps.")] = "",
    use_fp16: Annotated[bool, typer.Option("--use-fp16", help="IndexTTS2: half precision.")] = False,
    use_cuda_kernel: Annotated[
        bool, typer.Option("--use-cuda-kernel", help="IndexTTS2: the vocoder's kernel.")
    ] = False,
    use_deepspeed: Annotated[bool, typer.Option("--use-deepspeed", help="IndexTTS2: DeepSpeed.")] = False,
    use_accel: Annotated[bool, typer.Option("--use-accel", help="IndexTTS2: its acceleration engine.")] = False,
    use_torch_compile: Annotated[bool, typer.Option("--use-torch-compile", help="IndexTTS2: torch.compile.")] = False,
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Only so many dialogues; refused for a data set that has more.")
    ] = None,
    replace_input: Annotated[
        bool,
        typer.Option("--replace-input", help="This input takes the place of the one the data set was made of."),
    ] = False,
    worker_count: Annotated[int | None, typer.Option(min=0, help="Engines at work; 0: one, in this thread.")] = None,
    worker_backend: Annotated[
        Backend, typer.Option(help="How they work; auto: by device, memory, cores.")
    ] = Backend.auto,
    max_gpu_concurrency: Annotated[int, typer.Option(min=1, help="Most engines on a GPU at once.")] = 1,
    planner_buffer: Annotated[int, typer.Option(min=1, help="Dialogues read ahead.")] = 32,
    legacy_io: Annotated[
        bool, typer.Option("--legacy-io", help="Both channels begin at 0, as in the first tool.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Changes speech, gaps and who is held out.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse an engine that may say the same thing differently.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="What always happens: what is there is kept.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file again, and mend what is spoilt.")] = False,
    keep_temp: Annotated[bool, typer.Option("--keep-temp", help="Keep each utterance as a mono file, too.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Progress as lines of JSON on standard error.")] = False,
    no_sampling: Annotated[bool, typer.Option("--no-sampling", hidden=True)] = False,
    no_dedup: Annotated[bool, typer.Option("--no-dedup", hidden=True)] = False,
    manifest_buffer_size: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Speak dialogue scripts in two voices, and write what Moshi fine-tuning reads.

    A line of the input is a dialogue: `{"id", "user_text", "assistant_text"}`, or `{"id", "turns": [{"role", "text"}]}`
    with optional `voice`, `emotion`, `pause_before_sec` and `overlap_sec` for each turn. Out come stereo WAV files
    (left: assistant, right: user), word alignments beside them, and lists under `moshi/NAME/` of the work root:
    `NAME.jsonl`, `NAME.train.jsonl`, `NAME.eval.jsonl`.

    Run it again at any time: unchanged dialogues are not touched, a changed turn is the only one spoken again, and a
    run that was killed goes on where it was. A line that cannot be read, or an utterance that cannot be spoken, costs
    its dialogue alone, and is told with its reason. What the input no longer has is removed; therefore a data set is
    made of one file or folder, and another one is refused unless it is to take its place.
    """
    for flag, given in (
        ("--no-sampling", no_sampling),
        ("--no-dedup", no_dedup),
        ("--manifest-buffer-size", manifest_buffer_size is not None),
    ):
        if given:
            raise ConfigurationError(f"{flag} is of no use here: {_UNSUPPORTED_FLAGS[flag]}")
    if mock_inference and engine not in ("", "noise"):
        raise ConfigurationError(f"--mock-inference is --engine noise, and --engine {engine} is given, too")
    _check_workers(worker_backend, worker_count)
    given_engine = engine or ("noise" if mock_inference else "indextts2" if model_dir else "")
    indextts2: dict[str, Any] = {"cfg_path": cfg_path, "model_dir": model_dir, "device": device}
    indextts2 |= {"use_fp16": use_fp16, "use_cuda_kernel": use_cuda_kernel, "use_deepspeed": use_deepspeed}
    indextts2 |= {"use_accel": use_accel, "use_torch_compile": use_torch_compile}
    indextts2 = _drop_unset(indextts2)
    moshi: dict[str, Any] = {"name": dataset_name, "user_voice": user_spk_prompt, "legacy_io": legacy_io}
    moshi |= {"assistant_voice": assistant_spk_prompt, "seed": seed}
    overrides: dict[str, Any] = {"moshi": _drop_unset(moshi), "indextts2": indextts2}
    overrides |= {"speech": _drop_unset({"engine": given_engine}), **_drop_unset({"work_url": output_root})}
    settings = Settings.load(**overrides)
    if indextts2 and settings.speech.engine != "indextts2":
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in indextts2)
        raise ConfigurationError(f"{flags}: for IndexTTS2 only, and the engine is {settings.speech.engine}")
    if log_json:
        _log_json()
    else:
        show_progress()
    _run(
        settings,
        input_jsonl,
        max_samples,
        {
            "backend": "serial" if worker_count == 0 else str(worker_backend),
            "workers": worker_count or 0,
            "max_gpu_concurrency": max_gpu_concurrency,
            "planner_buffer": planner_buffer,
            "log_json": log_json,
        },
        replace_source=replace_input,
        deterministic=deterministic,
        verify=verify,
        keep_temp=keep_temp,
    )


def _drop_unset(values: dict[str, Any]) -> dict[str, Any]:
    """What was said on the command line; 0 is something."""
    return {name: value for name, value in values.items() if value is not None and value is not False and value != ""}


def _check_workers(backend: Backend, count: int | None) -> None:
    if backend is Backend.serial and count is not None and count > 1:
        raise ConfigurationError(f"--worker-backend serial is one engine, and --worker-count is {count}")
    if backend in (Backend.thread, Backend.process) and count == 0:
        raise ConfigurationError(f"--worker-count 0 is one engine in this thread, and --worker-backend is {backend}")


def _log_json() -> None:
    """Lines of JSON on standard error, and nothing between them that is none."""
    logger = logging.getLogger("voice_core.synthesis.stats")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())  # whose format is the message alone
    logger.propagate = False


def _run(
    settings: Settings,
    input_jsonl: Path | None,
    most: int | None,
    options: dict[str, Any],
    *,
    replace_source: bool,
    deterministic: bool,
    verify: bool,
    keep_temp: bool,
) -> None:
    from resources.corpus import open_work
    from resources.stores import open_store
    from voice_core.moshi.build import build as build_all
    from voice_core.moshi.build import engine_spec
    from voice_core.moshi.shard_manifest import read_shard_manifest
    from voice_core.storage.store import Store
    from voice_core.synthesis import SynthesisOptions

    if deterministic and not engine_spec(settings).load().capabilities.deterministic:
        raise ConfigurationError(
            f"{settings.speech.engine} may say the same thing differently; --deterministic forbids it"
        )
    only: tuple[str, ...] = ()
    if input_jsonl is not None:
        path = input_jsonl.expanduser().resolve()
        if path.is_dir():
            raise ConfigurationError(f"--input-jsonl {input_jsonl} is a folder: VOICE_MOSHI__SCRIPTS_URL names one")
        if not path.is_file():
            raise ConfigurationError(f"--input-jsonl {input_jsonl}: there is no such file")
        scripts, only = Store(path.parent.as_uri()), (path.name,)
    elif settings.moshi.scripts_url:
        scripts = open_store(settings.moshi.scripts_url, settings, untrusted=True)
    else:
        raise ConfigurationError("name a dialogue file with --input-jsonl, or a folder in VOICE_MOSHI__SCRIPTS_URL")
    work = open_work(settings)
    began = time.monotonic()
    report = build_all(
        scripts,
        work,
        settings,
        SynthesisOptions(**options),
        only=only,
        most=most,
        replace_source=replace_source,
        verify=verify,
    )
    wall_sec = time.monotonic() - began

    def manifests() -> "Iterator[ShardManifest]":
        """One at a time: of a large data set all of them take gigabytes."""
        return (
            found for item in report.assignment.partitions if (found := read_shard_manifest(work, item)) is not None
        )

    _print_report(report, manifests(), settings, wall_sec)
    whole = not keep_temp or _write_mono_files(work, manifests())
    if report.failures or not report.lists.rows or not whole:
        raise typer.Exit(1)


def _write_mono_files(work: "Store", manifests: "Iterable[ShardManifest]") -> bool:
    """Whether each utterance of all finished batches could be written."""
    from voice_core.moshi.debug_export import export_utterances

    whole = True
    for manifest in manifests:
        try:
            if manifest.complete:
                export_utterances(work, manifest)
        except (OSError, ValueError) as error:
            _print_notice("[bold red]failed:[/]", f"--keep-temp of {manifest.partition}: {error}")
            whole = False
    return whole


def _print_notice(what: str, message: str) -> None:
    """A text of somebody else's, which may well have brackets in it."""
    errors.print(f"{what} {escape(message)}", highlight=False, soft_wrap=True)


def _print_report(
    report: "MoshiBuildReport", manifests: "Iterable[ShardManifest]", settings: Settings, wall_sec: float
) -> None:
    from voice_core.moshi.build import engine_spec
    from voice_core.moshi.trainer_manifest import trainer_manifest_key

    reasons: dict[str, int] = {}
    told: list[str] = []
    turns, rough, styled = 0, 0, 0
    for manifest in manifests:
        for row in manifest.first_rejects():
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
            if len(told) < _MAX_LISTED:
                told.append(row.message if row.turn < 0 else f"{row.dialogue_id}, turn {row.turn + 1}: {row.message}")
        for row in (row for _, rows in manifest.kept() for row in rows):
            turns, rough, styled = turns + 1, rough + row.approximate, styled + bool(row.emotion)
    for line in told:
        _print_notice("[yellow]left out:[/]", line)
    if sum(reasons.values()) > len(told):
        _print_notice("[yellow]and more[/]:", f"{sum(reasons.values()) - len(told)}; the rows of the manifests say why")
    for batch, why in report.failures.items():
        _print_notice("[bold red]failed:[/]", f"{batch}: {why}")
    lists = report.lists
    if lists.incomplete:
        some = ", ".join(lists.incomplete[:_MAX_LISTED]) + (
            " and others" if len(lists.incomplete) > _MAX_LISTED else ""
        )
        _print_notice("[yellow]not finished,[/]", f"and left out of the lists: {some}. Run this again")
    if report.assignment.removed:
        _print_notice("[yellow]removed:[/]", f"{report.assignment.removed} dialogues that the input no longer has")
    if lists.warning:
        _print_notice("[yellow]note:[/]", lists.warning)
    if not lists.rows:
        _print_notice("[bold red]failed:[/]", "not one dialogue came of it")
    table = Table(title=f"{settings.moshi.name}: what Moshi fine-tuning reads", title_justify="left")
    for name in ("", "dialogues", "minutes"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("train", f"{lists.train_rows:,}", f"{(lists.duration_sec - lists.eval_sec) / 60:,.1f}")
    table.add_row("eval", f"{lists.eval_rows:,}", f"{lists.eval_sec / 60:,.1f}")
    for reason, count in sorted(reasons.items()):
        table.add_row(f"left out: {reason}", f"{count:,}", "")
    console.print(table)
    speed = f", {report.speech_sec / wall_sec:,.1f} × real time" if report.spoken else ""
    measured = f"; voices measured: {report.voices_measured}" if report.voices_measured else ""
    console.print(f"{report.spoken:,} utterances spoken in {wall_sec:,.1f} s{speed}{measured}", highlight=False)
    if rough:
        note = f"The times of the words of {rough:,} turns, of {turns:,}, are approximate{_alignment_hint(settings)}."
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if styled and not engine_spec(settings).load().capabilities.emotions:
        console.print(f"{styled:,} turns ask for an emotion, and {settings.speech.engine} has none.", highlight=False)
    console.print(
        f"{settings.work_url}/{trainer_manifest_key(settings.moshi.name)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _alignment_hint(settings: Settings) -> str:
    """What would find the times of words, where it is not chosen to go without."""
    from voice_core.recognition.base import is_english

    moshi = settings.moshi
    if moshi.aligner != "auto":
        return ""
    if not is_english(moshi.language):
        return "" if moshi.ctc_model else ": a model that VOICE_MOSHI__CTC_MODEL names finds them"
    if find_spec("pocketsphinx") is None:
        return ": pocketsphinx finds them, pip install 'voice-data-factory[moshi]'"
    return ": pocketsphinx did not find all of them"
