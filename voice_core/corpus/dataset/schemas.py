"""Columns of the dataset's configs, as Arrow schemas that Hugging Face `datasets` understands."""

import json
from typing import Any

import pyarrow as pa

from voice_core.corpus.labels import LABEL_NAMES

_CODES = pa.list_(pa.int32())
_MEASURES = ("rms_dbfs", "peak_dbfs", "clipped_share", "silence_share", "snr_db", "bandwidth_hz", "chars_per_sec")


def full_schema(sample_rate_hz: int, *, with_codes: bool) -> pa.Schema:
    """One row a segment: the audio as FLAC, what was said, by whom, how good it is, and where it comes from."""
    codes = [("codes", _CODES), ("codec", pa.string()), ("codec_revision", pa.string())] if with_codes else []
    columns = [
        ("__key__", pa.string()),
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *codes,
        ("text", pa.string()),
        *((name, pa.string()) for name in LABEL_NAMES),
        ("duration_sec", pa.float64()),
        ("audio_id", pa.string()),
        ("channel", pa.string()),
        *((name, pa.float64()) for name in _MEASURES),
        ("start_sec", pa.float64()),
        ("end_sec", pa.float64()),
        ("raw_key", pa.string()),
        ("raw_sha256", pa.string()),
        ("transcript_sha256", pa.string()),
        ("segment_sha256", pa.string()),
        ("code_version", pa.string()),
    ]
    return _with_features(pa.schema(columns), {"audio": {"sampling_rate": sample_rate_hz, "_type": "Audio"}})


def neutts_schema() -> pa.Schema:
    """Exactly what NeuTTS fine-tuning reads: any other column breaks its collator."""
    return _with_features(pa.schema([("__key__", pa.string()), ("text", pa.string()), ("codes", _CODES)]), {})


def pairs_schema(*, with_codes: bool) -> pa.Schema:
    """One row a (reference, target) pair of one speaker."""
    columns: list[tuple[str, pa.DataType]] = [("speaker_id", pa.string()), ("channel", pa.string())]
    for side in ("reference", "target"):
        columns += [(f"{side}_key", pa.string()), (f"{side}_text", pa.string()), (f"{side}_duration_sec", pa.float64())]
        if with_codes:
            columns.append((f"{side}_codes", _CODES))
    return _with_features(pa.schema(columns), {})


def _with_features(schema: pa.Schema, special: dict[str, Any]) -> pa.Schema:
    features = {field.name: special.get(field.name) or _feature(field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}
