"""What is heard in the speech of a chunk: its text, and its words with their times."""

from voice_core.audio.pcm import Pcm16
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.text.spoken import without_phonemes
from voice_core.audiobook.text.word_map import map_words
from voice_core.recognition.aligners import ApproximateAligner
from voice_core.recognition.word_times import Aligner, Alignment, AlignmentError


def heard_text(chunk: ChunkRow) -> str:
    """The text that is heard: what the engine got, without markup of phonemes."""
    return without_phonemes(chunk.spoken_text)


def align_words(pcm: Pcm16, sample_rate_hz: int, chunk: ChunkRow, aligner: Aligner) -> Alignment:
    """The times of the book's words, by those of the words that are spoken.

    They are spread over the speech by length where the aligner does not find them. No words where there is no speech.
    """
    for each in (aligner, ApproximateAligner()):
        try:
            found = each.align(pcm, sample_rate_hz, heard_text(chunk), chunk.language)
        except AlignmentError:
            continue
        return Alignment(map_words(chunk, found.words), found.approximate)
    return Alignment((), approximate=True)
