"""IndexTTS2 (https://github.com/index-tts/index-tts): a voice is a recording, English and Chinese."""

from voice_core.settings import IndexTTS2Settings
from voice_core.tts.declaration import EngineDeclaration
from voice_core.tts.indextts2.engine import EMOTIONS, IndexTTS2Engine
from voice_core.tts.indextts2.package import INSTALL

__all__ = ["EMOTIONS", "ENGINE", "IndexTTS2Engine"]

ENGINE = EngineDeclaration("indextts2", IndexTTS2Engine, settings=IndexTTS2Settings, memory_gb=7.0, install=INSTALL)
