"""Word times for any language that has a CTC model, such as Wav2Vec2 or MMS."""

import json
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import Pcm16, resample, to_float
from voice_core.recognition.model_files import identify_model
from voice_core.recognition.text_words import split_words
from voice_core.recognition.word_times import Alignment, AlignmentError, Word, validate_word_times

LogProbs = npt.NDArray[np.float64]
"""Log probabilities of tokens, shape [frames, tokens], natural logarithms."""

INSTALL = "pip install 'voice-data-factory[neucodec]'"  # for torch and transformers
STAR = -1
"""A wildcard in place of a token."""
_DELIMITER = "|"
_FILES = ("*.json", "*.safetensors", "pytorch_model.bin")


class CtcAligner:
    """Aligns with a model of the kind ...ForCTC whose vocabulary is letters.

    `model` is a folder, or a repository of the hub, which is downloaded once.

    A word without any letter of the vocabulary, such as a number, gets the time of a wildcard; its alignment is
    `approximate` then.
    """

    name = "ctc"

    def __init__(self, model: str, revision: str = "main") -> None:
        """Raises ValueError where the model or its packages are missing, or it is of another kind."""
        self._given = model, revision
        folder = _located(model, revision)
        self._tokens = _vocabulary(folder)
        self._listen: Callable[[npt.NDArray[np.float32]], LogProbs] | None = None
        self._folder = folder
        self._lock = Lock()
        self._blank, self._samples_a_frame, self._rate_hz, self._normalises = _shape(folder, self._tokens)
        self.revision = f"1-{identify_model(folder, _FILES)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return ctc_aligner, self._given

    def align(self, pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Alignment:
        texts = split_words(text)
        if not texts:
            raise AlignmentError("there are no words")
        audio = resample(to_float(pcm), sample_rate_hz, self._rate_hz)
        if self._normalises:
            audio = ((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)).astype(np.float32)
        with self._lock:
            self._listen = self._listen or _loaded(self._folder)
            log_probs = self._listen(audio)
        tokens, owners = tokenize_words(texts, _gaps(text), self._tokens)
        frames = forced_align(log_probs, tokens, self._blank)
        frame_sec = self._samples_a_frame / self._rate_hz
        words = [
            Word(word, first * frame_sec, last * frame_sec)
            for word, (first, last) in zip(texts, _extents(frames, owners, len(texts)), strict=True)
        ]
        unknown = any(token == STAR for token in tokens)
        return Alignment(validate_word_times(words, texts, pcm, sample_rate_hz), approximate=unknown)


def tokenize_words(
    words: Sequence[str], gaps: Sequence[bool], vocabulary: Mapping[str, int]
) -> tuple[list[int], list[int | None]]:
    """The tokens of words, and which word each belongs to. A word with a gap after it is followed by the delimiter, if
    the model has one. Letters that it lacks are left out; a word without any known letter becomes `STAR`.

    >>> vocabulary = {"|": 0, "a": 1, "b": 2, "é": 3}
    >>> tokenize_words(["Ab,", "42", "é"], [True, True, False], vocabulary)
    ([1, 2, 0, -1, 0, 3], [0, 0, None, 1, None, 2])
    >>> tokenize_words(["a", "b"], [False, False], vocabulary)[0], tokenize_words(["Á"], [False], vocabulary)[0]
    ([1, 2], [1])
    """
    tokens: list[int] = []
    owners: list[int | None] = []
    for number, word in enumerate(words):
        own = [token for char in word for token in _tokens_of(char, vocabulary)] or [STAR]
        tokens += own
        owners += [number] * len(own)
        if gaps[number] and number + 1 < len(words) and _DELIMITER in vocabulary:
            tokens.append(vocabulary[_DELIMITER])
            owners.append(None)
    return tokens, owners


def _tokens_of(char: str, vocabulary: Mapping[str, int]) -> list[int]:
    """The tokens of a character as it is, in lower or upper case, or without its accents."""
    if not char.isalnum() and char != "'":
        return []
    plain = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    for form in (char, char.lower(), char.upper(), plain, plain.lower(), plain.upper()):
        if form and all(part in vocabulary for part in form):
            return [vocabulary[part] for part in form]
    return []


def forced_align(log_probs: LogProbs, tokens: Sequence[int], blank: int) -> list[tuple[int, int]]:
    """First frame and end frame (exclusive) of each token on the likeliest path through all of them.

    Between two tokens there may be blanks, and between two equal ones there must be (Graves et al., 2006). `STAR` is as
    likely as the likeliest token that is not the blank. Raises AlignmentError where there are too few frames.
    """
    repeats = sum(one == other for one, other in pairwise(tokens))
    if len(log_probs) < len(tokens) + repeats:
        raise AlignmentError(f"{len(log_probs)} frames of speech are too few for {len(tokens)} letters")
    anything = np.delete(log_probs, blank, axis=1).max(axis=1, keepdims=True)
    columns = np.concatenate([log_probs, anything], axis=1)  # STAR is the last
    states = np.full(2 * len(tokens) + 1, blank)  # blanks and tokens in turn
    states[1::2] = tokens
    may_skip = np.zeros(len(states), np.bool_)  # the blank before a token, unless the one before is the same
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    score = np.full(len(states), -np.inf)
    score[:2] = columns[0, states[:2]]
    steps = np.zeros((len(log_probs), len(states)), np.int8)
    for frame in range(1, len(log_probs)):
        before = np.stack(
            [
                score,
                np.concatenate([[-np.inf], score[:-1]]),
                np.where(may_skip, np.concatenate([[-np.inf, -np.inf], score[:-2]]), -np.inf),
            ]
        )
        steps[frame] = before.argmax(axis=0)
        score = before.max(axis=0) + columns[frame, states]
    state = len(states) - 1 if score[-1] > score[-2] else len(states) - 2
    if not math.isfinite(score[state]):
        raise AlignmentError("the text does not match the speech")
    extents = [(0, 0)] * len(tokens)
    for frame in range(len(log_probs) - 1, -1, -1):
        if state % 2:
            extents[state // 2] = frame, max(extents[state // 2][1], frame + 1)
        state -= steps[frame, state]
    return extents


def _extents(frames: Sequence[tuple[int, int]], owners: Sequence[int | None], words: int) -> list[tuple[int, int]]:
    """First and last frame of each word."""
    own = [[extent for extent, owner in zip(frames, owners, strict=True) if owner == word] for word in range(words)]
    return [(extents[0][0], extents[-1][1]) for extents in own]


def _gaps(text: str) -> list[bool]:
    """Whether a space follows each word.

    >>> _gaps("Well – yes"), _gaps("你好 吗")
    ([True, True], [False, True, True])
    """
    ends = {*accumulate(len(split_words(part)) for part in text.split())}
    return [number + 1 in ends for number in range(len(split_words(text)))]


def _located(model: str, revision: str) -> Path:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        raise ValueError(f"a CTC model needs {INSTALL} ({error})") from None
    given: dict[str, Any] = {"revision": revision, "allow_patterns": [*_FILES]}
    try:
        try:
            return Path(snapshot_download(model, local_files_only=True, **given))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(model, **given))
    except (OSError, ValueError, RuntimeError) as error:  # what the client and its HTTP library derive theirs from
        raise ValueError(f"{model!r} is not a folder and cannot be downloaded from the hub ({error})") from None


def _vocabulary(folder: Path) -> dict[str, int]:
    found = _json(folder / "vocab.json")
    if any(isinstance(value, dict) for value in found.values()):
        raise ValueError(
            f"{folder} has vocabularies of several languages: save it with that of one language as its vocab.json"
        )
    return found


def _shape(folder: Path, vocabulary: Mapping[str, int]) -> tuple[int, int, int, bool]:
    """The blank token, samples per frame, their rate, and whether audio is normalised."""
    config = _json(folder / "config.json")
    listens = _json(folder / "preprocessor_config.json")
    blank = config.get("pad_token_id")
    if blank is None or "conv_stride" not in config:
        raise ValueError(
            f"{folder} does not contain a model like Wav2Vec2ForCTC: its config.json lacks pad_token_id or conv_stride"
        )
    if len(vocabulary) > config.get("vocab_size", len(vocabulary)):
        raise ValueError(f"{folder}: vocab.json has more tokens than the model")
    return (
        blank,
        math.prod(config["conv_stride"]),
        listens.get("sampling_rate", 16_000),
        listens.get("do_normalize", True),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not a JSON object")
    return found


def _loaded(folder: Path) -> Callable[[npt.NDArray[np.float32]], LogProbs]:
    try:
        import torch
        from transformers import AutoModelForCTC
    except (ImportError, OSError) as error:
        raise AlignmentError(f"a CTC model needs {INSTALL} ({error})") from None
    model = AutoModelForCTC.from_pretrained(folder, dtype=torch.float32).eval()

    def listen(audio: npt.NDArray[np.float32]) -> LogProbs:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # equal sums everywhere, and the worker pool keeps the cores busy
        try:
            with torch.inference_mode():
                logits = model(torch.from_numpy(audio)[None]).logits[0]
                found: LogProbs = torch.log_softmax(logits.double(), dim=-1).numpy()
        finally:
            torch.set_num_threads(threads)
        return found

    return listen


@cache
def ctc_aligner(model: str, revision: str = "main") -> CtcAligner:
    """One per process."""
    return CtcAligner(model, revision)
