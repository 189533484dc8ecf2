"""Create objects to copy, and read the result."""

import random
from pathlib import Path

from voice_core.storage.copy_record import COPY_RECORD_FOLDER
from voice_core.storage.copy_store import CopyReport
from voice_core.storage.store import Store


def local_store(folder: Path) -> Store:
    return Store(folder.as_uri(), create=True)


def write_segments(store: Store, count: int = 5, size: int = 2000, folder: str = "zad") -> None:
    for number in range(count):
        store.put(f"{folder}/video_seg_{number}.npz", random.Random(f"{folder}{number}").randbytes(size))


def read_objects(store: Store) -> dict[str, bytes]:
    return {item.key: store.get(item.key) for item in store.listing() if not item.key.startswith(COPY_RECORD_FOLDER)}


def report_counts(report: CopyReport) -> tuple[int, int, int, int]:
    return report.copied, report.identical, report.bodies_read, len(report.failures)


def write_corpus(store: Store, mark: bytes = b"1") -> None:
    for number in range(3):
        store.put(f"segments/zad/batch-0001/v_seg_{number}.npz", mark + bytes([number]) * 500)
    store.put("segments/zad/batch-0001/_manifest.parquet", b"manifest " + mark)
    store.put("datasets/voice/data/zad/batch-0001.train.parquet", b"rows " + mark)
    store.put("datasets/voice/manifests/zad/batch-0001.parquet", b"rows' manifest " + mark)
    store.put("datasets/voice/dataset.json", b"dataset " + mark)
    store.put("batches/zad/batch-0001.json", b"batch " + mark)
