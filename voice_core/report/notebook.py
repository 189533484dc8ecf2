"""Notebooks to listen to: the only form in which Dagster's webserver shows HTML with sound from a file.

A notebook has one cell, whose output is a self-contained piece of HTML. Equal contents give equal bytes.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from voice_core.codecs.base import Codec
from voice_core.corpus.manifest import Entry, Manifest
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey
from voice_core.moshi.shard_manifest import ShardManifest
from voice_core.report.book_sound import ExceptionCard, Reading
from voice_core.report.clips import WAVE_HEIGHT, WAVE_WIDTH, Clip, ClipCandidate, make_clips
from voice_core.report.dialogues import DialogueClip, load_first_of_batch
from voice_core.report.templates import template_environment
from voice_core.storage.store import Store

NOTEBOOK_VERSION = 1
CODES_NOTEBOOK_SEC = 40.0
"""Budget of segments and their decoded codes, in seconds: 64 kbit/s in base64 make 0.43 MB of it."""
_VERSION_FIELD = "voice_listening"


class NotebookManifest(Protocol):
    """What a notebook needs of the manifest of a stage."""

    @property
    def partition(self) -> str: ...
    @property
    def data_version(self) -> str:
        """Changes with every row of the manifest."""
        ...


def compute_notebook_version(manifest: NotebookManifest) -> str:
    """A version that changes with every input of a partition's notebook."""
    return fingerprint(NOTEBOOK_VERSION, manifest.data_version)


def read_notebook_version(notebook: bytes) -> str:
    """The version of the manifest that a notebook was made for; "" for other files."""
    try:
        return str(json.loads(notebook)["metadata"][_VERSION_FIELD])
    except (ValueError, KeyError, TypeError):
        return ""


def render_codes_notebook(work: Store, manifest: Manifest, codec: Codec, channel: Callable[[str], str]) -> bytes:
    """Of the segments that were decoded from their codes: the one with the largest, median and smallest distance."""
    partition = PartitionKey.parse(manifest.partition)
    chosen = [
        ClipCandidate(partition, entry, why, decodable=True)
        for why, entry in select_roundtrip_examples(manifest.entries)
    ]
    clips = make_clips(work, chosen, manifest.sample_rate_hz, codec, CODES_NOTEBOOK_SEC)
    lead = f"Segments, and the audio decoded from their codes ({codec.name} {codec.revision})."
    return render_notebook(
        compute_notebook_version(manifest),
        title=f"{channel(partition.channel)}, batch {partition.number}",
        lead=lead if clips else "No segment of this batch was decoded from its codes.",
        segments=clips,
        channel=channel,
        stand_in=codec.stand_in,
    )


def render_dialogue_notebook(work: Store, manifest: ShardManifest) -> bytes:
    """The first dialogue of a batch."""
    clips = load_first_of_batch(work, manifest)
    lead = f"The first of {len(manifest.kept())} dialogues: the assistant on the left channel, the user on the right."
    return render_notebook(
        compute_notebook_version(manifest),
        title=manifest.partition,
        lead=lead if clips else "No dialogue of this batch was kept.",
        dialogues=clips,
    )


def select_roundtrip_examples(entries: Sequence[Entry]) -> list[tuple[str, Entry]]:
    """Up to three of the segments that were decoded from their codes, with the reason for each.

    >>> rows = [Entry("line", "a", i, kept=True, key=str(i), code_count=9, roundtrip_mel_db=i / 1) for i in range(9)]
    >>> [(why, entry.index) for why, entry in select_roundtrip_examples(rows)]
    [('farthest from its codes', 8), ('in the middle', 4), ('nearest to its codes', 0)]
    >>> [(why, entry.index) for why, entry in select_roundtrip_examples(rows[:1])], select_roundtrip_examples([])
    ([('farthest from its codes', 0)], [])
    """
    measured = [entry for entry in entries if entry.kept and entry.key and entry.roundtrip_mel_db is not None]
    ordered = sorted(measured, key=lambda entry: (-(entry.roundtrip_mel_db or 0.0), entry.key))
    places = {
        0: "farthest from its codes",
        len(ordered) // 2: "in the middle",
        len(ordered) - 1: "nearest to its codes",
    }
    if len(ordered) < 3:
        places = {0: "farthest from its codes", 1: "nearest to its codes"}
    return [(why, ordered[place]) for place, why in places.items() if 0 <= place < len(ordered)]


def render_notebook(
    version: str,
    *,
    title: str,
    lead: str,
    segments: Sequence[Clip] = (),
    dialogues: Sequence[DialogueClip] = (),
    reading: Reading | None = None,
    exceptions: Sequence[ExceptionCard] = (),
    channel: Callable[[str], str] = str,
    stand_in: bool = False,
) -> bytes:
    """A notebook of one cell. `version` is that of `compute_notebook_version`."""
    html = (
        template_environment()
        .get_template("notebook.html.j2")
        .render(
            title=title,
            lead=lead,
            segments=segments,
            dialogues=dialogues,
            reading=reading,
            exceptions=exceptions,
            channel=channel,
            lang=lambda text: "",
            wave=(WAVE_WIDTH, WAVE_HEIGHT),
            stand_in=stand_in,
        )
    )
    output: dict[str, Any] = {"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}
    cell: dict[str, Any] = {"cell_type": "code", "id": "listen", "metadata": {}, "source": ""}
    cell |= {"execution_count": None, "outputs": [output]}
    notebook = {"cells": [cell], "metadata": {_VERSION_FIELD: version}, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(notebook, ensure_ascii=False, sort_keys=True) + "\n").encode("utf-8", "replace")
