"""The checks of the Moshi assets. `voice_core.moshi.checks` evaluates them."""

from voice_assets.metadata import check_specs

DIALOGUES_CHECKS = check_specs("dialogues", {}, {"lines_are_dialogues": "Every line of the scripts is a dialogue."})
MOSHI_SHARDS_CHECKS = check_specs(
    "moshi_shards",
    {
        "dialogues_add_up": "Every dialogue and every invalid line has its rows, and turns cover the whole dialogue.",
        "files_are_sound": "Files are stereo, have the listed number of samples, are silent between turns, and have "
        "their words in place.",
    },
    {
        "text_fits": "No turn of the assistant has more text than Moshi has room for.",
        "words_were_heard": "Word times come from an aligner, not from an approximation.",
        "emotions_were_spoken": "Turns with an emotion were spoken by an engine that supports emotions.",
        "nothing_rejected": "Every dialogue was spoken.",
        "speech_says_its_text": "A recogniser transcribes a sample of the speech as its text.",
    },
)
MOSHI_DATASET_CHECKS = check_specs(
    "moshi_dataset",
    {"lists_are_sound": "Every line has a path and a duration, and its file exists and is complete."},
    {"batches_are_finished": "No batch is left out because it is not finished."},
)
