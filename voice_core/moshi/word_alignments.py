"""Word alignments of a dialogue: when each word is spoken, and the sidecar in which the trainer reads them.

`voice_core.recognition.aligners` finds the times. Pure, except for the aligner.
"""

import json
from collections.abc import Iterable

from voice_core.audio.pcm import Pcm16
from voice_core.moshi.script import SAMPLE_RATE_HZ
from voice_core.moshi.shard_manifest import TurnRow
from voice_core.recognition.word_times import Aligner, Alignment
from voice_core.tts.base import Utterance


def aligner_version(aligner: Aligner) -> str:
    """Identifies an aligner in manifests and fingerprints."""
    return f"{aligner.name} {aligner.revision}"


def align_turn(pcm: Pcm16, utterance: Utterance, aligner: Aligner, committed_row: TurnRow | None) -> Alignment:
    """The words of a turn, in seconds from the beginning of its audio, 24 kHz.

    `committed_row` is the manifest's row of audio that was cut out of the old file: its word times are used again if
    this aligner found them. Raises `AlignmentError`.
    """
    if committed_row is not None and committed_row.aligner == aligner_version(aligner):
        return Alignment(committed_row.spoken_words(), committed_row.approximate)
    return aligner.align(pcm, SAMPLE_RATE_HZ, utterance.text, utterance.language)


def encode_sidecar(parts: Iterable[tuple[str, int, Alignment]]) -> bytes:
    """The trainer's sidecar, from (label, first sample, alignment) of each turn; both channels' words sorted by start.

    The trainer uses binary search, so the list must be sorted as a whole. Times are rounded to microseconds: words are
    at least 0.1 ms apart, and remain so wherever their turn begins.
    """
    alignments = [
        [word.text, [round(start / SAMPLE_RATE_HZ + edge, 6) for edge in (word.start_sec, word.end_sec)], label]
        for label, start, alignment in parts
        for word in alignment.words
    ]
    alignments.sort(key=lambda item: (item[1], item[2]))
    return (json.dumps({"alignments": alignments}, ensure_ascii=False) + "\n").encode()
