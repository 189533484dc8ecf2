"""Prepares dialogues of the Moshi shards for a page: stereo sound, and words with their times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voice_core.audio.pcm import to_float
from voice_core.moshi.batches import list_scripts
from voice_core.moshi.mixing import read_wav
from voice_core.moshi.script import ROLES, SAMPLE_RATE_HZ, Role
from voice_core.moshi.shard_manifest import ShardManifest, TurnRow, read_shard_manifest
from voice_core.recognition.word_times import Word
from voice_core.report.clips import compute_clip_limit_sec, mp3_data_uri, waveform_svg_path
from voice_core.storage.store import Store, StoreError

_BIT_RATE = 96_000
_PAGE_SEC = 64.0  # of dialogues in one page: 96 kbit/s in base64 make 1.0 MB of it
_NOTEBOOK_SEC = 30.0


@dataclass(frozen=True, slots=True)
class ClipTurn:
    """The start and the words of a turn, in seconds from the start of the dialogue."""

    role: Role
    start_sec: float
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class DialogueClip:
    """A dialogue as stereo MP3 (a data URI) with the outline of each channel; `error` if it cannot be read."""

    dialogue_id: str
    key: str
    seconds: float
    shown_sec: float = 0.0
    audio: str = ""
    waves: tuple[tuple[Role, str], ...] = ()
    turns: tuple[ClipTurn, ...] = ()
    times_by: str = ""
    error: str = ""

    @property
    def shortened(self) -> bool:
        return self.shown_sec < self.seconds - 0.01


def load_first_dialogues(work: Store, name: str, count: int) -> list[DialogueClip]:
    """The first dialogues of a data set; empty if no batch has been synthesised."""
    rows: list[list[TurnRow]] = []
    for partition in list_scripts(work, name):
        manifest = read_shard_manifest(work, partition)
        rows += _first(manifest, count - len(rows)) if manifest is not None else []
        if len(rows) == count:
            break
    return _clips(work, rows, _PAGE_SEC)


def load_first_of_batch(work: Store, manifest: ShardManifest) -> list[DialogueClip]:
    """The first kept dialogue of a batch; empty if there is none."""
    return _clips(work, _first(manifest, 1), _NOTEBOOK_SEC)


def _first(manifest: ShardManifest, count: int) -> list[list[TurnRow]]:
    return [rows for _, rows in manifest.kept()[:count]]


def _clips(work: Store, dialogues: Sequence[list[TurnRow]], budget_sec: float) -> list[DialogueClip]:
    limit_sec = compute_clip_limit_sec([_seconds(rows) for rows in dialogues], budget_sec)
    return [_clip(work, rows, limit_sec) for rows in dialogues]


def _seconds(rows: Sequence[TurnRow]) -> float:
    return rows[0].dialogue_samples / SAMPLE_RATE_HZ


def _clip(work: Store, rows: Sequence[TurnRow], limit_sec: float) -> DialogueClip:
    first = rows[0]
    try:
        mix = read_wav(work.get(first.key))[: round(limit_sec * SAMPLE_RATE_HZ)]
    except (StoreError, ValueError) as error:
        return DialogueClip(first.dialogue_id, first.key, _seconds(rows), error=str(error))
    shown_sec = len(mix) / SAMPLE_RATE_HZ
    return DialogueClip(
        first.dialogue_id,
        first.key,
        _seconds(rows),
        shown_sec,
        mp3_data_uri(to_float(mix), SAMPLE_RATE_HZ, _BIT_RATE),
        tuple((role, waveform_svg_path(mix[:, channel])) for channel, role in enumerate(ROLES)),
        tuple(turn for turn in _turns(rows) if turn.start_sec < shown_sec),
        _times_by(sum(row.approximate for row in rows), len(rows)),
    )


def _turns(rows: Iterable[TurnRow]) -> list[ClipTurn]:
    turns = []
    for row in rows:
        start_sec = row.start_sample / SAMPLE_RATE_HZ
        words = tuple(
            Word(word.text, round(start_sec + word.start_sec, 3), round(start_sec + word.end_sec, 3))
            for word in row.spoken_words()
        )
        turns.append(ClipTurn(row.channel_role, words[0].start_sec if words else round(start_sec, 3), words))
    return sorted(turns, key=lambda turn: turn.start_sec)


def _times_by(approximate: int, turns: int) -> str:
    """
    >>> _times_by(0, 6), _times_by(2, 6)
    ('by an aligner', 'by an aligner, in 2 of 6 turns only approximate')
    """
    if approximate == turns:
        return "approximate: split along the speech’s energy"
    return f"by an aligner, in {approximate} of {turns} turns only approximate" if approximate else "by an aligner"
