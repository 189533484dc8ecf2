"""The checks of the Moshi assets. `voice_core.moshi.checks` declares them, with severity and description."""

from voice_core.moshi import checks

DIALOGUES_CHECKS = (checks.lines_are_dialogues,)
MOSHI_SHARDS_CHECKS = (
    checks.dialogues_add_up,
    checks.files_are_sound,
    checks.text_fits,
    checks.words_were_heard,
    checks.emotions_were_spoken,
    checks.nothing_rejected,
    checks.speech_says_its_text,
)
MOSHI_DATASET_CHECKS = (checks.lists_are_sound, checks.batches_are_finished)
