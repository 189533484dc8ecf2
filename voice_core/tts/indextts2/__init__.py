"""IndexTTS2 (https://github.com/index-tts/index-tts): a voice is a recording, English and Chinese."""

from voice_core.tts.indextts2.engine import EMOTIONS, IndexTTS2Engine

__all__ = ["EMOTIONS", "IndexTTS2Engine"]
