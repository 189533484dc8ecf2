"""The small corpus with its raw bucket and work root on real object store servers."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.files import files_below
from voice_core.settings import Settings
from voice_core.storage.config import StoreConfig
from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class Buckets:
    """The URLs of the raw bucket and the work root, for the corpus (through a proxy) and for the test (direct)."""

    raw_url: str
    work_url: str
    raw_access: StoreConfig
    work_access: StoreConfig
    raw_direct: StoreConfig = field(repr=False)
    work_direct: StoreConfig = field(repr=False)


class CloudCorpus(Corpus):
    def __init__(self, folder: Path, buckets: Buckets) -> None:
        super().__init__(folder)
        self.buckets = buckets
        self.settings = Settings(
            raw_url=buckets.raw_url, work_url=buckets.work_url, workers=1, local_dir=str(folder / "scratch")
        )

    @property
    def raw(self) -> Store:
        return Store(self.buckets.raw_url, self.buckets.raw_access)

    @property
    def work(self) -> Store:
        return Store(self.buckets.work_url, self.buckets.work_access)

    @property
    def direct_work(self) -> Store:
        return Store(self.buckets.work_url, self.buckets.work_direct)

    def upload(self) -> None:
        """Upload the recordings to the raw bucket."""
        Store(self.buckets.raw_url, self.buckets.raw_direct).put_many(files_below(self.raw_dir))

    def files(self, under: str = "") -> dict[str, str]:
        work = self.direct_work
        keys = [item.key for item in work.listing(under)]
        return {key: hashlib.sha256(work.get(key)).hexdigest() for key in sorted(keys)}


def without_batch_records(files: dict[str, str]) -> dict[str, str]:
    """The files of the work root, without the stores' identities of recordings, which differ between stores."""
    return {key: digest for key, digest in files.items() if not key.startswith("batches/")}
