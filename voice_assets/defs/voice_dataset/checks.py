"""The checks of the voice dataset's assets. `voice_core.corpus.checks` declares them, with severity and description."""

from voice_core.corpus import checks

RAW_AUDIO_CHECKS = (checks.transcripts_present,)
SEGMENTS_CHECKS = (
    checks.seconds_add_up,
    checks.files_intact,
    checks.texts_present,
    checks.no_overlap,
    checks.recordings_sound,
)
CODED_SEGMENTS_CHECKS = (checks.seconds_add_up, checks.files_intact, checks.codes_valid, checks.nothing_failed)
VOICE_DATASET_CHECKS = (checks.seconds_add_up, checks.files_intact, checks.rows_match, checks.nothing_failed)
DATASET_CARD_CHECKS = (checks.splits_do_not_leak, checks.files_intact)
