"""A package `indextts` with the signatures, returns, caches and prints of the real one (2.0.0), and no model.

What it says depends on the text, the recordings' content as it last read it, the emotion and all random generators, as
in the real one. `voice_assets_tests/real/indextts2.py` holds its signatures against the real package, if it is there.
"""

# ruff: noqa: T201

import hashlib
import os
import random
import re
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

NOTES = "FAKE_INDEXTTS_NOTES"  # environment variable: a file for every model that is made, text said and voice missed
FILES = ("config.yaml", "bpe.model", "gpt.pth", "s2mel.pth", "wav2vec2bert_stats.pt", "feat1.pt", "feat2.pt")
CACHES = ("spk_cond", "s2mel_style", "s2mel_prompt", "spk_audio_prompt", "emo_cond", "emo_audio_prompt", "mel")


def note(what: str) -> None:
    if os.environ.get(NOTES):
        with Path(os.environ[NOTES]).open("a") as file:
            file.write(f"{os.getpid()} {what}\n")


class IndexTTS2:
    def __init__(
        self,
        cfg_path="checkpoints/config.yaml",
        model_dir="checkpoints",
        use_fp16=False,
        device=None,
        use_cuda_kernel=None,
        use_deepspeed=False,
        use_accel=False,
        use_torch_compile=False,
        use_qwen_emo=True,
        aux_paths=None,
    ):
        self.built = {name: value for name, value in locals().items() if name != "self"}
        self.calls: list[dict[str, Any]] = []
        for name in CACHES:
            setattr(self, f"cache_{name}", None)
        note("made")
        print(">> GPT weights restored from:", model_dir)
        print(">> Failed to load DeepSpeed. Falling back to normal inference.")

    def infer(
        self,
        spk_audio_prompt,
        text,
        output_path,
        emo_audio_prompt=None,
        emo_alpha=1.0,
        emo_vector=None,
        use_emo_text=False,
        emo_text=None,
        use_random=False,
        interval_silence=200,
        verbose=False,
        max_text_tokens_per_segment=120,
        stream_return=False,
        more_segment_before=0,
        **generation_kwargs,
    ):
        given = {name: value for name, value in locals().items() if name not in ("self", "generation_kwargs")}
        self.calls.append({**given, **generation_kwargs})
        pieces = self._generate(given, generation_kwargs)
        note(f"text {text}")
        if stream_return:
            return pieces
        try:
            return list(pieces)[0]  # noqa: RUF015  # IndexError is what it raises
        except IndexError:
            return None

    def _generate(self, given: dict[str, Any], generation: dict[str, Any]) -> Iterator[Any]:
        print(">> starting inference...")
        text = given["text"]
        if "memory" in text:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if "assert" in text:
            raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronous")
        if "tongue" in text:
            [].pop()
        emotional = given["emo_audio_prompt"]
        if emotional is None or given["emo_vector"] is not None or given["use_emo_text"]:
            emotional = given["spk_audio_prompt"]
        if self.cache_spk_cond is None or self.cache_spk_audio_prompt != given["spk_audio_prompt"]:
            self.cache_spk_cond = Path(given["spk_audio_prompt"]).read_bytes()
            self.cache_spk_audio_prompt = given["spk_audio_prompt"]
            note(f"voice {self.cache_spk_cond.decode()}")
            self.cache_s2mel_style = self.cache_s2mel_prompt = self.cache_mel = self.cache_spk_cond
        if self.cache_emo_cond is None or self.cache_emo_audio_prompt != emotional:
            self.cache_emo_cond = Path(emotional).read_bytes()
            self.cache_emo_audio_prompt = emotional
        if "endless" in text:
            warnings.warn("WARN: generation stopped due to exceeding `max_mel_tokens`", RuntimeWarning, stacklevel=2)
        seen = repr((self.cache_spk_cond, self.cache_emo_cond, given["emo_vector"], given["emo_text"], generation))
        digest = int.from_bytes(hashlib.sha256(seen.encode()).digest()[:3], "little")
        wavs, silence = [], None
        for part in re.split(r"(?<=[.?!])\s+", text):
            for _ in tqdm(range(25), mininterval=0):
                pass
            drawn = torch.rand(1).item() + random.random() + np.random.rand()
            wave = torch.sin(torch.arange(len(part) * 1_000) * (drawn + 1 + digest / 2**24) / 20)[None]
            wavs.append(torch.clamp(40_000 * wave**15, -32767.0, 32767.0))
            if given["stream_return"]:
                yield wavs[-1]
                if silence is None:
                    silent = given["interval_silence"]
                    silence = wavs if silent <= 0 else torch.zeros(1, int(22_050 * silent / 1000.0))
                yield silence
        if given["stream_return"]:
            return
        gap = torch.zeros(1, int(22_050 * given["interval_silence"] / 1000.0))
        joined = torch.cat([piece for wav in wavs for piece in (gap, wav)][1:], dim=1)
        print(f">> RTF: {0.5:.4f}")
        yield 22_050, joined.type(torch.int16).numpy().T


def install(monkeypatch: Any, factory: type = IndexTTS2) -> None:
    """Put it where `import indextts.infer_v2` finds it."""
    package, module = types.ModuleType("indextts"), types.ModuleType("indextts.infer_v2")
    module.IndexTTS2 = factory  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "indextts", package)
    monkeypatch.setitem(sys.modules, "indextts.infer_v2", module)


def install_everywhere(monkeypatch: Any, folder: Path) -> Path:
    """Put it where worker processes find it, too; the file of its notes."""
    package = folder / "path" / "indextts"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "infer_v2.py").write_text(f"from {__name__} import IndexTTS2\n")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv(NOTES, str(folder / "notes"))
    return folder / "notes"


def checkpoint(folder: Path) -> Path:
    """A folder that has the files of the weights, without weights."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).write_text(name)
    (folder / "qwen0.6bemo4-merge").mkdir()
    return folder


def recorded_calls(engine: Any) -> list[dict[str, Any]]:
    """What `infer` was called with, call for call."""
    calls: list[dict[str, Any]] = engine._model.calls
    return calls
