"""A file of dialogues, dealt to batches: each a partition of `dialogue_batch`.

A dialogue stays in the batch that it was once dealt to; new ones fill the last batch and open the next. The file is
the truth: what is no longer in it leaves its batch, and a batch that is left empty stays, empty.
"""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from voice_core.fingerprint import canonical_json
from voice_core.layout import PartitionKey, slug
from voice_core.lease import held
from voice_core.moshi.records import dialogue_partition
from voice_core.moshi.script import BadLine, Dialogue, Turn
from voice_core.store import Store

DIALOGUES = "dialogues/"


@dataclass(frozen=True, slots=True)
class Dealt:
    partitions: tuple[PartitionKey, ...]  # all there are now
    changed: tuple[PartitionKey, ...]
    dialogues: int
    bad_lines: int
    new: int


def script_key(partition: PartitionKey) -> str:
    return f"{DIALOGUES}{partition}.jsonl"


def script_line(item: Dialogue | BadLine) -> bytes:
    """A dialogue or bad line as it stands in a batch's file. A dialogue's line number stays behind: it would make the
    batch another one whenever a line is put in before it."""
    value: dict[str, Any]
    if isinstance(item, BadLine):
        value = {"bad_line": asdict(item)}
    else:
        value = {"id": item.id, "turns": [asdict(turn) for turn in item.turns]}
    return canonical_json(value).encode() + b"\n"


def parse_script_line(line: bytes) -> Dialogue | BadLine:
    value = json.loads(line)
    if "bad_line" in value:
        return BadLine(**value["bad_line"])
    return Dialogue(value["id"], tuple(Turn(**turn) for turn in value["turns"]))


def read_script(store: Store, partition: PartitionKey) -> list[Dialogue | BadLine]:
    """What a batch is made of. Raises `LookupError` for a batch that was never dealt."""
    data = store.find(script_key(partition))
    if data is None:
        raise LookupError(f"there is no batch of dialogues {partition} under {store.url}: read the dialogue file first")
    return [parse_script_line(line) for line in data.splitlines()]


def list_scripts(store: Store, name: str) -> list[PartitionKey]:
    """All batches of a data set, in order."""
    keys = [item.key for item in store.listing(f"{DIALOGUES}{slug(name)}/")]
    return sorted(
        PartitionKey.parse(key.removeprefix(DIALOGUES).removesuffix(".jsonl")) for key in keys if key.endswith(".jsonl")
    )


def deal_dialogues(store: Store, name: str, items: Iterable[Dialogue | BadLine], batch_dialogues: int) -> Dealt:
    """Deal what `read_dialogues` gives. A bad line goes with the dialogue before it.

    Batches are gathered on local disk; memory grows by some 100 bytes an id, and holds one batch besides.
    Raises ValueError where there is not one dialogue, since that would empty all batches, and StoreError.
    """
    with held(store, f"{DIALOGUES}{name}"), tempfile.TemporaryDirectory(prefix="voice-dialogues-") as folder:
        home, counts = _homes(store, name)
        spool = _Spool(Path(folder))
        current, dialogues, bad, new = 1, 0, 0, 0
        with contextlib.closing(spool):
            for item in items:
                if isinstance(item, BadLine):
                    bad += 1
                else:
                    dialogues += 1
                    known = home.get(_hash(item.id))
                    if known is None:
                        new += 1
                        known = _open_batch(counts, batch_dialogues)
                        counts[known] = counts.get(known, 0) + 1
                    current = known
                spool.add(current, script_line(item))
        if not dialogues:
            raise ValueError(
                f"there is not one dialogue in it ({bad} bad lines); the batches of {name} stay as they are"
            )
        partitions = tuple(dialogue_partition(name, number) for number in range(1, max(counts) + 1))
        changed = tuple(item for item in partitions if _replace(store, item, spool.content(item.number)))
    return Dealt(partitions, changed, dialogues, bad, new)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _homes(store: Store, name: str) -> tuple[dict[int, int], dict[int, int]]:
    """The batch of each known id, and how many each batch has."""
    home: dict[int, int] = {}
    counts: dict[int, int] = {}
    for partition in list_scripts(store, name):
        ids = [item.id for item in read_script(store, partition) if isinstance(item, Dialogue)]
        home.update((_hash(item), partition.number) for item in ids)
        counts[partition.number] = len(ids)
    return home, counts


def _open_batch(counts: dict[int, int], size: int) -> int:
    last = max(counts, default=1)
    return last if counts.get(last, 0) < size else last + 1


def _replace(store: Store, partition: PartitionKey, data: bytes) -> bool:
    if store.find(script_key(partition)) == data:
        return False
    store.put(script_key(partition), data)
    return True


class _Spool:
    """A file a batch, of which one is open: lines mostly come batch by batch."""

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
