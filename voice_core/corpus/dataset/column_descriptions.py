"""What the dataset's configs, their columns and NeuTTS's reasons are, in words of Markdown."""

from voice_core.corpus.dataset.exporters import EXPORTERS
from voice_core.corpus.labels import LABELS
from voice_core.corpus.names import PAIRS

CONFIG_DESCRIPTIONS = {
    **{exporter.config: exporter.description for exporter in EXPORTERS},
    PAIRS: "(reference, target) pairs of one speaker from different segments, for voice cloning",
}
COLUMN_DESCRIPTIONS = {
    "__key__": "`<channel>/<audio_id>_seg_<n>`, unique, stable while the line's number is unchanged",
    "audio": "mono 16-bit FLAC, as `{bytes, path}`",
    "codes": "the codec's codes, one integer a frame",
    "codec": "which codec made the codes",
    "codec_revision": "revision of the codec",
    "text": "what is said, as the transcript has it, byte for byte",
    **{label.name: label.description for label in LABELS},
    "duration_sec": "length, seconds",
    "audio_id": "the recording it was cut from",
    "channel": "display name of the recording's channel",
    "rms_dbfs": "level, dB below full scale",
    "peak_dbfs": "highest sample, dB below full scale",
    "clipped_share": "share of samples within 0.1 dB of full scale, 0 to 1",
    "silence_share": "share of 20 ms frames that are silence, 0 to 1",
    "snr_db": "signal-to-noise ratio, dB, a percentile estimate",
    "bandwidth_hz": "highest frequency within 60 dB of the strongest, Hz",
    "chars_per_sec": "characters without spaces a second",
    "start_sec": "where it begins in the recording, seconds",
    "end_sec": "where it ends in the recording, seconds",
    "raw_key": "the recording's key in the raw bucket",
    "raw_sha256": "SHA-256 of the recording's file",
    "transcript_sha256": "SHA-256 of the transcript's file",
    "segment_sha256": "SHA-256 of the segment file that this row was made from",
    "code_version": "versions of the code that cut, measured and encoded it",
    "reference_key": "`__key__` of the reference",
    "reference_text": "what the reference says",
    "reference_duration_sec": "its length, seconds",
    "reference_codes": "its codes",
    "target_key": "`__key__` of the target",
    "target_text": "what the target says",
    "target_duration_sec": "its length, seconds",
    "target_codes": "its codes",
    **{name: text for exporter in EXPORTERS for name, text in exporter.columns.items()},
}
NEUTTS_REASON_DESCRIPTIONS = {
    "empty": "no text",
    "digit": "a digit",
    "currency": "`£` or `$`",
    "capitals": "two capitals side by side",
    "ending": "does not end in one of `.,?!` (the Arabic `؟` is none of them)",
}
