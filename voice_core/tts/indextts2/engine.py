"""IndexTTS2 as a `SpeechEngine`. Its package is imported when it first speaks."""

import inspect
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from voice_core.compute.gpu_lock import hold_gpu
from voice_core.compute.gpus import GpuUnavailableError, list_torch_gpus
from voice_core.language import primary_subtag
from voice_core.settings import IndexTTS2Settings
from voice_core.tts.base import (
    Capabilities,
    EngineBase,
    EngineBrokenError,
    EngineUnavailableError,
    Samples,
    Speech,
    TransientEngineError,
    Utterance,
)
from voice_core.tts.indextts2 import package
from voice_core.tts.stdout_capture import capture_output

ALGORITHM: Final = "1"
"""Raise when a change here alters the audio; part of `revision`."""
SAMPLE_RATE_HZ: Final = 22_050
EMOTIONS: Final = ("happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm")
"""In the order of the package's emotion vector."""
FULL_EMOTION: Final = 0.8  # the largest sum of a vector that the package allows
_RECORDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")
_INFER: Final = ("use_random", "interval_silence", "verbose", "max_text_tokens_per_segment", "more_segment_before")
_WARMING_TEXT = "Good morning."
_log = logging.getLogger("voice_core.tts.indextts2")


class IndexTTS2Engine(EngineBase):
    """A voice is a name of `settings.voices`, or the path of a recording; `default` is the first of these names.

    An utterance's emotion is one of `EMOTIONS`, the path of a recording that has it, or a description in words.

    The package caches one voice and one recording of an emotion, which is the voice's own unless the utterance has
    another. So utterances are best grouped by voice, and then by emotion. `prompt_misses` and `emotion_misses` count
    how often the voice and the emotion were not the cached ones.

    The seed is set for every utterance and gives the same samples on the same machine and GPU, if its kernels are
    deterministic. That is not guaranteed, and another GPU rounds differently: `deterministic` is False.

    Not for several threads: the model, the random generators and the captured output belong to the process.
    """

    name = "indextts2"
    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, settings: IndexTTS2Settings) -> None:
        """Raises ValueError for generation arguments that cannot be passed on."""
        self.settings = settings
        self.prompt_misses = 0
        self.emotion_misses = 0
        self._model: Any = None
        self._device: str | None = None
        self._prompts = package.PromptCache(settings.local_dir)
        self._speaker_prompt = self._emotion_prompt = ""  # the recordings in the model's two caches
        taken = {"spk_audio_prompt", "text", "output_path", "stream_return", "emo_alpha", "emo_vector", "emo_text"}
        taken |= {"use_emo_text", "emo_audio_prompt", "do_sample", "return_segments", *_INFER}
        wrong = sorted(taken & settings.generation.keys())
        if wrong:
            raise ValueError(
                f"indextts2.generation must not contain {', '.join(wrong)}: do_sample is always on, and the others "
                "have separate settings or are part of an utterance"
            )

    def __reduce__(self) -> tuple[type["IndexTTS2Engine"], tuple[IndexTTS2Settings]]:
        """Other processes load their own weights."""
        return IndexTTS2Engine, (self.settings,)

    @property
    def revision(self) -> str:
        """Raises EngineUnavailableError if the weights are missing."""
        return f"{ALGORITHM}-{package.compute_revision(self.settings)}"

    @property
    def voices(self) -> tuple[str, ...]:
        return tuple(self.settings.voices)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            deterministic=False,
            thread_safe=False,
            streams=True,
            clones=True,
            keeps_one_voice=True,
            languages=self.settings.languages,
            emotions=EMOTIONS,
        )

    def speak(self, utterance: Utterance) -> Speech:
        """Speak `utterance.text` at 22.05 kHz.

        Raises:
            ValueError: the text is blank, the package gives no audio for it or cuts it off, the language is not in the
                settings, or the voice or the emotion does not exist.
            TransientEngineError: the GPU is out of memory.
            EngineBrokenError: CUDA failed so that this process cannot use the GPU any more.
            EngineUnavailableError: the package, its weights or a switch are missing.
        """
        began = time.perf_counter()
        arguments = self._arguments(utterance)
        with self._infer_context(utterance, arguments):
            _set_seeds(utterance.seed)
            made = self._model.infer(**arguments)
        if made is None:
            raise ValueError(f"indextts2 returned no audio for {utterance.text!r}")
        rate, pcm = made
        if rate != SAMPLE_RATE_HZ:
            raise EngineUnavailableError(f"the installed indextts returns audio at {rate} Hz, not {SAMPLE_RATE_HZ}")
        audio = _to_samples(np.asarray(pcm))
        return Speech(audio, SAMPLE_RATE_HZ, self.name, self.revision, time.perf_counter() - began)

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """The audio of `speak`, a piece for each part of the text. Code that draws from the process's random generators
        between two pieces changes the pieces that follow. Raises as `speak`."""
        arguments = self._arguments(utterance)
        with self._infer_context(utterance, arguments):
            _set_seeds(utterance.seed)
            pieces = iter(self._model.infer(**arguments, stream_return=True))
        silence: list[Samples] = []
        heard = False
        while True:
            with self._infer_context(utterance, arguments):
                piece = next(pieces, None)
            if piece is None:
                break
            if isinstance(piece, list):  # without silence between parts, the package repeats the audio so far here
                continue
            samples = _to_samples(piece.numpy())
            if not samples.any():  # delayed: it also comes after the last part, where `speak` has none
                silence = [samples]
                continue
            heard = True
            yield from (*silence, samples)
            silence = []
        if not heard:
            raise ValueError(f"indextts2 returned no audio for {utterance.text!r}")

    def warm(self, voice: str) -> None:
        """Load the model and speak a short sentence, which caches the voice. An unknown voice is ignored here; `speak`
        rejects it."""
        self._load(self._device)
        try:
            prompt = self._prompts.copy_recording(self._recording(voice))
        except ValueError:
            return
        if prompt != self._speaker_prompt:
            self.speak(Utterance(_WARMING_TEXT, voice))

    def clear(self) -> None:
        """Drop the copies of recordings, and what the model has cached of them."""
        self._prompts.clear()
        self._speaker_prompt = self._emotion_prompt = ""
        for attribute in vars(self._model or self):
            if self._model is not None and attribute.startswith("cache_"):
                setattr(self._model, attribute, None)

    def prompt_identity(self, voice: str) -> str:
        """A hash of the voice's recording as it is now. Raises ValueError if the voice does not exist."""
        return Path(self._prompts.copy_recording(self._recording(voice))).stem

    @contextmanager
    def ready(self, purpose: str) -> Iterator[None]:
        """Load the weights onto the first GPU that is free, and keep it from other processes of this machine."""
        gpus = _gpus(self.settings.device)
        if not gpus:
            self._load(None)
            yield
            return
        with hold_gpu([*gpus], purpose, self.settings.gpu_lock_dir) as name:
            self._load(gpus[name])
            yield

    @contextmanager
    def held(self, purpose: str) -> Iterator[dict[str, Any]]:
        """Keep the first GPU that is free from other processes of this machine and load nothing: yields the options
        with which worker processes load their engines onto it."""
        gpus = _gpus(self.settings.device)
        if not gpus:
            yield {}
            return
        with hold_gpu([*gpus], purpose, self.settings.gpu_lock_dir) as name:
            pinned = _settings_for_gpu(self.settings, gpus[name])
            yield {"device": pinned.device, "use_cuda_kernel": pinned.use_cuda_kernel}

    def _arguments(self, utterance: Utterance) -> dict[str, Any]:
        """The arguments of `infer`; loads the model, since versions differ in the arguments that they take."""
        if not utterance.text.strip():
            raise ValueError(f"there is nothing to speak in {utterance.text!r}")
        spoken = [*map(primary_subtag, self.settings.languages)]
        if utterance.language and spoken and primary_subtag(utterance.language) not in spoken:
            raise ValueError(
                f"indextts2 speaks {', '.join(spoken)}, not {utterance.language} (VOICE_INDEXTTS2__LANGUAGES, for "
                f"other weights): {utterance.text!r}"
            )
        prompt = self._prompts.copy_recording(self._recording(utterance.voice))
        emotion = self._emotion(utterance.emotion)
        self._load(self._device)
        parameters = inspect.signature(self._model.infer).parameters
        options = {name: getattr(self.settings, name) for name in _INFER}
        lacking = [
            name
            for name, value in options.items()
            if name not in parameters and value != IndexTTS2Settings.model_fields[name].default
        ]
        if lacking:
            raise EngineUnavailableError(
                f"infer of the installed indextts ({package.package_version()}) does not accept {', '.join(lacking)}"
            )
        passed = {name: value for name, value in options.items() if name in parameters}
        said = {"spk_audio_prompt": prompt, "text": utterance.text, "output_path": None}
        return {**said, **emotion, **passed, **self.settings.generation}

    def _recording(self, voice: str) -> Path:
        voices = self.settings.voices
        if voice in voices:
            return Path(voices[voice]).expanduser()
        if voice == "default" and voices:
            return Path(next(iter(voices.values()))).expanduser()
        path = Path(voice).expanduser()
        if not path.is_file():
            known = ", ".join(voices) or "none by name (VOICE_INDEXTTS2__VOICES)"
            raise ValueError(f"indextts2 has no voice {voice!r}, and no recording exists at that path; it has {known}")
        return path

    def _emotion(self, emotion: str) -> dict[str, Any]:
        alpha = {"emo_alpha": self.settings.emo_alpha}
        if not emotion:
            return {}
        if emotion.lower() in EMOTIONS:
            return {"emo_vector": [FULL_EMOTION * (emotion.lower() == name) for name in EMOTIONS], **alpha}
        path = Path(emotion).expanduser()
        if path.suffix.lower() in _RECORDINGS:
            return {"emo_audio_prompt": self._prompts.copy_recording(path), **alpha}
        if not self.settings.use_qwen_emo:
            raise ValueError(
                f"the emotion {emotion!r} is a description, which needs indextts2.use_qwen_emo; without it, use "
                f"{', '.join(EMOTIONS)}, or a recording"
            )
        return {"use_emo_text": True, "emo_text": emotion, **alpha}

    @contextmanager
    def _infer_context(self, utterance: Utterance, arguments: dict[str, Any]) -> Iterator[None]:
        """Log the package's output, count cache misses, and raise errors that name the utterance."""
        speaker = arguments["spk_audio_prompt"]
        feeling = arguments.get("emo_audio_prompt", speaker)
        self.prompt_misses += speaker != self._speaker_prompt
        self.emotion_misses += feeling != self._emotion_prompt
        self._speaker_prompt = self._emotion_prompt = ""  # in case it fails
        try:
            with capture_output(_log, logging.DEBUG) as warned:
                yield
        except IndexError as error:  # `infer` itself ignores it unless it streams
            raise ValueError(f"indextts2 returned no audio for {utterance.text!r}") from error
        except RuntimeError as error:
            error.add_note(f"while speaking {utterance.text!r} as {utterance.voice}")
            if type(error).__name__ == "OutOfMemoryError":
                raise TransientEngineError(f"the GPU is out of memory at {utterance.text!r}: {error}") from error
            if "CUDA error" in str(error):  # such as a device-side assert: every later call fails too
                first = str(error).splitlines()[0]
                raise EngineBrokenError(
                    f"this process cannot use the GPU any more, since it failed at {utterance.text!r}: {first}"
                ) from error
            raise
        self._speaker_prompt, self._emotion_prompt = speaker, feeling
        if any("max_mel_tokens" in str(item.message) for item in warned):
            raise ValueError(
                f"indextts2 was cut off before the end of {utterance.text!r}: split the text, or raise "
                "generation.max_mel_tokens"
            )

    def _load(self, device: str | None) -> None:
        wanted = device or self.settings.device
        if self._model is not None and device == self._device:
            return
        self._model = None  # first free the weights on the other device
        self._speaker_prompt = self._emotion_prompt = ""
        settings = _settings_for_gpu(self.settings, device) if device else self.settings
        _log.info("loading IndexTTS2 from %s onto %s", settings.model_dir, wanted)
        began = time.perf_counter()
        self._model = package.load(settings, None if wanted == "auto" else "cuda:0" if wanted == "cuda" else wanted)
        self._device = device
        _log.info("loaded IndexTTS2 in %.1f s", time.perf_counter() - began)


def _settings_for_gpu(settings: IndexTTS2Settings, device: str) -> IndexTTS2Settings:
    """The settings for this GPU. The package uses its CUDA kernel by default only on a GPU that it chooses itself."""
    kernel = True if settings.device == "auto" and settings.use_cuda_kernel is None else settings.use_cuda_kernel
    return settings.model_copy(update={"device": device, "use_cuda_kernel": kernel})


def _set_seeds(seed: int) -> None:
    import torch

    torch.manual_seed(seed)  # seeds every GPU too
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _to_samples(pcm: np.ndarray) -> Samples:
    """The package's PCM, int16 [T, 1] or float32 [1, T] at full scale ±32,767, as mono float32 [T].

    Floats are truncated to int16 as in the package's own conversion, so that a stream gives the same audio.
    """
    return pcm.reshape(-1).astype(np.int16).astype(np.float32) / np.float32(32_767)


def _gpus(wanted: str) -> dict[str, str]:
    """The GPUs that the engine may run on, by UUID: torch's name of each. Empty where it runs elsewhere."""
    try:
        return list_torch_gpus(wanted, f"indextts2.device is {wanted}")
    except GpuUnavailableError as error:
        raise EngineUnavailableError(str(error)) from None
    except (ImportError, OSError) as error:  # OSError: a library of a package that is there does not load
        raise EngineUnavailableError(f"indextts2 needs torch ({error}): {package.INSTALL}") from None
