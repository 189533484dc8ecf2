"""Content hashes of raw objects, kept per batch so that unchanged recordings need not be read again."""

import json
import logging

from voice_core.corpus.ingest.batch_model import Batch, Recording
from voice_core.layout import PartitionKey, contents_key
from voice_core.stages.manifest import RecordingOutcome
from voice_core.storage.state_files import DamagedStateError, parse_state
from voice_core.storage.store import Store

_log = logging.getLogger(__name__)


class ContentHashes:
    """Content hashes by key, each valid for the store's identity of the object when it was read.

    The store's identity of an object (a generation or modification time) changes more often than its content and
    differs between stores. It is used only here; manifests and fingerprints refer to content.
    """

    def __init__(self, store: Store, partition: PartitionKey) -> None:
        self._store = store
        self._key = contents_key(partition)
        try:
            data = store.find(self._key)
            self._known = parse_content_hashes(store, self._key, data) if data is not None else {}
        except DamagedStateError as error:  # the file is only a cache
            _log.warning("%s; the recordings are read again", error)
            self._known = {}

    def sha256(self, recording: Recording) -> str:
        """The hash of the recording's audio; "" if it is unknown."""
        return self._of(recording).get("sha256", "")

    def bad_transcript_sha256(self, recording: Recording) -> str:
        """The hash of the unreadable transcript because of which the audio was not read; "" if there is none."""
        return self._of(recording).get("bad_transcript_sha256", "")

    def remember(self, recording: Recording, outcome: RecordingOutcome) -> None:
        """Keep the hashes of an outcome for the recording's current object."""
        if recording.audio is None:
            return
        known = {"identity": recording.audio.identity}
        if outcome.audio_sha256:
            self._known[recording.key] = {**known, "sha256": outcome.audio_sha256}
        elif outcome.status == "bad_transcript":
            self._known[recording.key] = {**known, "bad_transcript_sha256": outcome.transcript_sha256}

    def _of(self, recording: Recording) -> dict[str, str]:
        known = self._known.get(recording.key, {})
        same = recording.audio is not None and known.get("identity") == recording.audio.identity
        return known if same else {}

    def save(self, batch: Batch) -> None:
        """Write the hashes of the batch's recordings, if they have changed."""
        keys = {recording.key for recording in batch.recordings}
        kept = {key: value for key, value in self._known.items() if key in keys}
        data = (json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
        if data != self._store.find(self._key):
            self._store.put(self._key, data)


def parse_content_hashes(store: Store, key: str, data: bytes) -> dict[str, dict[str, str]]:
    """Parse a file of content hashes. Raises `StateFileError`."""
    return parse_state(store, key, data, dict[str, dict[str, str]])
