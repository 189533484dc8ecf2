"""The checks of the three stages, each with what it is given: the assets and `voice audiobook check` run them."""

from voice_core.audiobook import audio_checks, audiobook_checks, text_checks
from voice_core.audiobook.audio_manifest import ChunkAudioManifest
from voice_core.audiobook.audiobook_manifest import AudiobookManifest
from voice_core.audiobook.chunk_manifest import BookManifest
from voice_core.stages.checks import CheckOutcome
from voice_core.storage.store import Store


def check_text(text: BookManifest) -> list[CheckOutcome]:
    """The checks of `book_chunks`."""
    return [
        text_checks.text_adds_up(text),
        text_checks.nothing_refused(text),
        text_checks.chapters_have_text(text),
    ]


def check_speech(work: Store, text: BookManifest, speech: ChunkAudioManifest) -> list[CheckOutcome]:
    """The checks of `chunk_audio`."""
    return [
        audio_checks.chunks_add_up(text, speech),
        audio_checks.files_are_sound(work, speech),
        audio_checks.nothing_rejected(text, speech),
        audio_checks.words_were_recognised(speech),
        audio_checks.levels_are_measured(speech),
    ]


def check_audiobook(
    work: Store, text: BookManifest, speech: ChunkAudioManifest, audiobook: AudiobookManifest | None
) -> list[CheckOutcome]:
    """The checks of `audiobook`; the first alone where it is not current, since the others would compare what does not
    belong together."""
    current = audiobook_checks.audiobook_is_current(audiobook, text, speech)
    if audiobook is None or not current.passed:
        return [current]
    return [
        current,
        audiobook_checks.marks_fit(audiobook, text, speech),
        audiobook_checks.files_are_sound(work, audiobook),
        audiobook_checks.acx_is_met(audiobook),
        audiobook_checks.limiter_is_rare(audiobook),
    ]
