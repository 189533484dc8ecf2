"""Checks of the Moshi stages, each declared with its severity. `voice_assets` assigns them to assets."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from voice_core.fingerprint import hash_to_unit_interval, sha256
from voice_core.language import pluralize
from voice_core.moshi.mixing import Stereo, read_wav
from voice_core.moshi.script import ROLES, SAMPLE_RATE_HZ, BadDialogueLine, Dialogue
from voice_core.moshi.shard_manifest import LABELS, ShardManifest, TurnRow, sidecar_key
from voice_core.moshi.text_tokens import TOKENS_PER_SEC
from voice_core.moshi.trainer_manifest import (
    TrainerManifestReport,
    trainer_manifest_key,
    trainer_manifest_prefix,
    trainer_manifest_rows,
)
from voice_core.recognition.recognisers import Recogniser, count_word_errors, normalize_words
from voice_core.recognition.text_words import split_words
from voice_core.settings import MoshiSettings
from voice_core.stages.checks import Findings, check
from voice_core.stages.files import FileState, compare_sizes, list_sizes
from voice_core.storage.store import Store
from voice_core.tts.base import Capabilities

_TIME_EPS_SEC = 2e-6  # sidecars hold microseconds


@check("warning")
def lines_are_dialogues(items: Sequence[Dialogue | BadDialogueLine]) -> Findings:
    """Every line of the scripts is a dialogue."""
    wrong = [item.message for item in items if isinstance(item, BadDialogueLine)]
    return Findings(wrong, pluralize(len(items) - len(wrong), "dialogue"))


@check()
def dialogues_add_up(manifest: ShardManifest) -> Findings:
    """Every dialogue and every invalid line has its rows, and turns cover the whole dialogue.

    Each dialogue is kept or rejected as a whole.
    """
    wrong: list[str] = []
    dialogues = list(manifest.by_dialogue())
    lines = sum(row.turn < 0 for row in manifest.rows)
    if (len(dialogues), lines) != (manifest.dialogues, manifest.bad_lines):
        wrong.append(
            f"rows of {len(dialogues)} dialogues and {lines} bad lines, but the input has {manifest.dialogues} and "
            f"{manifest.bad_lines}"
        )
    for name, rows in dialogues:
        if len({row.kept for row in rows}) > 1 or [row.turn for row in rows] != list(range(len(rows))):
            wrong.append(f"only a part of {name!r} is kept, or a turn is missing")
        elif rows[0].kept and max(row.start_sample + row.sample_count for row in rows) != rows[0].dialogue_samples:
            wrong.append(f"{name!r} does not end with its last turn")
    wrong += [
        f"line {row.line} {row.dialogue_id!r} is rejected without a reason" for row in _rows_without_reason(manifest)
    ]
    return Findings(wrong, f"{len(dialogues)} dialogues, {lines} bad lines", manifest.figures)


def _rows_without_reason(manifest: ShardManifest) -> Iterable[TurnRow]:
    return (row for row in manifest.rows if not row.kept and not (row.stage and row.reason))


@check()
def files_are_sound(store: Store, manifest: ShardManifest) -> Findings:
    """Files are stereo, have the listed number of samples, are silent between turns, and have their words in place.

    Each has its checksum and 24 kHz; no sample is at full scale; words are sorted, each within its turn, and those of
    the script.
    """
    wrong: list[str] = []
    kept = manifest.kept()
    for name, rows in kept:
        wrong += [f"{name!r}: {problem}" for problem in _find_file_problems(store, rows)]
    return Findings(wrong, f"{len(kept)} dialogues")


def _find_file_problems(store: Store, rows: Sequence[TurnRow]) -> list[str]:
    first = rows[0]
    wav, sidecar = store.find(first.key), store.find(sidecar_key(first.key))
    if wav is None or sidecar is None:
        return ["its audio is missing" if wav is None else "its alignments are missing"]
    problems = [
        f"{what} is not what was committed"
        for what, data, digest in (("its audio", wav, first.sha256), ("its sidecar", sidecar, first.sidecar_sha256))
        if sha256(data) != digest
    ]
    try:
        problems += find_audio_problems(read_wav(wav), rows)
    except ValueError as error:
        problems.append(str(error))
    return problems + find_sidecar_problems(sidecar, rows)


def find_audio_problems(mix: Stereo, rows: Sequence[TurnRow]) -> list[str]:
    """What is wrong with a dialogue's audio. Pure."""
    problems: list[str] = []
    if len(mix) != rows[0].dialogue_samples:
        problems.append(f"{len(mix)} samples, not {rows[0].dialogue_samples}")
    for channel, role in enumerate(ROLES):
        in_turn = np.zeros(len(mix), np.bool_)
        for row in rows:
            if row.role != role:
                continue
            turn = slice(row.start_sample, row.start_sample + row.sample_count)
            if in_turn[turn].any():
                problems.append(f"turn {row.turn + 1} of the {role} overlaps another of its turns")
            if not mix[turn, channel].any():
                problems.append(f"turn {row.turn + 1} is silent")
            in_turn[turn] = True
        if mix[~in_turn, channel].any():
            problems.append(f"the {role}'s channel is not silent outside of its turns")
    if len(mix) and (mix.max() >= 32767 or mix.min() <= -32768):
        problems.append("samples at full scale")
    return problems


def find_sidecar_problems(data: bytes, rows: Sequence[TurnRow]) -> list[str]:
    """What is wrong with a dialogue's alignments. Pure."""
    try:
        alignments = [(word, start, end, label) for word, (start, end), label in json.loads(data)["alignments"]]
    except (ValueError, KeyError, TypeError) as error:
        return [f"its sidecar cannot be read: {error!r}"]
    problems: list[str] = []
    if [item[1] for item in alignments] != sorted(item[1] for item in alignments):
        problems.append("its words are not sorted")
    for role, label in LABELS.items():
        own = [item for item in alignments if item[3] == label]
        turns = sorted((row for row in rows if row.role == role), key=lambda row: row.start_sample)
        expected = [(word, row) for row in turns for word in split_words(row.text)]
        if [item[0] for item in own] != [word for word, _ in expected]:
            problems.append(f"the {role}'s words are not those of the script")
            continue
        for (word, start, end, _), (_, row) in zip(own, expected, strict=True):
            first = row.start_sample / SAMPLE_RATE_HZ - _TIME_EPS_SEC
            last = (row.start_sample + row.sample_count) / SAMPLE_RATE_HZ + _TIME_EPS_SEC
            if not first <= start < end <= last:
                problems.append(f"{word!r} at {start} to {end} s is outside of turn {row.turn + 1}")
    return problems


@check("warning")
def text_fits(manifest: ShardManifest) -> Findings:
    """No turn of the assistant has more text tokens per second than Moshi produces."""
    turns = [row for row in manifest.rows if row.kept and row.role == "assistant"]
    dense = [
        f"{row.dialogue_id!r} turn {row.turn + 1}: about {row.tokens_per_sec} text tokens per second, "
        f"but Moshi produces {TOKENS_PER_SEC}"
        for row in turns
        if row.dense
    ]
    return Findings(dense, f"{len(turns)} turns of the assistant")


@check("warning")
def words_were_heard(manifest: ShardManifest) -> Findings:
    """Word times come from an aligner, not from an approximation."""
    turns = [row for row in manifest.rows if row.kept]
    rough = [f"{row.dialogue_id!r} turn {row.turn + 1} has approximate times" for row in turns if row.approximate]
    share = round(len(rough) / len(turns), 4) if turns else 0.0
    return Findings(rough, f"{len(turns)} turns", {"approximate_share": share})


@check("warning")
def emotions_were_spoken(manifest: ShardManifest, capabilities: Capabilities) -> Findings:
    """Turns with an emotion were spoken by an engine that supports emotions."""
    turns = [row for row in manifest.rows if row.kept and row.emotion]
    plain = [
        f"{row.dialogue_id!r} turn {row.turn + 1}: the engine does not support emotions ({row.emotion!r})"
        for row in turns
    ]
    offenders = [] if capabilities.emotions else plain
    return Findings(offenders, f"{len(turns)} turns with an emotion")


@check("warning")
def nothing_rejected(manifest: ShardManifest) -> Findings:
    """Every line is a dialogue, and every dialogue was built."""
    wrong = [
        row.message or f"{row.dialogue_id!r}: {row.reason}"
        for row in manifest.rows
        if not row.kept and row.reason != "other_turn_failed"
    ]
    return Findings(wrong, f"{manifest.dialogues} dialogues", manifest.rejects())


@check()
def lists_are_sound(store: Store, manifests: Iterable[ShardManifest], settings: MoshiSettings) -> Findings:
    """Every line has a path and a duration, and its file exists and is complete.

    The lists have exactly the committed dialogues, and each is in train or in eval. Durations are exact to the sample.
    Every WAV file and sidecar has its committed size.
    """
    there = list_sizes(store, trainer_manifest_prefix(settings.name))
    expected: dict[str, int] = {}
    wrong: list[str] = []
    for manifest in (item for item in manifests if item.complete):
        expected |= {
            trainer_manifest_prefix(settings.name) + item.path: item.sample_count
            for item in trainer_manifest_rows(manifest, settings)
        }
        for _, (row, *_) in manifest.kept():
            states = compare_sizes(row.files(), there)
            wrong += [f"{key} is missing" for key, state in states.items() if state is FileState.MISSING]
            wrong += [f"{key} is truncated or changed" for key, state in states.items() if state is FileState.RESIZED]
    found: dict[str, list[str]] = {}
    for part in ("", "train", "eval"):
        data = store.find(trainer_manifest_key(settings.name, part))
        if data is None and part != "eval":
            wrong.append(f"{trainer_manifest_key(settings.name, part)} is missing")
        found[part] = []
        for number, line in enumerate((data or b"").splitlines(), 1):
            where = f"{trainer_manifest_key(settings.name, part)} line {number}"
            try:
                value = json.loads(line)
                key, samples = (
                    trainer_manifest_prefix(settings.name) + value["path"],
                    value["duration"] * SAMPLE_RATE_HZ,
                )
            except (ValueError, KeyError, TypeError):
                wrong.append(f"{where} is not path and duration")
                continue
            found[part].append(key)
            if set(value) != {"path", "duration"}:
                wrong.append(f"{where} has other keys than path and duration")
            if key not in expected or round(samples, 3) != expected[key]:
                wrong.append(f"{where}: {value['path']!r} is not a committed dialogue of {value['duration']} s")
    if sorted(found[""]) != sorted(expected):
        wrong.append(f"{len(found[''])} lines, but {len(expected)} dialogues are committed")
    if sorted(found["train"] + found["eval"]) != sorted(found[""]):
        wrong.append("train and eval together are not the full list")
    figures = {"train_rows": len(found["train"]), "eval_rows": len(found["eval"])}
    return Findings(wrong, f"{len(expected)} dialogues", figures)


@check("warning")
def batches_are_finished(lists: TrainerManifestReport, batches: int) -> Findings:
    """No batch is left out because it is not finished.

    A warning, since the finished ones can be used for training.
    """
    left = [f"{batch} is not finished and is left out" for batch in lists.incomplete]
    return Findings(left, f"{batches} batches")


@check("warning")
def speech_says_its_text(
    store: Store, manifest: ShardManifest, recogniser: Recogniser | None, settings: MoshiSettings
) -> Findings:
    """A recogniser transcribes a sample of the speech as its text.

    The limit is `recogniser_max_wer`. The sample depends on the ids of the dialogues, so that it is always the same.
    """
    if recogniser is None:
        return Findings([], "", skipped="no speech was recognised: moshi.recogniser selects no usable recogniser")
    turns = [row for _, rows in manifest.kept() for row in rows]
    turns.sort(key=lambda row: hash_to_unit_interval("recognise", settings.seed, row.dialogue_id, row.turn))
    sample = sorted(turns[: settings.recogniser_turns], key=lambda row: (row.key, row.turn))
    words, errors = 0, 0
    mismatches: list[tuple[float, str]] = []
    for key, rows in groupby(sample, key=lambda row: row.key):
        mix = read_wav(store.get(key))
        for row in rows:
            pcm = mix[row.start_sample : row.start_sample + row.sample_count, ROLES.index(row.channel_role)]
            hypothesis = recogniser.recognise(pcm.copy(), SAMPLE_RATE_HZ, settings.language)
            reference = normalize_words(row.text, settings.language)
            wrong = count_word_errors(reference, normalize_words(hypothesis, settings.language))
            words, errors = words + len(reference), errors + wrong
            if wrong:
                description = f"{row.dialogue_id!r} turn {row.turn + 1}: {row.text!r} was recognised as {hypothesis!r}"
                mismatches.append((wrong / max(1, len(reference)), description))
    rate = errors / max(1, words)
    figures = {"word_error_rate": round(rate, 4), "utterances": len(sample), "recogniser": recogniser.name}
    mismatches.sort(reverse=True)
    offenders = [description for _, description in mismatches] if rate > settings.recogniser_max_wer else []
    looked_at = f"{len(sample)} utterances, word error rate {rate:.3f}"
    return Findings(offenders, looked_at, figures)
