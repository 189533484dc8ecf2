"""Measured speeds of the stages of the voice dataset, from the metadata of their materialisations."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import dagster as dg

from voice_assets.run_ownership import HOST_TAG
from voice_core.codecs.base import Codec
from voice_core.corpus.plan.estimates import SpeedMeasurement

MAX_MATERIALISATIONS = 200
"""The number of an asset's last materialisations that are read."""
DEVICE_METADATA = "device"
"""Metadata of coded_segments if anything was encoded: the device, such as "cpu" or "cuda: NVIDIA H200"."""

MetadataValues = Mapping[str, object]


def read_cutting_speeds(instance: dg.DagsterInstance) -> list[SpeedMeasurement]:
    """Runs of `segments` that decoded recordings; speeds are of the decoded audio."""
    runs = _runs(instance, "segments", lambda values: _number(values, "recordings_decoded") > 0)
    return [measurement for _, measurement in runs]


def read_encoding_speeds(instance: dg.DagsterInstance) -> dict[str, list[SpeedMeasurement]]:
    """Runs of `coded_segments` that encoded segments, by `format_codec_label` of the codec."""
    found: dict[str, list[SpeedMeasurement]] = {}
    for values, measurement in _runs(
        instance, "coded_segments", lambda values: _number(values, "segments_encoded") > 0
    ):
        found.setdefault(parse_codec_label(values), []).append(measurement)
    return found


def format_codec_label(codec: Codec) -> str:
    """Name and revision: speeds of different revisions are not comparable."""
    return f"{codec.name} {codec.revision}"


def read_writing_speeds(instance: dg.DagsterInstance) -> list[SpeedMeasurement]:
    """Speeds of `voice_dataset` where rows were written."""
    runs = _runs(instance, "voice_dataset", lambda values: _number(values, "bytes") > 0)
    return [measurement for _, measurement in runs]


def parse_codec_label(values: MetadataValues) -> str:
    """Name and revision from the metadata, without the comment that follows them.

    >>> parse_codec_label({"codec": "melvq 1-729d5cd88749 (a stand-in, not NeuCodec)"})
    'melvq 1-729d5cd88749'
    """
    return str(values.get("codec", "")).partition(" (")[0]


def _runs(
    instance: dg.DagsterInstance, asset: str, worked: Callable[[MetadataValues], bool]
) -> Iterator[tuple[MetadataValues, SpeedMeasurement]]:
    @cache
    def host_of(run_id: str) -> str:
        run = instance.get_run_by_id(run_id)
        return run.tags.get(HOST_TAG, "") if run is not None else ""

    for record in instance.fetch_materializations(dg.AssetKey(asset), limit=MAX_MATERIALISATIONS).records:
        event = record.asset_materialization
        values = {name: item.value for name, item in event.metadata.items()} if event is not None else {}
        speed, wall_sec = _number(values, "times_real_time"), _number(values, "wall_sec")
        if speed > 0 and wall_sec > 0 and worked(values):
            device = str(values.get(DEVICE_METADATA, ""))
            yield values, SpeedMeasurement(speed, wall_sec, record.timestamp, host_of(record.run_id), device)


def _number(values: MetadataValues, name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
