"""Which dialogues there are, and in which batch each of them is: scripts in, batch files out.

A dialogue is assigned to a batch once, by its id. What a batch file holds is what was read last: a dialogue that was
changed in its script is changed there, one that has left the scripts leaves its batch, new ones fill the last batch and
open others. So one corrected line changes one batch. While a line cannot be read, nothing leaves that it may have been.
"""

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from voice_core import progress
from voice_core.lease import held
from voice_core.moshi.reading import bounded_lines, read_dialogues
from voice_core.moshi.script import BadLine, Dialogue, Turn
from voice_core.settings import MoshiSettings
from voice_core.store import Store

SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class BadScript:
    """A line of a file that is no dialogue."""

    file: str
    line: int
    reason: str
    message: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Scripts:
    """What reading the scripts came to. `changed` are the batches whose file was written."""

    batches: tuple[str, ...]
    changed: tuple[str, ...]
    dialogues: int
    new: int
    corrected: int
    removed: int
    bad: tuple[BadScript, ...]


def root(name: str) -> str:
    return f"moshi/{name}/"


def batch_name(number: int) -> str:
    """
    >>> batch_name(7)
    'batch-0007'
    """
    return f"batch-{number:04d}"


def batch_key(name: str, batch: str) -> str:
    return f"{root(name)}batches/{batch}.jsonl"


def bad_lines_key(name: str) -> str:
    return f"{root(name)}batches/bad_lines.jsonl"


def list_batches(work: Store, name: str) -> list[str]:
    """The batches of a data set, in their order."""
    keys = (item.key for item in work.listing(f"{root(name)}batches/"))
    names = (key.rpartition("/")[2].removesuffix(".jsonl") for key in keys)
    return sorted(item for item in names if item.startswith("batch-"))


def read_batch(work: Store, name: str, batch: str) -> list[Dialogue]:
    """The dialogues of a batch. Raises `LookupError` where there is none of that name."""
    data = work.find(batch_key(name, batch))
    if data is None:
        raise LookupError(f"there is no batch {batch} in {work.url}/{root(name)}batches/: run the asset `dialogues`")
    return [_loaded(line) for line in io.BytesIO(data)]


def read_bad_lines(work: Store, name: str) -> list[BadScript]:
    data = work.find(bad_lines_key(name)) or b""
    return [BadScript(**json.loads(line)) for line in io.BytesIO(data)]


def update_batches(scripts: Store, work: Store, settings: MoshiSettings, *, most: int | None = None) -> Scripts:
    """Read all script files below a folder, and bring the batches up to date with them.

    `most` ends after so many dialogues. Files are read line by line; what is kept in memory is 16 bytes of hash a
    dialogue, and the batches that change.
    """
    with held(work, root(settings.name)):
        return _update(scripts, work, settings, most)


def _update(scripts: Store, work: Store, settings: MoshiSettings, most: int | None) -> Scripts:
    name = settings.name
    names = list_batches(work, name)
    known: dict[bytes, tuple[int, bytes]] = {}  # hash of the id → (number of the batch, hash of the content)
    sizes: list[int] = []
    for number, batch in enumerate(names):
        dialogues = read_batch(work, name, batch)
        sizes.append(len(dialogues))
        for dialogue in dialogues:
            known[_hash(dialogue.id.encode())] = number, _hash(_dumped(dialogue))

    bad: list[BadScript] = []
    seen: set[bytes] = set()
    corrected: dict[int, dict[str, Dialogue]] = defaultdict(dict)
    added: dict[int, list[Dialogue]] = defaultdict(list)
    written: dict[str, bytes] = {}
    new = 0

    def write(number: int) -> None:
        """A batch that can only have grown is not read again."""
        key = batch_key(name, batch_name(number + 1))
        data = (work.find(key) or b"") + b"".join(map(_dumped, added.pop(number)))
        work.put(key, data)
        written[batch_name(number + 1)] = b""

    with progress.track("reading dialogues", 0, "dialogues") as bar:
        for found in _read(scripts, bad, seen, most):
            bar.advance()
            key = _hash(found.id.encode())
            if key in known:
                number, content = known[key]
                if content != _hash(_dumped(found)):
                    corrected[number][found.id] = found
                continue
            new += 1
            if not sizes or sizes[-1] >= settings.batch_dialogues:
                if added:
                    write(len(sizes) - 1)
                sizes.append(0)
            sizes[-1] += 1
            added[len(sizes) - 1].append(found)
    if added:
        write(len(sizes) - 1)
    gone: dict[int, int] = defaultdict(int)
    whole = most is None and all(item.id for item in bad)  # a line that cannot be read at all may be anybody's
    if whole:
        for key, (number, _) in known.items():
            if key not in seen:
                gone[number] += 1
    for number in sorted({*corrected, *gone}):
        batch = batch_name(number + 1)
        kept = [
            corrected[number].get(dialogue.id, dialogue)
            for dialogue in read_batch(work, name, batch)
            if not whole or _hash(dialogue.id.encode()) in seen
        ]
        work.put(batch_key(name, batch), b"".join(map(_dumped, kept)))
        written[batch] = b""
    _write_bad_lines(work, name, bad)
    return Scripts(
        batches=tuple(map(batch_name, range(1, len(sizes) + 1))),
        changed=tuple(sorted(written)),
        dialogues=len(known) + new - sum(gone.values()),
        new=new,
        corrected=sum(map(len, corrected.values())),
        removed=sum(gone.values()),
        bad=tuple(bad),
    )


def _read(scripts: Store, bad: list[BadScript], seen: set[bytes], most: int | None) -> Iterator[Dialogue]:
    """The dialogues of all files, each id once; lines that are none are added to `bad`."""
    for item in sorted(scripts.listing(), key=lambda item: item.key):
        if not item.key.endswith(SUFFIXES):
            continue
        with scripts.open(item.key) as file:
            for found in read_dialogues(bounded_lines(file)):
                if most is not None and len(seen) >= most:
                    return
                if isinstance(found, BadLine):
                    bad.append(BadScript(item.key, found.line, found.reason, found.message, found.id))
                    if found.id:
                        seen.add(_hash(found.id.encode()))  # it stays as it was, until its line can be read
                    continue
                key = _hash(found.id.encode())
                if key in seen:  # in another file: of one file's, the reader has told
                    message = f"the id {found.id} stands in another file, too; the first one is taken"
                    bad.append(BadScript(item.key, found.line, "duplicate_id", message, found.id))
                    continue
                seen.add(key)
                yield replace(found, line=0)


def _write_bad_lines(work: Store, name: str, bad: list[BadScript]) -> None:
    key = bad_lines_key(name)
    data = b"".join(json.dumps(asdict(item), ensure_ascii=False).encode() + b"\n" for item in bad)
    if data:
        work.put(key, data)
    elif work.head(key) is not None:
        work.delete([key])


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _dumped(dialogue: Dialogue) -> bytes:
    value = {"id": dialogue.id, "turns": [_sparse(turn) for turn in dialogue.turns]}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _sparse(turn: Turn) -> dict[str, object]:
    return {name: value for name, value in asdict(turn).items() if value not in ("", None)}


def _loaded(line: bytes) -> Dialogue:
    value = json.loads(line)
    return Dialogue(value["id"], tuple(Turn(**turn) for turn in value["turns"]))
