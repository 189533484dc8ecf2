"""Assigns dialogues to batches, each a partition of `dialogue_batch`.

A dialogue stays in its batch; new ones fill the last batch and open the next. The input is authoritative: a dialogue
that is no longer in it leaves its batch, and an empty batch remains. Therefore a data set records which file or folder
it is made of, and another input is refused unless it is explicitly accepted.
"""

import contextlib
import itertools
import json
import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from voice_core.fingerprint import canonical_json, sha256
from voice_core.layout import PartitionKey, manifest_key, slug
from voice_core.moshi.script import BadDialogueLine, Dialogue, Turn
from voice_core.moshi.script_parser import id_hash
from voice_core.moshi.shard_manifest import STAGE, dialogue_partition, read_shard_manifest
from voice_core.settings import ConfigurationError
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import DamagedStateError, read_state
from voice_core.storage.store import Store

DIALOGUES = "dialogues/"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DialogueSource:
    """Where dialogues come from. `partial`: only the first of them are given. `replace_source`: they replace those of
    the data set's earlier input."""

    source: str = ""  # URL of the file or folder
    partial: bool = False
    replace_source: bool = False


_WHOLE = DialogueSource()


@dataclass(frozen=True, slots=True)
class BatchAssignment:
    """`versions` has the version of each batch's file; `removed` counts dialogues."""

    versions: Mapping[PartitionKey, str]
    changed: tuple[PartitionKey, ...]
    dialogues: int
    bad_lines: int
    new: int
    removed: int

    @property
    def partitions(self) -> tuple[PartitionKey, ...]:
        return tuple(self.versions)


def script_key(partition: PartitionKey) -> str:
    return f"{DIALOGUES}{partition}.jsonl"


def source_key(name: str) -> str:
    """The key of the record of what a data set is made of."""
    return f"{DIALOGUES}{slug(name)}/source.json"


def script_version(data: bytes) -> str:
    """The version of a batch's file; changes with its content."""
    return sha256(data)[:32]


def script_line(item: Dialogue | BadDialogueLine) -> bytes:
    """A dialogue or bad line in the format of a batch's file. The line number of a dialogue is left out: it would
    change the batch whenever a line is inserted before it."""
    value: dict[str, Any]
    if isinstance(item, BadDialogueLine):
        value = {"bad_line": asdict(item)}
    else:
        value = {"id": item.id, "turns": [asdict(turn) for turn in item.turns]}
    return canonical_json(value).encode() + b"\n"


def parse_script_line(line: bytes) -> Dialogue | BadDialogueLine:
    value = json.loads(line)
    if "bad_line" in value:
        return BadDialogueLine(**value["bad_line"])
    return Dialogue(value["id"], tuple(Turn(**turn) for turn in value["turns"]))


def read_script(store: Store, partition: PartitionKey) -> list[Dialogue | BadDialogueLine]:
    """The dialogues and bad lines of a batch.

    Raises `LookupError` for a batch that does not exist, `DamagedStateError` for one whose file is damaged.
    """
    data = store.find(script_key(partition))
    if data is None:
        raise LookupError(f"there is no batch of dialogues {partition} under {store.url}: read the dialogue file first")
    return parse_script(store, partition, data)


def parse_script(store: Store, partition: PartitionKey, data: bytes) -> list[Dialogue | BadDialogueLine]:
    items: list[Dialogue | BadDialogueLine] = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            items.append(parse_script_line(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            key = script_key(partition)
            remedy = "Reading the dialogue files again (`voice moshi build`) makes it again"
            raise DamagedStateError(store, key, f"is damaged at line {number}: {error!r}", remedy) from None
    return items


def list_scripts(store: Store, name: str) -> list[PartitionKey]:
    """All batches of a data set, in order. Other files are ignored."""
    return _list_scripts(store, name)[0]


def _list_scripts(store: Store, name: str) -> tuple[list[PartitionKey], list[str]]:
    """The batches, and the keys of other files."""
    scripts: list[PartitionKey] = []
    strays: list[str] = []
    for item in store.listing(f"{DIALOGUES}{slug(name)}/"):
        partition = PartitionKey.find(item.key.removeprefix(DIALOGUES).removesuffix(".jsonl"))
        if partition is not None and script_key(partition) == item.key:
            scripts.append(partition)
        elif item.key != source_key(name):
            strays.append(item.key)
    return sorted(scripts), strays


def assign_dialogues(
    store: Store,
    name: str,
    items: Iterable[Dialogue | BadDialogueLine],
    batch_dialogues: int,
    given: DialogueSource = _WHOLE,
) -> BatchAssignment:
    """Assign the results of `read_dialogues`, whose ids are unique, to batches.

    A bad line goes with the dialogue before it.

    Batches are gathered on local disk; memory grows by about 100 bytes per id, and holds some batches.

    Raises ConfigurationError, without a change, where the data set is made of another input, or a part of the input
    would replace the whole; ValueError where there is no dialogue, since that would empty all batches; and StoreError.
    """
    with (
        hold_lock(store, f"{DIALOGUES}{name}") as store,
        tempfile.TemporaryDirectory(prefix="voice-dialogues-") as folder,
    ):
        old = _read_batches(store, name)
        home = {key: batch.number for batch in old for key in batch.ids}
        if home:
            _check_source(store, name, given)
        counts = {batch.number: len(batch.ids) for batch in old}
        spool = _ScriptBuffer(Path(folder))
        current, dialogues, bad, new, first_bad = 1, 0, 0, 0, ""
        with contextlib.closing(spool):
            for item in items:
                if isinstance(item, BadDialogueLine):
                    bad += 1
                    first_bad = first_bad or item.message
                else:
                    dialogues += 1
                    known = home.get(id_hash(item.id))
                    if known is None:
                        new += 1
                        known = _open_batch(counts, batch_dialogues)
                        counts[known] = counts.get(known, 0) + 1
                    current = known
                spool.add(current, script_line(item))
        if not dialogues:
            raise ValueError(
                f"there is no valid dialogue in {given.source or 'it'}; the batches of {name} stay as they are. "
                + (
                    f"It has {bad} bad lines (each line must be a whole dialogue); the first: {first_bad}"
                    if bad
                    else "It has no lines; in a folder, the files *.jsonl and *.ndjson are read"
                )
            )
        removed = len(home) - (dialogues - new)
        if removed and given.partial:
            raise ConfigurationError(
                f"{name} has {len(home)} dialogues, and the first {dialogues} of the input lack {removed} of them, "
                "which would be removed: use another data set for a trial (--dataset-name)"
            )
        partitions = [dialogue_partition(name, number) for number in range(1, max(counts) + 1)]
        before = {batch.number: batch.version for batch in old}

        def replaced(number: int) -> str:
            data = spool.content(number)
            version = script_version(data)
            if version != before.get(number):
                store.put(script_key(dialogue_partition(name, number)), data)
            return version

        if given.source:
            _write_source(store, name, given.source)
        written = store.map_keys(lambda key: replaced(PartitionKey.parse(key).number), map(str, partitions))
        versions = dict(zip(partitions, written, strict=True))
    changed = tuple(item for item, version in versions.items() if version != before.get(item.number))
    return BatchAssignment(versions, changed, dialogues, bad, new, removed)


@dataclass(slots=True)
class _Batch:
    number: int
    version: str
    ids: tuple[int, ...]  # hashes


def _read_batches(store: Store, name: str) -> list[_Batch]:
    """All batches, read in parallel where the store is remote.

    Where a file is damaged, empty or missing, the batch's manifest says which dialogues were in it.
    """

    def read(key: str) -> _Batch:
        partition = PartitionKey.parse(key)
        data = store.find(script_key(partition))
        version = script_version(data) if data is not None else ""
        try:
            items = parse_script(store, partition, data or b"")
        except DamagedStateError as error:
            _log.warning("%s", error)
            items, version = [], ""
        ids = [id_hash(item.id) for item in items if isinstance(item, Dialogue)]
        if not ids:
            manifest = read_shard_manifest(store, partition)
            ids = [id_hash(row.dialogue_id) for row in manifest.rows if row.turn >= 0] if manifest is not None else []
        return _Batch(partition.number, version, tuple(dict.fromkeys(ids)))

    scripts, strays = _list_scripts(store, name)
    for stray in strays:
        _log.warning("not used: %s/%s: not the name of a batch of dialogues", store.url, stray)
    numbers = {partition.number for partition in scripts}
    following = itertools.takewhile(
        lambda number: store.head(manifest_key(STAGE, dialogue_partition(name, number))) is not None,
        itertools.count(max(numbers, default=0) + 1),
    )
    every = range(1, max([*numbers, *following], default=0) + 1)
    batches = store.map_keys(read, [str(dialogue_partition(name, number)) for number in every])
    seen: set[int] = set()
    for batch in sorted(batches, key=lambda item: item.version == ""):  # files take precedence over manifests
        batch.ids = tuple(key for key in batch.ids if key not in seen)
        seen.update(batch.ids)
    return batches


def read_source(store: Store, name: str) -> str:
    """What a data set is made of; "" where it was never recorded. Raises `StateFileError`."""
    remedy = "Confirm the input with one run of: voice moshi build --replace-input"
    return (read_state(store, source_key(name), dict[str, str], prepare=_source, remedy=remedy) or {}).get("source", "")


def _check_source(store: Store, name: str, given: DialogueSource) -> None:
    if given.replace_source:
        return
    source = read_source(store, name)
    if source and given.source and source != given.source:
        raise ConfigurationError(
            f"the data set {name} is made of {source}, and its dialogues would be replaced by those of {given.source}. "
            "Name another data set (--dataset-name); or put all files into one folder (VOICE_MOSHI__SCRIPTS_URL); or, "
            "to replace the other input, run once: voice moshi build --replace-input"
        )


def _source(value: dict[str, Any]) -> dict[str, Any]:
    return {"source": value["source"]}


def _write_source(store: Store, name: str, source: str) -> None:
    data = canonical_json({"source": source}).encode() + b"\n"
    if store.find(source_key(name)) != data:
        store.put(source_key(name), data)


def _open_batch(counts: dict[int, int], size: int) -> int:
    last = max(counts, default=1)
    return last if counts.get(last, 0) < size else last + 1


class _ScriptBuffer:
    """One file per batch, of which one is open: lines mostly come batch by batch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._file: IO[bytes] | None = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.jsonl"

    def add(self, number: int, line: bytes) -> None:
        if self._file is None or number != self._number:
            self.close()
            self._number, self._file = number, self._path(number).open("ab")
        self._file.write(line)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def content(self, number: int) -> bytes:
        path = self._path(number)
        return path.read_bytes() if path.exists() else b""
