"""The package indextts and its weights: whether they are installed, their revision, and the arguments they take; and
the copies of recordings that the package is given."""

import contextlib
import functools
import hashlib
import inspect
import json
import logging
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from voice_core.fingerprint import hash_model_files
from voice_core.settings import IndexTTS2Settings
from voice_core.storage.scratch import Scratch, scratch_root
from voice_core.tts.base import EngineUnavailableError
from voice_core.tts.stdout_capture import capture_output

INSTALL: Final = (
    "pip install git+https://github.com/index-tts/index-tts, in a separate environment with Python 3.11 "
    "(docs/how-to/speech-engines.md)"
)
DOWNLOAD_COMMAND: Final = "hf download IndexTeam/IndexTTS-2 --local-dir"
FILES: Final = ("config.yaml", "bpe.model", "gpt.pth", "s2mel.pth", "wav2vec2bert_stats.pt", "feat1.pt", "feat2.pt")
EMOTION_MODEL: Final = "qwen0.6bemo4-merge"
OPTIONAL_ARGUMENTS: Final = (
    "use_fp16",
    "use_cuda_kernel",
    "use_deepspeed",
    "use_accel",
    "use_torch_compile",
    "use_qwen_emo",
    "aux_paths",
)
# Settings that change the sound. The device and the paths of files do not.
_AUDIBLE_SETTINGS: Final = (
    *OPTIONAL_ARGUMENTS[:5],
    "emo_alpha",
    "use_random",
    "interval_silence",
    "max_text_tokens_per_segment",
    "more_segment_before",
    "generation",
)
_FileStamp = tuple[int, int, int, int]
_log = logging.getLogger("voice_core.tts.indextts2")


def load(settings: IndexTTS2Settings, device: str | None) -> Any:
    """An `indextts.infer_v2.IndexTTS2` with its weights on `device`; for None, the package chooses.

    Raises EngineUnavailableError: the package or files are missing, or it does not have a switch that is set.
    """
    folder = Path(settings.model_dir).expanduser().resolve()
    with _hub_cache(folder / "hf_cache"), capture_output(_log):
        try:
            factory = _import_engine()
        except EngineUnavailableError as error:
            require_files(settings, f"{error} Also: ")
            raise
        arguments = constructor_arguments(inspect.signature(factory).parameters, settings, device)
        require_files(settings)
        try:
            return factory(**arguments)
        except (OSError, ImportError) as error:
            raise EngineUnavailableError(f"indextts2 cannot load from {folder}: {error}") from error


def constructor_arguments(
    parameters: Mapping[str, inspect.Parameter], settings: IndexTTS2Settings, device: str | None
) -> dict[str, Any]:
    """The settings that a constructor with these parameters takes.

    Raises EngineUnavailableError for a switch that is not at its default and that the constructor does not have.
    """
    folder = Path(settings.model_dir).expanduser().resolve()
    config = Path(settings.cfg_path).expanduser().resolve() if settings.cfg_path else folder / "config.yaml"
    wanted: dict[str, Any] = {"cfg_path": str(config), "model_dir": str(folder), "device": device}
    missing = []
    for name in OPTIONAL_ARGUMENTS:
        value = getattr(settings, name)
        if name in parameters:
            wanted[name] = value if name != "aux_paths" else value or None
        elif value != IndexTTS2Settings.model_fields[name].get_default(call_default_factory=True):
            missing.append(name)
    if missing:
        raise EngineUnavailableError(
            f"the installed indextts ({package_version()}) has no {', '.join(missing)}: install a version that does, "
            f"or leave VOICE_INDEXTTS2__{missing[0].upper()} at its default"
        )
    return wanted


def require_files(settings: IndexTTS2Settings, before: str = "") -> None:
    """Raises EngineUnavailableError, naming what is missing, after `before`.

    With another configuration, which may name other files, only the configuration file is checked.
    """
    folder = Path(settings.model_dir).expanduser().resolve()
    if settings.cfg_path:
        if not Path(settings.cfg_path).expanduser().is_file():
            raise EngineUnavailableError(
                f"{before}indextts2.cfg_path is {settings.cfg_path}, and there is no such file"
            )
        return
    names = (*FILES, EMOTION_MODEL) if settings.use_qwen_emo else FILES
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise EngineUnavailableError(
            f"{before}the weights of indextts2 are not complete: {folder} has no {', '.join(missing)}. Download them: "
            f"{DOWNLOAD_COMMAND} {folder} (VOICE_INDEXTTS2__MODEL_DIR is the folder)"
        )


def compute_revision(settings: IndexTTS2Settings) -> str:
    """The identity of the sound: version, weights, and the settings that change it.

    The size, beginning and end of each weight file are hashed, so that 7 GB need not be read. Raises
    EngineUnavailableError.
    """
    require_files(settings)
    folder = Path(settings.model_dir).expanduser().resolve()
    config = Path(settings.cfg_path).expanduser() if settings.cfg_path else folder / "config.yaml"
    files = [config, *(path for path in sorted(folder.iterdir()) if path.suffix in (".pth", ".pt", ".model"))]
    stamps = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    heard = json.dumps(settings.model_dump(mode="json", include=set(_AUDIBLE_SETTINGS)), sort_keys=True)
    return f"{package_version()}-{_weights_hash(stamps)}-{hashlib.sha256(heard.encode()).hexdigest()[:8]}"


def package_version() -> str:
    """The version of the installed indextts; "source" if a checkout is on the path instead."""
    try:
        return version("indextts")
    except PackageNotFoundError:
        return "source"


@functools.lru_cache(maxsize=8)
def _weights_hash(files: tuple[tuple[Path, int, int], ...]) -> str:
    return hash_model_files(path for path, _, _ in files)


def _import_engine() -> Any:
    try:
        from indextts.infer_v2 import IndexTTS2
    except (ImportError, OSError) as error:  # OSError: a library of an installed package does not load
        python = ".".join(map(str, sys.version_info[:2]))
        old = "" if sys.version_info < (3, 12) else f" This is Python {python}, which it does not support."
        raise EngineUnavailableError(
            f"the engine indextts2 cannot be loaded ({error}). Its package is not on PyPI: {INSTALL}.{old}"
        ) from None
    return IndexTTS2


@contextlib.contextmanager
def _hub_cache(folder: Path) -> Iterator[None]:
    """Keep the downloads of the package beside its weights. On import, the package sets the hub's cache to
    ./checkpoints/hf_cache in the working folder; the hub's client reads the variable once, so it is imported before."""
    before = os.environ.get("HF_HUB_CACHE")
    os.environ["HF_HUB_CACHE"] = before or str(folder)
    with contextlib.suppress(ImportError):
        import huggingface_hub.constants  # noqa: F401
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("HF_HUB_CACHE", None)
        else:
            os.environ["HF_HUB_CACHE"] = before


class PromptCache:
    """Copies of recordings in a scratch folder, named by their hash.

    The package caches what it computes of a recording by its path and does not notice that the file has changed. Links
    would change with the file, so these are copies. The folder is removed at the end of the process; if that is killed,
    by the next process that opens the scratch. `local_dir` is the setting of that name.
    """

    def __init__(self, local_dir: str) -> None:
        self._local_dir = local_dir
        self._folder: Path | None = None
        self._room = contextlib.ExitStack()
        weakref.finalize(self, self._room.close)
        self._seen: dict[Path, tuple[_FileStamp, Path]] = {}

    def copy_recording(self, recording: Path) -> str:
        """The path of a copy of the recording as it is now. It is read again only if its time or size has changed.

        Raises ValueError where it cannot be read.
        """
        try:
            status = recording.stat()
            stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            seen, copy = self._seen.get(recording, (None, recording))
            if seen != stamp or not copy.is_file():  # a cleanup of the temporary folder may have removed it
                copy = self._copied(recording)
                self._seen[recording] = stamp, copy
        except OSError as error:
            raise ValueError(f"the recording {recording} cannot be read: {error.strerror or error}") from None
        return str(copy)

    def clear(self) -> None:
        self._seen.clear()
        self._room.close()
        self._folder = None

    def _copied(self, recording: Path) -> Path:
        data = recording.read_bytes()
        if self._folder is None or not self._folder.is_dir():
            self.clear()
            scratch = Scratch(scratch_root(self._local_dir), 0, "")
            scratch.remove_abandoned()
            self._folder = self._room.enter_context(scratch.reserve(0, "copies of voices"))
        copy = Path(self._folder, hashlib.sha256(data).hexdigest()[:24] + recording.suffix)
        copy.write_bytes(data)
        return copy
