"""The checks of the voice dataset's assets. `voice_core.corpus.checks` evaluates them."""

from voice_assets.metadata import check_specs

_SECONDS_ADD_UP = {"seconds_add_up": "Duration in equals duration kept plus duration rejected, to the sample."}

RAW_AUDIO_CHECKS = check_specs("raw_audio", {}, {"transcripts_present": "Every recording has a transcript beside it."})
SEGMENTS_CHECKS = check_specs(
    "segments",
    {
        **_SECONDS_ADD_UP,
        "files_intact": "Every file of the manifest exists and has its checksum.",
        "texts_present": "Every kept segment has a text.",
        "no_overlap": "No two segments share a sample.",
    },
    {"recordings_sound": "Every recording was decoded completely and has a readable transcript."},
)
CODED_SEGMENTS_CHECKS = check_specs(
    "coded_segments",
    {
        **_SECONDS_ADD_UP,
        "files_intact": "Every file of the manifest exists and has its checksum.",
        "codes_valid": "The number of codes matches the audio; codes are in the codebook and not all equal.",
    },
    {"nothing_failed": "Every kept segment was read and encoded."},
)
VOICE_DATASET_CHECKS = check_specs(
    "voice_dataset",
    {
        **_SECONDS_ADD_UP,
        "files_intact": "Every Parquet file exists and has its checksum.",
        "rows_match": "The Parquet files hold the kept rows; those for NeuTTS have exactly three columns.",
    },
    {"nothing_failed": "Every kept segment was read."},
)
DATASET_CARD_CHECKS = check_specs(
    "dataset_card",
    {
        "splits_do_not_leak": "No recording, speaker or text of test is in train.",
        "files_intact": "Every Parquet file of the dataset exists and has its checksum.",
    },
)
