"""Two builds of one corpus at the same time."""

import threading
from pathlib import Path

from voice_assets_tests.core.corpus.cloud_corpus import CloudCorpus


def build_concurrently(corpus: CloudCorpus, folder: Path) -> None:
    """Two builds of the same corpus at once. Raises what either of them raises."""
    folder.mkdir()
    errors: list[Exception] = []

    def build(one: CloudCorpus) -> None:
        try:
            one.build()
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=build, args=(one,)) for one in (corpus, CloudCorpus(folder, corpus.buckets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
