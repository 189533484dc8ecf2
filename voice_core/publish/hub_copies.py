"""Files that a publication does not have to send: the hub copies their content from another path or branch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from voice_core.corpus.evicted import EvictedFiles, dataset_stage_name, list_evicted_partitions
from voice_core.language import pluralize
from voice_core.layout import evicted_prefix
from voice_core.publish.dataset_files import DatasetNotReadyError
from voice_core.publish.difference import LocalFile, RemoteFile
from voice_core.settings import Settings
from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class CopySource:
    """A large file of a revision of the repository."""

    path: str
    revision: str


Copies = Mapping[str, CopySource]  # by SHA-256


def find_copies(
    files: Iterable[LocalFile], revisions: Iterable[str], list_files: Callable[[str], Mapping[str, RemoteFile]]
) -> dict[str, CopySource]:
    """Where the revisions of the repository have the content of these files. Lists no more revisions than needed."""
    wanted = {file.sha256 for file in files}
    found: dict[str, CopySource] = {}
    for revision in revisions:
        if found.keys() == wanted:
            break
        for file in list_files(revision).values():
            if file.sha256 in wanted:
                found.setdefault(file.sha256, CopySource(file.path, revision))
    return found


def require_files(work: Store, files: Iterable[LocalFile], url: str, settings: Settings) -> None:
    """Raise DatasetNotReadyError if any of the files to send was deleted by `voice clean datasets`."""
    place = dataset_stage_name(settings.dataset)
    if not list_evicted_partitions(work, place):
        return
    evicted = EvictedFiles(work)
    gone = [file.key for file in files if evicted.contains(file.key, file.sha256)]
    if gone:
        raise DatasetNotReadyError(
            f"`voice clean datasets` deleted {pluralize(len(gone), 'file')} to publish, such as {work.url}/{gone[0]}, "
            f"and {url} has no copy: delete {work.url}/{evicted_prefix(place)} and run `voice build`, which writes the "
            "files again"
        )
