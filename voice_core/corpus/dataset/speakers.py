"""The person that a `speaker_id` refers to, by the setting `split.speaker_scope`."""

from typing import Literal

SpeakerScope = Literal["recording", "channel", "corpus"]


def speaker_identity(scope: SpeakerScope, channel: str, audio_id: str, speaker_id: str) -> tuple[str, ...]:
    """Equal for rows of one person, different for rows of different people.

    >>> speaker_identity("recording", "news", "a", "s1"), speaker_identity("corpus", "news", "a", "s1")
    (('news', 'a', 's1'), ('s1',))
    """
    if scope == "recording":
        return channel, audio_id, speaker_id
    return (channel, speaker_id) if scope == "channel" else (speaker_id,)
