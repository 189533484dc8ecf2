"""A self-contained HTML page with the accounting of a work root's audio, and audio to listen to."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import escape

from voice_core.codecs.base import Codec, CodecUnavailableError
from voice_core.corpus.dataset.rows_stage import read_latest_complete
from voice_core.corpus.dataset.summary import Summary, summarise
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, read_manifest
from voice_core.layout import PartitionKey
from voice_core.report.clips import (
    WAVE_HEIGHT,
    WAVE_WIDTH,
    Clip,
    ClipCandidate,
    make_clips,
    select_random_kept,
    select_rejected_by_rules,
    select_worst_kept,
)
from voice_core.report.dialogues import DialogueClip, load_first_dialogues
from voice_core.report.templates import template_environment
from voice_core.settings import Settings
from voice_core.storage.store import Store

_TEMPLATE = "page.html.j2"
_MOST_RECORDINGS = 200
_TITLE, _MORE_RECORDINGS = "listening page</title>", '<p class="lead">… and '  # as in page.html.j2
_EARLIER_TITLE = "what was made, to listen to</title>"  # of pages that earlier versions wrote
_NAME_CHARS = 100  # the page shows at least this many characters of an audio id
_MOST_REJECTED = 20
_MOST_DIALOGUES = 3
_ARABIC = re.compile(r"[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff]")


@dataclass(frozen=True, slots=True)
class FunnelBar:
    """A bar of the funnel: the rejected share, in percent of all audio, and the share that is left after it."""

    stage: str
    label: str
    rows: int
    seconds: float
    samples: int
    width: float
    left: float


@dataclass(frozen=True, slots=True)
class RecordingRow:
    channel: str
    outcome: RecordingOutcome
    seconds: float
    kept_rows: int
    kept_sec: float
    rejected_rows: int


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    title: str
    lead: str
    clips: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The contents of the page."""

    title: str
    summary: Summary
    recordings: tuple[RecordingRow, ...]
    recordings_left_out: int
    dialogues: tuple[DialogueClip, ...]
    sections: tuple[Section, ...]
    codes_note: str  # why audio from codes is missing, or ""
    stand_in: bool  # the codes are from a stand-in codec


def may_contain_recording(page: bytes, audio_id: str) -> bool:
    """Whether an HTML file is such a page that names the recording, or does not name all recordings."""
    text = page.decode("utf-8", "replace")
    named = str(escape(audio_id[:_NAME_CHARS])) in text or _MORE_RECORDINGS in text
    return (_TITLE in text or _EARLIER_TITLE in text) and named


def build_page(
    work: Store,
    partitions: Sequence[PartitionKey],
    settings: Settings,
    codec: Codec | None,
    *,
    seed: int = 0,
    count: int = 12,
) -> bytes:
    """The page of a work root, UTF-8, below 6 MB: `count` random kept segments, the worst, and some rejected
    ones; and the first dialogues of the Moshi shards, where there are any.

    Reads manifests, and only the segment files that it shows. `codec` decodes codes that it made itself; with None,
    or another one, or one that cannot be loaded, the page says so instead. Equal work roots and arguments give equal
    pages.
    """
    try:
        page = _collect_page(work, partitions, settings, codec, seed, count)
    except CodecUnavailableError as error:
        page = _collect_page(work, partitions, settings, None, seed, count)
        page = replace(page, codes_note=" ".join(filter(None, (page.codes_note, f"{error}"))))
    return render_page(page, settings).encode("utf-8", "replace")


def _collect_page(
    work: Store, partitions: Sequence[PartitionKey], settings: Settings, codec: Codec | None, seed: int, count: int
) -> Page:
    manifests = {partition: read_latest_complete(work, partition, settings) for partition in partitions}
    finished = {partition: manifest for partition, manifest in manifests.items() if manifest is not None}
    kept = [
        ClipCandidate(partition, entry, decodable=_has_codes_of(codec, manifest) and entry.code_count > 0)
        for partition, manifest in finished.items()
        for entry in manifest.entries
        if entry.kept and entry.key
    ]
    rejected = [
        ClipCandidate(partition, entry)
        for partition in finished
        for entry in _entries(read_manifest(work, "segments", partition))
        if not entry.kept and entry.key
    ]
    worst = select_worst_kept(kept, max(3, 3 * count // 4))
    taken = {item.entry.key for item in worst}
    chosen = (
        select_random_kept([item for item in kept if item.entry.key not in taken], count, seed),
        worst,
        select_rejected_by_rules(rejected)[:_MOST_REJECTED],
    )
    clips = iter(make_clips(work, [item for group in chosen for item in group], settings.cut.sample_rate_hz, codec))
    random_clips, worst_clips, rejected_clips = (tuple(next(clips) for _ in group) for group in chosen)
    rows = _recordings(finished)
    return Page(
        title=settings.card.title or settings.dataset,
        summary=summarise(list(finished.values()), settings),
        recordings=tuple(rows[:_MOST_RECORDINGS]),
        recordings_left_out=max(0, len(rows) - _MOST_RECORDINGS),
        dialogues=tuple(load_first_dialogues(work, settings.moshi.name, _MOST_DIALOGUES)),
        sections=(
            Section("random", "Random kept segments", "A random sample of the dataset.", random_clips),
            Section("worst", "Worst kept segments", "The kept segments with the worst measures.", worst_clips),
            Section(
                "rejected",
                "Rejected by the rules",
                "For each rule, the rejected rows closest to and farthest from its threshold.",
                rejected_clips,
            ),
        ),
        codes_note=_codes_note(codec, list(finished.values())),
        stand_in=codec is not None and codec.stand_in and any(item.decodable for item in kept),
    )


def render_page(page: Page, settings: Settings) -> str:
    """HTML without external resources; every value is escaped."""
    channel = settings.display_name
    return template_environment().get_template(_TEMPLATE).render(
        page=page,
        summary=page.summary,
        steps=compute_funnel_bars(page.summary),
        channel=channel,
        lang=lambda text: text_language(text, settings.card.languages),
        wave=(WAVE_WIDTH, WAVE_HEIGHT),
    )  # fmt: skip


def compute_funnel_bars(summary: Summary) -> list[FunnelBar]:
    """The reasons in the order of the pipeline, each with the share that is left after it."""
    total = summary.total.samples or 1
    left = summary.total.samples
    steps = []
    for item in summary.funnel:
        left -= item.samples
        label = item.reason.replace("_", " ")
        share, below = 100 * item.samples / total, 100 * max(left, 0) / total
        steps.append(FunnelBar(item.stage, label, item.rows, item.seconds, item.samples, share, below))
    return steps


def text_language(text: str, languages: Sequence[str]) -> str:
    """The language of a text, by the settings and its script; "" if unknown.

    >>> text_language("نعم", ("en", "ar-SA")), text_language("yes", ("en", "ar-SA")), text_language("si", ("es", "it"))
    ('ar-SA', 'en', '')
    """
    arabic_script = {"ar", "fa", "ur", "ckb", "ps", "sd", "ug"}
    arabic = bool(_ARABIC.search(text))
    fitting = [language for language in languages if (language.split("-")[0] in arabic_script) == arabic]
    return fitting[0] if len(fitting) == 1 else ""


def _entries(manifest: Manifest | None) -> Sequence[Entry]:
    return manifest.entries if manifest is not None else ()


def _has_codes_of(codec: Codec | None, manifest: Manifest) -> bool:
    made = (manifest.parameters.get("codec"), manifest.parameters.get("revision"))
    return codec is not None and made == (codec.name, codec.revision)


def _codes_note(codec: Codec | None, manifests: Sequence[Manifest]) -> str:
    coded = [manifest for manifest in manifests if manifest.parameters.get("codec")]
    if not coded:
        return "These segments have no codes: the dataset was built without a codec."
    if not all(_has_codes_of(codec, manifest) for manifest in coded):
        names = ", ".join(sorted({str(manifest.parameters["codec"]) for manifest in coded}))
        return f"The segments have codes from {names}. They are not decoded here, because that codec is not available."
    return ""


def _recordings(manifests: dict[PartitionKey, Manifest]) -> list[RecordingRow]:
    """Every recording, those with problems first."""
    rows = []
    for partition, manifest in manifests.items():
        kept: dict[str, list[int]] = defaultdict(list)
        rejected: dict[str, int] = defaultdict(int)
        for entry in manifest.entries:
            if entry.kept:
                kept[entry.audio_id].append(entry.sample_count)
            else:
                rejected[entry.audio_id] += entry.kind == "line"
        rate = manifest.sample_rate_hz
        for outcome in manifest.recordings:
            own = kept[outcome.audio_id]
            seconds, kept_sec = outcome.sample_count / rate, sum(own) / rate
            rows.append(
                RecordingRow(partition.channel, outcome, seconds, len(own), kept_sec, rejected[outcome.audio_id])
            )
    return sorted(rows, key=lambda row: (not row.outcome.has_problem, row.channel, row.outcome.audio_id))
