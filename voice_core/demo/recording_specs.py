"""The table of the demo's recordings. Every random property of a recording is seeded by its key."""

from dataclasses import dataclass
from typing import Final

from voice_core.demo.audio_encoder import AudioFormat
from voice_core.demo.faults import FIELD_LINES, FILE_FAULTS, STUDIO_LINES, FileFault, LineFault
from voice_core.demo.script import CAST, ScriptLine, Speaker, load_talks, shorten_talk
from voice_core.demo.transcripts import TranscriptKind

ATHEER: Final = "Atheer_-"
HARBOUR: Final = "harbour-radio"
DEMO_CHANNEL_MAPPING: Final = {ATHEER: "Atheer - أثير"}
"""Bucket folder → display name of a channel; a setting of the pipeline (`VOICE_CHANNEL_MAPPING`)."""


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """A recording to generate. `noise_dbfs`: RMS of the room noise; speech is near -23 dBFS."""

    channel: str
    audio_id: str
    format: AudioFormat
    noise_dbfs: float
    cast: tuple[Speaker, Speaker]
    lines: tuple[ScriptLine | LineFault, ...]
    pauses_sec: tuple[float, float] = (0.15, 0.8)
    transcript: TranscriptKind = "native"
    fault: FileFault | None = None

    @property
    def key(self) -> str:
        """The key in the bucket, without extension."""
        return f"{self.channel}/{self.audio_id}"

    @property
    def audio_key(self) -> str:
        return f"{self.key}.{self.format.kind}"

    @property
    def healthy_line_count(self) -> int:
        """Lines that the pipeline should keep; 0 for a recording with defective files."""
        return 0 if self.fault else sum(isinstance(line, ScriptLine) for line in self.lines)


@dataclass(frozen=True, slots=True)
class DemoFault:
    """One defect: the recording (`channel/audio_id`), the position of the line in its transcript (from 0; None:
    the whole recording), the pipeline's reason, and its meaning."""

    key: str
    line: int | None
    reason: str
    explanation: str


def _healthy_specs(scale: float) -> tuple[RecordingSpec, ...]:
    def plan(
        channel: str,
        audio_id: str,
        format: AudioFormat,
        noise_dbfs: float,
        cast: str,
        talk: str,
        transcript: TranscriptKind = "native",
    ) -> RecordingSpec:
        lines = shorten_talk(load_talks()[talk], scale)
        return RecordingSpec(channel, audio_id, format, noise_dbfs, CAST[cast], lines, transcript=transcript)

    return (
        plan(ATHEER, "atheer_0001", AudioFormat("mp3", 44_100, 2, 128_000), -62, "salma_yousef", "palms"),
        plan(ATHEER, "atheer_0002", AudioFormat("m4a", 48_000, 2, 128_000), -70, "salma_yousef", "coffee"),
        plan(ATHEER, "atheer_0003", AudioFormat("flac", 24_000), -58, "noura_faisal", "desert"),
        plan(ATHEER, "atheer_0004", AudioFormat("opus", 48_000, 1, 48_000), -66, "hind_omar", "market"),
        plan(ATHEER, "atheer_0005", AudioFormat("wav", 16_000), -54, "layla_khalid", "rain"),
        plan(ATHEER, "الحلقة 6 من أثير", AudioFormat("mp3", 22_050, 1, 64_000), -64, "reem_majed", "falcons"),
        plan(HARBOUR, "tides-001", AudioFormat("mp3", 16_000, 1, 48_000), -50, "ada_hugo", "tides", "whisper"),
        plan(HARBOUR, "lighthouse-002", AudioFormat("wav", 48_000, 2), -68, "ada_hugo", "lighthouse", "srt"),
        plan(HARBOUR, "bread-003", AudioFormat("ogg", 48_000, 2, 64_000), -48, "mara_tom", "bread", "vtt"),
        plan(HARBOUR, "clocks-004", AudioFormat("flac", 44_100, 2), -72, "mara_ben", "clocks"),
        plan(HARBOUR, "night-005", AudioFormat("m4a", 22_050, 1, 64_000), -56, "ines_otis", "night"),
        plan(HARBOUR, "snow-006", AudioFormat("mp3", 24_000, 1, 64_000), -60, "ruth_paul", "snow"),
    )


def _broken_specs() -> tuple[RecordingSpec, ...]:
    """Short recordings with defective files, and two of full length with defective lines; never scaled."""

    def plan(channel: str, audio_id: str, format: AudioFormat, cast: str, talk: str, fault: str) -> RecordingSpec:
        return RecordingSpec(channel, audio_id, format, -60, CAST[cast], load_talks()[talk], fault=FILE_FAULTS[fault])

    def accidents(
        channel: str, audio_id: str, format: AudioFormat, cast: str, lines: tuple[str | LineFault, ...]
    ) -> RecordingSpec:
        texts = tuple(ScriptLine(line, line) if isinstance(line, str) else line for line in lines)
        return RecordingSpec(channel, audio_id, format, -60, CAST[cast], texts, pauses_sec=(0.5, 0.8))

    mp3 = AudioFormat("mp3", 24_000, 1, 64_000)
    # Lossless and at the engine's own rate: digital silence stays exactly zero.
    studio = AudioFormat("wav", 24_000)
    return (
        accidents(ATHEER, "atheer_0201", studio, "dana_saad", STUDIO_LINES),
        accidents(HARBOUR, "field-201", AudioFormat("flac", 44_100, 2), "ivy_sam", FIELD_LINES),
        plan(ATHEER, "atheer_0101", AudioFormat("m4a", 44_100, 1, 64_000), "hind_omar", "truncated", "truncated"),
        plan(HARBOUR, "concert-101", AudioFormat("flac", 24_000), "ruth_paul", "corrupted", "corrupted"),
        plan(HARBOUR, "memo-102", mp3, "ada_hugo", "memo", "text_as_audio"),
        plan(HARBOUR, "nothing-103", AudioFormat("wav", 16_000), "ada_hugo", "nothing", "empty_audio"),
        plan(ATHEER, "atheer_0102", mp3, "layla_khalid", "untranscribed", "no_transcript"),
        plan(ATHEER, "atheer_0103", mp3, "layla_khalid", "gateway", "transcript_not_json"),
        plan(ATHEER, "atheer_0104", mp3, "reem_majed", "orphan", "orphan_transcript"),
        plan(HARBOUR, "misfiled-104", mp3, "ines_otis", "misfiled", "segments_not_a_list"),
    )


def list_recording_specs(seconds_scale: float = 1.0) -> tuple[RecordingSpec, ...]:
    """Every recording, healthy ones first; `seconds_scale` (0 to 1) shortens those."""
    if not 0 < seconds_scale <= 1:
        raise ValueError(f"seconds_scale is {seconds_scale}: it must be above 0 and at most 1")
    return _healthy_specs(seconds_scale) + _broken_specs()


def _index_faults() -> dict[str, DemoFault]:
    found = {}
    for plan in _broken_specs():
        if plan.fault is not None:
            found[plan.fault.name] = DemoFault(plan.key, None, plan.fault.reason, plan.fault.explanation)
        for number, line in enumerate(plan.lines):
            if isinstance(line, LineFault):
                found[line.name] = DemoFault(plan.key, number, line.reason, line.explanation)
    return found


DEMO_FAULTS: Final = _index_faults()
"""Every defect of the demo's recordings, by name."""
