"""`voice moshi build`."""

import logging
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import print_error_line, show_progress
from voice_core.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from voice_core.moshi.shard_manifest import ShardManifest
    from voice_core.storage.store import Store


class Backend(StrEnum):
    auto = "auto"
    serial = "serial"
    thread = "thread"
    process = "process"


_UNSUPPORTED_FLAGS = {
    "--no-sampling": "IndexTTS2 always samples (do_sample is forced on); speech is seeded instead",
    "--no-dedup": "ids are file names: a second dialogue with the same id would overwrite the first; it is rejected",
    "--manifest-buffer-size": "manifests are written once, after the synthesis: there is nothing to buffer",
}


def register(app: typer.Typer) -> None:
    app.command("build")(build)


def build(
    input_jsonl: Annotated[
        Path | None, typer.Option(help="Dialogue file; by default, the folder VOICE_MOSHI__SCRIPTS_URL.")
    ] = None,
    output_root: Annotated[str, typer.Option(help="Folder or URL of the work root; by default, VOICE_WORK_URL.")] = "",
    dataset_name: Annotated[str, typer.Option(help="Name of the data set; by default, VOICE_MOSHI__NAME.")] = "",
    engine: Annotated[str, typer.Option(help="hibari, noise or indextts2; by default, VOICE_SPEECH__ENGINE.")] = "",
    mock_inference: Annotated[bool, typer.Option("--mock-inference", help="The same as --engine noise.")] = False,
    cfg_path: Annotated[str, typer.Option(help="IndexTTS2: its config.yaml.")] = "",
    model_dir: Annotated[str, typer.Option(help="IndexTTS2: folder of the weights. Chooses that engine.")] = "",
    user_spk_prompt: Annotated[str, typer.Option(help="Voice of the user: a name, or a recording.")] = "",
    assistant_spk_prompt: Annotated[str, typer.Option(help="Voice of the assistant: a name, or a recording.")] = "",
    device: Annotated[str, typer.Option(help="IndexTTS2: auto, cpu, cuda, cuda:N or mps.")] = "",
    use_fp16: Annotated[bool, typer.Option("--use-fp16", help="IndexTTS2: half precision.")] = False,
    use_cuda_kernel: Annotated[
        bool, typer.Option("--use-cuda-kernel", help="IndexTTS2: the vocoder's kernel.")
    ] = False,
    use_deepspeed: Annotated[bool, typer.Option("--use-deepspeed", help="IndexTTS2: DeepSpeed.")] = False,
    use_accel: Annotated[bool, typer.Option("--use-accel", help="IndexTTS2: its acceleration engine.")] = False,
    use_torch_compile: Annotated[bool, typer.Option("--use-torch-compile", help="IndexTTS2: torch.compile.")] = False,
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of dialogues; refused for a data set that has more.")
    ] = None,
    replace_input: Annotated[
        bool,
        typer.Option("--replace-input", help="This input replaces the one that the data set was made of."),
    ] = False,
    worker_count: Annotated[int | None, typer.Option(min=0, help="Number of engines; 0: one, in this thread.")] = None,
    worker_backend: Annotated[
        Backend, typer.Option(help="How engines run; auto: by device, memory and cores.")
    ] = Backend.auto,
    max_gpu_concurrency: Annotated[int, typer.Option(min=1, help="Maximum number of engines on one GPU.")] = 1,
    planner_buffer: Annotated[int, typer.Option(min=1, help="Number of dialogues read ahead.")] = 32,
    legacy_io: Annotated[
        bool, typer.Option("--legacy-io", help="Both channels begin at 0, as in the first tool.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Changes speech, gaps and the held-out dialogues.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse an engine whose speech may differ between runs.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Accepted for compatibility; builds always resume.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file again, and repair corrupt ones.")] = False,
    keep_temp: Annotated[bool, typer.Option("--keep-temp", help="Also write each utterance to a mono file.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Print progress as JSON on standard error.")] = False,
    no_sampling: Annotated[bool, typer.Option("--no-sampling", hidden=True)] = False,
    no_dedup: Annotated[bool, typer.Option("--no-dedup", hidden=True)] = False,
    manifest_buffer_size: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Synthesise dialogue scripts in two voices, and write what Moshi fine-tuning reads.

    A line of the input is a dialogue: `{"id", "user_text", "assistant_text"}`, or `{"id", "turns": [{"role", "text"}]}`
    with optional `voice`, `emotion`, `pause_before_sec` and `overlap_sec` for each turn. The output is stereo WAV files
    (left: assistant, right: user), word alignments (JSON), and manifests under `moshi/NAME/` of the work root:
    `NAME.jsonl`, `NAME.train.jsonl`, `NAME.eval.jsonl`.

    Run the same command again at any time: unchanged dialogues are kept, only changed turns are synthesised again, and
    an interrupted run resumes. An invalid line, or an utterance that cannot be synthesised, rejects only its dialogue,
    with a reason. Dialogues that the input no longer has are removed; therefore a data set is made of one file or
    folder, and another one is refused unless --replace-input is given.
    """
    for flag, given in (
        ("--no-sampling", no_sampling),
        ("--no-dedup", no_dedup),
        ("--manifest-buffer-size", manifest_buffer_size is not None),
    ):
        if given:
            raise ConfigurationError(f"{flag} is not supported: {_UNSUPPORTED_FLAGS[flag]}")
    if mock_inference and engine not in ("", "noise"):
        raise ConfigurationError(f"--mock-inference means --engine noise, which conflicts with --engine {engine}")
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
        raise ConfigurationError(f"{flags}: supported by IndexTTS2 only, and the engine is {settings.speech.engine}")
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
    """The options that are given on the command line; 0 counts as given."""
    return {name: value for name, value in values.items() if value is not None and value is not False and value != ""}


def _check_workers(backend: Backend, count: int | None) -> None:
    if backend is Backend.serial and count is not None and count > 1:
        raise ConfigurationError(f"--worker-backend serial means one engine, in conflict with --worker-count {count}")
    if backend in (Backend.thread, Backend.process) and count == 0:
        raise ConfigurationError(
            f"--worker-count 0 means one engine in this thread, in conflict with --worker-backend {backend}"
        )


def _log_json() -> None:
    """Print lines of JSON, and nothing else, on standard error."""
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
    from voice_assets.cli.moshi_tables import print_report
    from voice_core.moshi.build import build as build_all
    from voice_core.moshi.build import engine_spec
    from voice_core.moshi.shard_manifest import read_shard_manifest
    from voice_core.storage.store import Store
    from voice_core.synthesis import SynthesisOptions

    if deterministic and not engine_spec(settings).load().capabilities.deterministic:
        raise ConfigurationError(f"--deterministic: the speech of {settings.speech.engine} may differ between runs")
    only: tuple[str, ...] = ()
    if input_jsonl is not None:
        path = input_jsonl.expanduser().resolve()
        if path.is_dir():
            raise ConfigurationError(f"--input-jsonl {input_jsonl} is a folder: set VOICE_MOSHI__SCRIPTS_URL")
        if not path.is_file():
            raise ConfigurationError(f"--input-jsonl {input_jsonl}: the file does not exist")
        scripts, only = Store(path.parent.as_uri()), (path.name,)
    elif settings.moshi.scripts_url:
        scripts = open_store(settings.moshi.scripts_url, settings, untrusted=True)
    else:
        raise ConfigurationError("no input: give a file with --input-jsonl, or a folder in VOICE_MOSHI__SCRIPTS_URL")
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
        """Read one at a time: all manifests of a large data set take gigabytes."""
        return (
            found for item in report.assignment.partitions if (found := read_shard_manifest(work, item)) is not None
        )

    print_report(report, manifests(), settings, wall_sec)
    whole = not keep_temp or _write_mono_files(work, manifests())
    if report.failures or not report.lists.rows or not whole:
        raise typer.Exit(FAILED_EXIT_CODE)


def _write_mono_files(work: "Store", manifests: "Iterable[ShardManifest]") -> bool:
    """Write each utterance of all finished batches; returns whether all were written."""
    from voice_core.moshi.debug_export import export_utterances

    whole = True
    for manifest in manifests:
        try:
            if manifest.complete:
                export_utterances(work, manifest)
        except (OSError, ValueError) as error:
            print_error_line(f"--keep-temp of {manifest.partition}: {error}", "failed:")
            whole = False
    return whole
