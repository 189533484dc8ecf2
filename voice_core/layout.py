"""Keys under the work root, and the names of partitions."""

import hashlib
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

_MAX_BYTES = 120
_SAFE_CHARACTER = re.compile(r"[\w\- ()@=+]", re.UNICODE)


@lru_cache(maxsize=4096)
def slug(name: str) -> str:
    """A form of any name that is safe in file systems, URLs and partition keys. Different names give different slugs.

    Letters of every script stay readable; the rest is percent-encoded; long names are cut and end in a hash.

    >>> slug("Atheer_-"), slug("a/../b,c"), slug("أثير 1.5")
    ('Atheer_-', 'a%2F%2E%2E%2Fb%2Cc', 'أثير 1.5')
    >>> len(slug("x" * 300)), slug(".hidden"), slug("__x"), slug("")
    (120, '%2Ehidden', '%5F_x', '%')
    """
    out = []
    for i, char in enumerate(name):
        lonely_dot = char == "." and 0 < i < len(name) - 1 and name[i - 1] != "." and name[i + 1] != "."
        edge_space = char == " " and i in (0, len(name) - 1)
        dunder = i == 0 and name.startswith("__")  # `datasets` ignores such folders
        if lonely_dot or (_SAFE_CHARACTER.fullmatch(char) and not edge_space and not dunder):
            out.append(char)
        else:
            out.extend(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
    text = "".join(out) or "%"
    encoded = text.encode("utf-8")
    if len(encoded) <= _MAX_BYTES:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return encoded[: _MAX_BYTES - 17].decode("utf-8", "ignore") + "~" + digest


@dataclass(frozen=True, slots=True, order=True)
class PartitionKey:
    """`<channel>/batch-0001`: a partition of `channel_batch`. `channel` is already a slug.

    >>> PartitionKey.parse("harbour-radio/batch-0002")
    PartitionKey(channel='harbour-radio', number=2)
    >>> str(PartitionKey("harbour-radio", 2))
    'harbour-radio/batch-0002'
    """

    channel: str
    number: int

    def __str__(self) -> str:
        return f"{self.channel}/batch-{self.number:04d}"

    @classmethod
    def parse(cls, key: str) -> "PartitionKey":
        # At most 7 digits: `batch-20301231` is a copy that somebody dated, and batches are looked up by every number.
        match = re.fullmatch(r"(?P<channel>[^/]+)/batch-(?P<number>[0-9]{4,7})", key)
        if match is None or int(match["number"]) < 1 or str(cls(match["channel"], int(match["number"]))) != key:
            raise ValueError(
                f"{key!r} is not a partition key of channel_batch; expected a key like 'my-channel/batch-0001'"
            )
        return cls(match["channel"], int(match["number"]))

    @classmethod
    def find(cls, name: str) -> "PartitionKey | None":
        """As `parse`; None for other text.

        >>> PartitionKey.find("harbour-radio/batch-0002 (copy)")
        """
        try:
            return cls.parse(name)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, order=True)
class BookKey:
    """A partition of `book`: the name of the book's file without its extension, already a slug.

    >>> str(BookKey.of("fiction/Emma (1815).epub"))
    'fiction%2FEmma (1815)'
    """

    name: str

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, file: str) -> "BookKey":
        """The key of the book in `file`, a key in the folder of books."""
        folder, slash, name = file.rpartition("/")
        stem = name.rpartition(".")[0] or name
        return cls(slug(f"{folder}{slash}{stem}"))


_MAX_FLAGS = 20  # partitions in a command line


def partition_flags(keys: Sequence[str]) -> str:
    """Command-line flags for the first `_MAX_FLAGS` partitions, quoted for a shell.

    >>> partition_flags(["news/batch-0001", "late show/batch-0002"])
    " --partition news/batch-0001 --partition 'late show/batch-0002'"
    """
    return "".join(f" --partition {shlex.quote(key)}" for key in keys[:_MAX_FLAGS])


def parse_partitions(keys: Sequence[str], known: Collection[PartitionKey]) -> list[PartitionKey]:
    """The partitions with these keys. Raises ValueError for an invalid key, LookupError for unknown partitions.

    >>> parse_partitions(["news/batch-0002"], [PartitionKey("news", 1)])
    Traceback (most recent call last):
    LookupError: there is no partition news/batch-0002; `voice status` lists them
    """
    found = [PartitionKey.parse(key) for key in keys]
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, unknown))}; `voice status` lists them")
    return found


BATCHES = "batches/"
CONTENTS = ".contents"
TOMBSTONES = "tombstones/"
LOCKS = "locks/"
EVICTED = "freed/"


def lock_key(name: str) -> str:
    """The key of the lock on a name. It exists while a process holds the lock."""
    return f"{LOCKS}{slug(name)}.json"


def batch_key(partition: PartitionKey) -> str:
    return f"{BATCHES}{partition}.json"


def contents_key(partition: PartitionKey) -> str:
    """The content hash of each raw object when it was last read, by its identity in the store."""
    return f"{BATCHES}{partition}{CONTENTS}.json"


def evicted_prefix(stage: str) -> str:
    return f"{EVICTED}{stage}/"


def evicted_key(stage: str, partition: PartitionKey) -> str:
    """The list of committed files of a stage that were evicted."""
    return f"{evicted_prefix(stage)}{partition}.json"


def tombstone_key(channel: str, audio_id: str) -> str:
    return f"{TOMBSTONES}{slug(channel)}/{slug(audio_id)}.json"


def stage_prefix(stage: str, partition: PartitionKey | BookKey) -> str:
    """Folder of a stage's files; a stage is, for example, "segments" or "coded"."""
    return f"{stage}/{partition}/"


def manifest_key(stage: str, partition: PartitionKey | BookKey) -> str:
    return f"{stage_prefix(stage, partition)}_manifest.parquet"


def segment_name(audio_id: str, index: int) -> str:
    """
    >>> segment_name("news/monday", 7)
    'news%2Fmonday_seg_7'
    """
    return f"{slug(audio_id)}_seg_{index}"


_ROWS_PATH = re.compile(r"(?P<folder>[^/]+)/(?P<partition>[^/]+/batch-[0-9]{4,})\.(?P<split>train|test)\.parquet")
_PARTITION_IN_KEY = re.compile(r"/([^/]+/batch-[0-9]{4,})(?=[/.])")


def _rows_folder(config: str) -> str:
    """The folder of a config's rows; `datasets` takes the folder "data" for the default config."""
    return "data" if config == "full" else config


@dataclass(frozen=True, slots=True)
class RowsFile:
    """A Parquet file of a dataset's rows, by its path below `DatasetLayout.root`.

    >>> RowsFile.parse("data/news/batch-0001.train.parquet")
    RowsFile(config='full', partition=PartitionKey(channel='news', number=1), split='train')
    >>> RowsFile.parse("manifests/news/batch-0001.parquet")
    """

    config: str
    partition: PartitionKey
    split: str

    @property
    def path(self) -> str:
        return f"{_rows_folder(self.config)}/{self.partition}.{self.split}.parquet"

    @classmethod
    def parse(cls, path: str) -> "RowsFile | None":
        found = _ROWS_PATH.fullmatch(path)
        partition = PartitionKey.find(found["partition"]) if found else None
        if found is None or partition is None:
            return None
        config = "full" if found["folder"] == "data" else found["folder"]
        return cls(config, partition, found["split"])

    @classmethod
    def parse_key(cls, key: str) -> "RowsFile | None":
        """The same from a key of the work root, of any dataset.

        >>> RowsFile.parse_key("datasets/voice/neutts/news/batch-0001.test.parquet").config
        'neutts'
        """
        root, _, rest = key.partition("/")
        return cls.parse(rest.partition("/")[2]) if root == "datasets" else None

    @classmethod
    def matches_name(cls, name: str) -> bool:
        """Whether a path ends like that of such a file, whatever folder it is in.

        >>> RowsFile.matches_name("batch-0001.train.parquet"), RowsFile.matches_name("README.md")
        (True, False)
        """
        return cls.parse(f"data/channel/{name.rpartition('/')[2]}") is not None

    @staticmethod
    def pattern(config: str, split: str) -> str:
        """A glob pattern of the paths of a config and split.

        >>> RowsFile.pattern("full", "train")
        'data/*/batch-*.train.parquet'
        """
        return f"{_rows_folder(config)}/*/batch-*.{split}.parquet"


def find_partition(key: str) -> PartitionKey | None:
    """The partition that a key of the work root belongs to; None for other keys.

    >>> find_partition("freed/datasets/voice/news/batch-0001.json")
    PartitionKey(channel='news', number=1)
    >>> find_partition("segments/news/batch-0000/a_seg_0.npz")
    """
    found = _PARTITION_IN_KEY.search(f"/{key}")
    return PartitionKey.find(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """Keys of one dataset. Everything under `root` is published."""

    name: str

    @property
    def root(self) -> str:
        return f"datasets/{self.name}/"

    def rows_key(self, config: str, partition: PartitionKey, split: str) -> str:
        """Parquet of one config, partition and split; the folder of the config "full" is data/."""
        return self.root + RowsFile(config, partition, split).path

    def manifest_key(self, partition: PartitionKey) -> str:
        return f"{self.root}manifests/{partition}.parquet"

    def pairs_record_key(self, partition: PartitionKey) -> str:
        return f"{self.root}manifests/{partition}.pairs.json"

    @property
    def splits_key(self) -> str:
        return f"{self.root}splits.json"

    @property
    def card_key(self) -> str:
        return f"{self.root}README.md"

    @property
    def summary_key(self) -> str:
        """The statistics of the card as JSON. Written last: it is the dataset's commit record."""
        return f"{self.root}dataset.json"

    @property
    def figures(self) -> str:
        return f"{self.root}figures/"
