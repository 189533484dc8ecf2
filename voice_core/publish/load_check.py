"""The check before publishing: the dataset, as it will be at the hub, is loaded with `datasets`.

Columns and row counts of each config are compared with what was committed. No audio is decoded.
"""

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from voice_core.corpus.dataset.exporters import config_schemas
from voice_core.corpus.names import NEUTTS
from voice_core.publish.dataset_files import DatasetNotReadyError
from voice_core.publish.difference import LocalFile
from voice_core.redaction import redact

_BATCH_ROWS = 10_000
_LOAD_ERRORS = (
    datasets.exceptions.DatasetsError,
    pa.ArrowException,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_REMEDY = "run `voice build --verify`, then publish again; nothing was published"

Configs = Mapping[str, Mapping[str, Sequence[LocalFile]]]  # config → split → Parquet files


def check_local_dataset(root: Path, files: Sequence[LocalFile], evicted: Collection[str] = ()) -> None:
    """Load each config from the local work root `root`, streaming, and compare it with the committed files.

    Of configs with files whose keys are `evicted`, the other files are compared one by one.

    Raises:
        DatasetNotReadyError: names the config and the file that differ.
    """
    check_card(files)
    check_copies({root / file.key: file for file in files if file.config and file.key not in evicted}, files)
    incomplete = {file.config for file in files if file.key in evicted}
    configs = _group(file for file in files if file.config not in incomplete)
    columns = _list_columns(_group(files))
    with tempfile.TemporaryDirectory(prefix="voice-publish-") as name, _quiet():
        folder = Path(name) / "dataset"
        _link_files(root, [file for file in files if file.config not in incomplete], folder)
        for config, splits in configs.items():
            expected = {split: sum(file.rows for file in mine) for split, mine in splits.items()}
            if problem := _compare(str(folder), config, columns[config], expected, Path(name) / "cache"):
                raise _error(config, problem)


def check_copies(copies: Mapping[Path, LocalFile], files: Sequence[LocalFile]) -> None:
    """Compare the Parquet schemas and row counts of local copies with the committed `files`, which they are some of.

    For a work root in a bucket, which is not downloaded whole. Raises `DatasetNotReadyError`.
    """
    columns = _list_columns(_group(files))
    for path, file in copies.items():
        if problem := _compare_copy(path, file, columns[file.config]):
            raise _error(file.config, f"{file.key}: {problem}")


def check_card(files: Sequence[LocalFile]) -> None:
    """Compare the configs of the card's YAML with the committed files. Raises `DatasetNotReadyError`."""
    (card,) = [file.data for file in files if file.path == "README.md"]
    assert card is not None
    try:
        stated = DatasetCard(card.decode()).data.to_dict().get("configs", [])
        patterns = {
            item["config_name"]: {part["split"]: part["path"] for part in item["data_files"]} for item in stated
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetNotReadyError(f"the YAML of README.md cannot be read ({error}): {_REMEDY}") from None
    configs = _group(files)
    if patterns.keys() != configs.keys():
        raise DatasetNotReadyError(
            f"README.md lists the configs {sorted(patterns)}, the committed files are of {sorted(configs)}: {_REMEDY}"
        )
    for config, splits in configs.items():
        for split, mine in splits.items():
            pattern = patterns[config].get(split, "")
            if other := [file.path for file in mine if not fnmatchcase(file.path, pattern)]:
                raise _error(config, f"README.md does not list {other[0]} for the split {split}")


def _group(files: Iterable[LocalFile]) -> Configs:
    configs: dict[str, dict[str, list[LocalFile]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        if file.config:
            configs[file.config][file.split].append(file)
    return configs


def _list_columns(configs: Configs) -> dict[str, list[str]]:
    """The committed columns by config; the config neutts exists exactly where the dataset has codes."""
    schemas = config_schemas(with_codes=NEUTTS in configs)
    return {config: schemas[config].names for config in configs}


def _link_files(root: Path, files: Iterable[LocalFile], folder: Path) -> None:
    """The dataset's folder as it will be at the hub: links to the committed Parquet files, and the card."""
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.data is None:
            path.symlink_to((root / file.key).resolve())
        elif file.path == "README.md":
            path.write_bytes(file.data)


def _compare(folder: str, config: str, columns: Sequence[str], rows: Mapping[str, int], cache: Path) -> str:
    """How a config, as `datasets` loads it, differs from the columns and the rows by split; empty if it does not."""

    def load(**options: Any) -> datasets.IterableDatasetDict:
        return datasets.load_dataset(folder, config, streaming=True, cache_dir=str(cache), **options)

    try:
        loaded = load()
        if loaded.keys() != rows.keys():
            return f"it has the splits {sorted(loaded)} instead of {sorted(rows)}"
        keys_alone = load(columns=list(columns[:1]))
        for split, expected in rows.items():
            found = list(loaded[split].features or ())
            if found != list(columns):
                return f"{split} has the columns {', '.join(found)} instead of {', '.join(columns)}"
            count = sum(len(table) for table in keys_alone[split].with_format("arrow").iter(_BATCH_ROWS))
            if count != expected:
                return f"{split} has {count} rows instead of {expected}"
    except _LOAD_ERRORS as error:
        return f"`datasets` cannot load it ({type(error).__name__}: {redact(str(error))})"
    return ""


def _compare_copy(path: Path, file: LocalFile, columns: Sequence[str]) -> str:
    """How a Parquet file differs from what was committed; empty if it does not. Only its footer is read."""
    try:
        with pq.ParquetFile(path) as parquet:
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
        features = datasets.Features.from_arrow_schema(schema)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        return f"it cannot be read ({error})"
    if list(features) != list(columns) or schema.names != list(columns):
        return f"it has the columns {', '.join(schema.names)} instead of {', '.join(columns)}"
    return f"it has {rows} rows instead of {file.rows}" if rows != file.rows else ""


def _error(config: str, problem: str) -> DatasetNotReadyError:
    return DatasetNotReadyError(f"the config {config} is not what was committed: {problem}: {_REMEDY}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of `datasets`."""
    already = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not already:
            datasets.enable_progress_bars()
