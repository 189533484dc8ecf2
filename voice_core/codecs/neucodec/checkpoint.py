"""The location and the revision of NeuCodec's weights."""

import functools
import hashlib
import re
from pathlib import Path

from voice_core.codecs.base import CodecUnavailableError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATTERNS = ("config.json", "*.safetensors", "*.safetensors.index.json")
FileStamps = tuple[tuple[Path, int, int], ...]
INSTALL = "pip install 'voice-data-factory[neucodec]'"


def weights_revision(checkpoint: str, revision: str) -> str:
    """The identity of the weights: the commit on the hub, or a hash of a folder's content.

    A full commit hash needs neither weights nor network, so a machine that does not encode can tell what is current.
    Raises `CodecUnavailableError`.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        _require_weights(folder, checkpoint)
        return _content_hash(file_stamps(checkpoint))
    if _COMMIT.fullmatch(revision):
        return revision[:12]
    return locate_weights(checkpoint, revision).name[:12]


def locate_weights(checkpoint: str, revision: str) -> Path:
    """The folder with config.json and weights, downloaded from the hub if the cache does not have them.

    The cached files of a branch are used without asking the hub again, so that codes do not change when the branch
    does. Raises `CodecUnavailableError`.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        _require_weights(folder, checkpoint)
        return folder
    if not _REPOSITORY.fullmatch(checkpoint):
        raise CodecUnavailableError(
            f"neucodec.checkpoint is {checkpoint!r}: neither a folder nor a repository like neuphonic/neucodec"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        raise CodecUnavailableError(f"the codec neucodec needs its extra: {INSTALL} ({error})") from None

    def fetch(*, offline: bool) -> Path:
        return Path(
            snapshot_download(
                checkpoint, revision=revision, allow_patterns=list(_PATTERNS), local_files_only=offline
            )
        )  # fmt: skip

    try:
        cached = fetch(offline=True)
        if _weight_files(cached)[1:]:
            return cached
    except LocalEntryNotFoundError:
        pass
    try:
        found = fetch(offline=False)
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # the base classes of the errors of the client and its HTTP library
        raise CodecUnavailableError(
            f"the weights of {checkpoint} at {revision} are not in the hub's cache (HF_HOME) and could not be fetched: "
            f"{error}. Copy the folder of weights here and set VOICE_NEUCODEC__CHECKPOINT to it, or run once with "
            "network access"
        ) from None
    _require_weights(found, checkpoint)
    return found


def file_stamps(checkpoint: str) -> FileStamps:
    """The weight files of a folder with times and sizes, which show whether they were replaced; () for a hub id."""
    folder = Path(checkpoint).expanduser()
    there = [(path, path.stat()) for path in _weight_files(folder) if path.is_file()] if folder.is_dir() else []
    return tuple((path, found.st_mtime_ns, found.st_size) for path, found in there)


def _weight_files(folder: Path) -> list[Path]:
    """config.json, then the weights."""
    return [folder / "config.json", *sorted(folder.glob("*.safetensors"))]


def _require_weights(folder: Path, checkpoint: str) -> None:
    missing = [
        what
        for what, there in (
            ("config.json", (folder / "config.json").is_file()),
            ("*.safetensors", any(folder.glob("*.safetensors"))),
        )
        if not there
    ]
    if missing:
        raise CodecUnavailableError(
            f"{checkpoint} has no {' and no '.join(missing)}: neucodec.checkpoint must be a folder in transformers' "
            "layout, as NeuCodecModel.save_pretrained writes it"
        )


@functools.lru_cache(maxsize=8)
def _content_hash(files: FileStamps) -> str:
    """Twelve digits of the SHA-256 over the files' names and hashes; the times only show when to read them again."""
    total = hashlib.sha256()
    for path, *_ in files:
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:12]
