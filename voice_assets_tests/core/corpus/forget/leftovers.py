"""What is left of a recording in a work root: a search that shares no code with `voice forget`."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from voice_assets_tests.files import files_below

TOMBSTONES = "tombstones/"


def find_leftovers(work: Path | Mapping[str, bytes], audio_id: str, *marks: str) -> list[str]:
    """Objects of a work root that name the recording or hold one of the `marks`, its tombstone left out.

    Names and marks have to be too long to occur in audio by chance. Looks into compressed Parquet files and archives,
    and at names; files that are left of killed processes count.
    """
    files = files_below(work) if isinstance(work, Path) else work
    sought = [mark.encode() for mark in (audio_id, *marks)]
    return [
        key
        for key, data in files.items()
        if not key.startswith(TOMBSTONES)
        and (audio_id in key or any(mark in content for mark in sought for content in (data, _unpacked(key, data))))
    ]


def _unpacked(key: str, data: bytes) -> bytes:
    if ".parquet" in key:
        try:
            table = pq.read_table(io.BytesIO(data))
        except Exception:  # noqa: BLE001 - half a file: its bytes are searched as they are
            return b""
        return _plain({"rows": table.to_pylist(), "metadata": str(table.schema.metadata)})
    if ".npz" in key:
        try:
            with np.load(io.BytesIO(data)) as arrays:
                return _plain({name: str(arrays[name]) for name in arrays.files if arrays[name].dtype.kind == "U"})
        except Exception:  # noqa: BLE001 - likewise
            return b""
    return b""


def _plain(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=repr).encode("utf-8", "surrogatepass")
