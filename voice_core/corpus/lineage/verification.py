"""Read the objects of a trace again and compare them with what was committed."""

from voice_core.corpus.lineage.trace_types import CommittedFile, RawObject, Trace, VerifiedObject
from voice_core.storage.store import Store


def verify_trace(trace: Trace, raw: Store, work: Store) -> list[VerifiedObject]:
    """Read every object of a trace and compare its hash; raises `StoreError`."""
    checks = [
        _verify_raw_object(raw, "recording", trace.audio),
        _verify_raw_object(raw, "transcript", trace.transcript),
    ]
    places = [("segment file", trace.segment), ("coded file", trace.coded)]
    places += [(f"rows ({place.config})", place.file) for place in trace.rows]
    checks += [_verify_file(work, what, place) for what, place in dict.fromkeys(places) if place is not None]
    return checks


def _verify_raw_object(raw: Store, what: str, source: RawObject) -> VerifiedObject:
    if not source.key or not source.sha256:
        return VerifiedObject(what, source.key, "unknown", "it was not in the raw bucket at the last discovery")
    info = raw.head(source.key)
    if info is None:
        return VerifiedObject(what, source.key, "missing", "it is no longer in the raw bucket")
    same_name = (source.etag, source.version) == (info.etag, info.version)
    if raw.hash(source.key) != source.sha256:
        return VerifiedObject(what, source.key, "another", "its content has changed: `voice build` processes it")
    return VerifiedObject(what, source.key, "same", "" if same_name else "it was uploaded again with the same content")


def _verify_file(work: Store, what: str, place: CommittedFile) -> VerifiedObject:
    if work.head(place.key) is None:
        state = "freed" if place.freed else "missing"
        return VerifiedObject(what, place.key, state, "" if place.freed else "`voice build --verify` rebuilds it")
    if work.hash(place.key) != place.sha256:
        return VerifiedObject(what, place.key, "another", "it was changed: `voice build --verify` repairs it")
    return VerifiedObject(what, place.key, "same")
