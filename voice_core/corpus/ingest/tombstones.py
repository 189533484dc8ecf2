"""Tombstones: one file for each forgotten recording. A recording with a tombstone is not taken in again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voice_core.layout import TOMBSTONES, tombstone_key
from voice_core.storage.state_files import parse_state
from voice_core.storage.store import Store

_REMEDY = (
    "It names a forgotten recording, and its file name is derived from the channel and the audio id: restore it from "
    'a backup, or write {"channel": "…", "audio_id": "…"} to it'
)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A forgotten recording. `pending` lists the batches and datasets that still hold data made from it.

    `pending` is None if the removal has not begun or is complete.
    """

    channel: str
    audio_id: str
    forgotten_at: str = ""
    why: str = ""
    pending: dict[str, list[str]] | None = None


def read_tombstones(store: Store) -> set[tuple[str, str]]:
    """(channel, audio_id) of every forgotten recording.

    Raises `StateFileError` for a damaged tombstone: ignoring it would bring the recording back.
    """
    keys = [item.key for item in store.listing(TOMBSTONES)]
    parsed = (
        parse_tombstone(store, key, data) for key, data in zip(keys, store.map_keys(store.get, keys), strict=True)
    )
    return {(item.channel, item.audio_id) for item in parsed if item is not None}


def parse_tombstone(store: Store, key: str, data: bytes) -> Tombstone | None:
    """Parse a tombstone; None if the file's name is not that of a tombstone. Raises `StateFileError`."""
    return parse_state(store, key, data, Tombstone, remedy=_REMEDY) if key.endswith(".json") else None


def read_tombstone(store: Store, channel: str, audio_id: str) -> Tombstone | None:
    """The tombstone of a recording; None if it was not forgotten. Raises `StateFileError`."""
    key = tombstone_key(channel, audio_id)
    data = store.find(key)
    return parse_tombstone(store, key, data) if data is not None else None


def write_tombstone(
    store: Store, channel: str, audio_id: str, when: str, why: str, pending: Mapping[str, Any] | None = None
) -> None:
    """Write a tombstone. `pending` lists what is left to remove."""
    tombstone: dict[str, Any] = {"channel": channel, "audio_id": audio_id, "forgotten_at": when, "why": why}
    if pending is not None:
        tombstone["pending"] = pending
    data = (json.dumps(tombstone, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
    store.put(tombstone_key(channel, audio_id), data)
