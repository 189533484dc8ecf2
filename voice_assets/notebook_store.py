"""Where a batch's notebook to listen to lies, and the link by which the Dagster UI opens it.

The UI plays no sound in metadata, and opens no file. Its webserver does turn notebooks into pages, at `/notebook`: it
asks the code location that a link names for the file, so that the file lies on the machine that ran the step, wherever
the work root is. A batch has one notebook an asset, written anew when its manifest is another.
"""

import glob
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import dagster as dg

from voice_core.codecs.base import CodecUnavailableError
from voice_core.corpus.manifest import Manifest
from voice_core.moshi.shard_manifest import ShardManifest
from voice_core.report.notebook import compute_notebook_version, read_notebook_version
from voice_core.storage.local_files import write_file

NOTEBOOK_FOLDER = "listen"
DEFAULT_LOCATION = "voice"
"""The code location of workspace.yaml: what `voice build` runs is shown by it."""
_LOCATION_TAG = "dagster/code_location"  # on every run that was launched from the UI, by the daemon or on a command


@dataclass(frozen=True, slots=True)
class NotebookStore:
    """`folder` lies in Dagster's own storage; `location` is the code location that reads it."""

    folder: Path
    location: str = DEFAULT_LOCATION

    @classmethod
    def from_context(cls, context: dg.AssetExecutionContext) -> "NotebookStore":
        return cls(
            Path(context.instance.storage_directory()) / NOTEBOOK_FOLDER,
            context.run.tags.get(_LOCATION_TAG, DEFAULT_LOCATION),
        )

    @classmethod
    def from_instance(cls, instance: dg.DagsterInstance) -> "NotebookStore":
        return cls(Path(instance.storage_directory()) / NOTEBOOK_FOLDER)

    def remove(self, partition: str) -> None:
        """Delete the notebooks of a batch; the next build of its assets writes them anew."""
        for path in self.folder.glob(f"*/{glob.escape(partition)}.ipynb"):
            path.unlink()

    def listen_metadata(
        self, asset: str, manifest: Manifest | ShardManifest, make: Callable[[], bytes]
    ) -> dg.MetadataValue:
        """The metadata `listen` of an asset's batch; its notebook is made where there is none of this manifest.

        A disk that refuses it, or a codec that is not there any more, costs the sound and not the step, which is
        committed.
        """
        path = self.folder / asset / f"{manifest.partition}.ipynb"
        try:
            if not path.is_file() or read_notebook_version(path.read_bytes()) != compute_notebook_version(manifest):
                write_file(path, make())
        except (OSError, CodecUnavailableError) as error:
            return dg.MetadataValue.text(f"there is nothing to listen to: {error}")
        return dg.MetadataValue.url(f"/notebook?repoLocName={quote(self.location)}&path={quote(str(path))}")
