"""Two builds of one corpus at the same time."""

import threading
from pathlib import Path

from voice_assets_tests.core.corpus.cloud_corpus import CloudWorld


def build_together(world: CloudWorld, folder: Path) -> None:
    """Two builds of the same corpus at once. Raises what either of them raises."""
    folder.mkdir()
    errors: list[Exception] = []

    def build(one: CloudWorld) -> None:
        try:
            one.build()
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=build, args=(one,)) for one in (world, CloudWorld(folder, world.buckets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
