"""The checks of the audiobook assets. `voice_core.audiobook` declares them, with severity and description."""

from voice_core.audiobook import audio_checks, audiobook_checks, text_checks

BOOK_CHUNKS_CHECKS = (text_checks.text_adds_up, text_checks.nothing_refused, text_checks.chapters_have_text)
CHUNK_AUDIO_CHECKS = (
    audio_checks.chunks_add_up,
    audio_checks.files_are_sound,
    audio_checks.nothing_rejected,
    audio_checks.words_were_recognised,
    audio_checks.levels_are_measured,
)
AUDIOBOOK_CHECKS = (
    audiobook_checks.audiobook_is_current,
    audiobook_checks.marks_fit,
    audiobook_checks.files_are_sound,
    audiobook_checks.acx_is_met,
    audiobook_checks.limiter_is_rare,
)
