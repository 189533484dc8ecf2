"""A damaged copy record only causes comparisons."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.storage.copy_record import COPY_RECORD_FOLDER, CopiedObject, CopyRecord
from voice_core.storage.store import Store


def test_damaged_and_foreign_files_in_the_record_are_ignored(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri())
    columns = {"key": ["k"], "source_url": ["u"], "source_identity": ["i"], "target_identity": ["t"], "sha256": [None]}
    for name, table in (
        ("1.parquet", pa.table({"x": [1]})),
        ("2.parquet", pa.table({"key": ["k"], "source_url": ["u"]})),
        ("3.parquet", pa.table(columns)),
    ):
        sink = io.BytesIO()
        pq.write_table(table, sink)
        store.put(COPY_RECORD_FOLDER + name, sink.getvalue())
    store.put(f"{COPY_RECORD_FOLDER}4.parquet", b"")
    store.put(f"{COPY_RECORD_FOLDER}notes.txt", b"[]")
    record = CopyRecord(store)
    assert record.find("k") is None
    known = CopiedObject("u", "i", "t", "s")
    record.note("k", known)
    record.close()
    assert CopyRecord(store).find("k") == known
