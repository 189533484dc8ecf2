"""Stores the notebooks to listen to, one per partition and asset, and makes the links that open them in the Dagster UI.

The UI does not play sound in metadata, and does not open files. Its webserver renders notebooks, at `/notebook`: it
reads the file from the code location that the link names. So the file is on the machine that ran the step, wherever the
work root is. It is written again when the manifest of the partition changes.
"""

import glob
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import dagster as dg

from voice_core.codecs.base import CodecUnavailableError
from voice_core.report.notebook import NotebookManifest, compute_notebook_version, read_notebook_version
from voice_core.storage.local_files import write_file

NOTEBOOK_FOLDER = "listen"
DEFAULT_LOCATION = "voice"
"""The code location of workspace.yaml, for runs of `voice build`."""
_LOCATION_TAG = "dagster/code_location"  # on every run launched from the UI, by the daemon or by a command


@dataclass(frozen=True, slots=True)
class NotebookStore:
    """`folder` is in Dagster's own storage; `location` is the code location that reads it."""

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
        """Delete the notebooks of a partition; the next build of its assets writes them again."""
        for path in self.folder.glob(f"*/{glob.escape(partition)}.ipynb"):
            path.unlink()

    def listen_metadata(self, asset: str, manifest: NotebookManifest, make: Callable[[], bytes]) -> dg.MetadataValue:
        """The metadata `listen` of an asset's partition; its notebook is written if there is none of this manifest.

        A full disk or a missing codec does not fail the step, which is committed already: the metadata is the error
        then.
        """
        path = self.folder / asset / f"{manifest.partition}.ipynb"
        try:
            if not path.is_file() or read_notebook_version(path.read_bytes()) != compute_notebook_version(manifest):
                write_file(path, make())
        except (OSError, CodecUnavailableError) as error:
            return dg.MetadataValue.text(f"not available: {error}")
        return dg.MetadataValue.url(f"/notebook?repoLocName={quote(self.location)}&path={quote(str(path))}")
