"""Train the codebooks of MelVQ on speech that hibari speaks: `python -m benchmarks.train_melvq`.

No recordings are needed. Sentences are put together from word lists that hold every English phoneme, spoken
in American and British pronunciation at many pitches, then varied in vocal-tract length, level, bandwidth and
noise, so that the codebooks also serve voices other than hibari's. The same seed gives the same file.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from hibari import Hibari, dsp
from hibari.g2p import G2P

from voice_core.codecs import melvq
from voice_core.codecs.base import Audio
from voice_core.codecs.melvq import CEPSTRA, STAGE_SIZE, Float32, MelVQ, cepstra, log_mel, nearest_pairs

WHO = """my younger cousin|the harbour pilot|a quiet librarian|her neighbour George|the visiting judge|
our chemistry teacher|Theo and Beth|the village doctor|an honest juror|the yawning shepherd|
Captain Vaughn|those three brothers|every engineer|a cheerful usher|the royal gardener|
Joyce and her aunt|the Welsh singer|nobody upstairs|the youngest pupil|both farmers|a huge brown dog|
the night nurse|Uncle Zachary|the foreign envoy|whoever called|a weary plumber|the chess champion"""
DID = """measured|forgot|carried|painted|borrowed|caught|described|folded|watched|usually avoids|
never sold|should examine|quietly moved|threw away|will choose|brought back|could hardly see|
often enjoys|finally fixed|has hidden|may purchase|shouted about|is judging|crushed|would rather keep|
washed|dragged|taught us about|laughed at|was guarding"""
WHAT = """the orange lantern|a bag of fresh figs|seven silver spoons|the broken thermometer|
an old leather glove|his azure vase|the foggy beach|a jar of sharp vinegar|the measure of flour|
thick woollen mittens|a yellow canoe|the church organ|a bowl of boiled oysters|the genuine ruby ring|
two pairs of shoes|the fourth chapter|a good cookbook|the huge oak door|an unusual treasure map|
the beige garage|a cheap toy trumpet|the whole menu|wet paving stones|a feather pillow|the purple kite|
its copper kettle|the rough wooden bench|nine hungry geese|a cube of sugar|the vague invoice"""
WHEN = """before the storm|after a long lunch|near the railway bridge|without any reason|
beneath the south tower|on Thursday morning|while the children slept|during the January thaw|
because of the noise|for about an hour|in the shade of a fir tree|though it cost five pounds|
with great pleasure|beyond the marsh|as soon as the bell rang|at twenty past eight|under their roof|
when the choir paused|despite the bitter wind|by the edge of the pool|since the first of March|
inside the museum cafe|every other Wednesday|until the judge objected|just outside the town|
over the rough ground"""
SAY = "Yes|No|Well|However|Honestly|In truth|Perhaps|Of course|By the way|Look|Oh|Strangely"
ASK = "Why does it seem that|Do you think|Who told you that|Is it true that|How sure are we that"
COUNT = "zero|one|two|three|four|five|six|seven|eight|nine|eleven|twelve|thirteen|sixteen|twenty|forty|hundred|thousand"
TEMPLATES = (
    "{who} {did} {what} {when}.",
    "{when}, {who} {did} {what}.",
    "{ask} {who} {did} {what} {when}?",
    "{say}, {who} {did} {what}, and {who} {did} {what}!",
    "{count}, {count}, {count}: {who} {did} {what}.",
    "{what}, {what} and {what}, {when}.",
)
HELD_OUT = (
    "Our kayak drifted towards the lighthouse, so we paddled harder.",
    "Grandmother keeps her sewing things in a biscuit tin beside the radio.",
    "The verdict surprised even the lawyers who had argued for it.",
    "A thin layer of ice covered the pond, yet the ducks did not mind.",
)

PITCH_FACTORS = (0.5, 0.6, 0.7, 0.85, 1.0, 1.0, 1.2)
RESAMPLE_FACTORS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.0, 1.05, 1.1, 1.2)
BAND_LIMITS_HZ = (3_600.0, 5_500.0, 8_000.0, 11_000.0)
GAIN_CLIPS = 40
PEAK_DBFS = (-30.0, 9.0)

Indices = npt.NDArray[np.int64]
Speaker = Callable[[str, float, int], Audio]


def sentences(count: int, rng: np.random.Generator) -> list[str]:
    """`count` sentences, each a template in turn with random words."""
    lists = {"who": WHO, "did": DID, "what": WHAT, "when": WHEN, "say": SAY, "ask": ASK, "count": COUNT}
    words = {name: text.replace("\n", "").split("|") for name, text in lists.items()}
    made = []
    for index in range(count):
        text = TEMPLATES[index % len(TEMPLATES)]
        for name, choices in words.items():
            while f"{{{name}}}" in text:
                text = text.replace(f"{{{name}}}", choices[rng.integers(len(choices))], 1)
        made.append(text[0].upper() + text[1:])
    return made


@functools.cache
def speaker(british: bool) -> Speaker:
    """A function (text, pitch factor, seed) → 24 kHz audio: hibari, with its pitch contour scaled."""
    tts = Hibari(g2p=G2P(british=british))

    def speak(text: str, pitch: float, seed: int) -> Audio:
        rng = np.random.default_rng(seed)
        parts = []
        for phonemes in tts.phonemize(text):
            ids = np.asarray([tts.ids(phonemes)], np.int64)
            outputs = tts.sess.run(None, {"ids": ids, "speed": np.ones(1, np.float32)})
            *spectra, f0 = (output[0] for output in outputs)
            parts.append(dsp.synth(*spectra, f0 * np.float32(pitch), rng))
        return np.concatenate(parts)

    return speak


def augment(clip: Audio, rng: np.random.Generator) -> Audio:
    """Another speaker, microphone and distance: resampled (pitch and formants move together), sometimes
    band-limited, at a peak within `PEAK_DBFS`, sometimes with white noise 35–70 dB below the peak, and clipped
    to ±1."""
    at = np.arange(0, len(clip) - 1, rng.choice(RESAMPLE_FACTORS))
    varied = np.interp(at, np.arange(len(clip)), clip)
    if rng.random() < 0.2:
        spectrum = np.fft.rfft(varied)
        limit_hz = rng.choice(BAND_LIMITS_HZ)
        spectrum[int(limit_hz / (melvq.SAMPLE_RATE_HZ / 2) * len(spectrum)) :] *= 0.01
        varied = np.fft.irfft(spectrum, len(varied))
    peak = 10 ** (rng.uniform(*PEAK_DBFS) / 20)
    varied *= peak / np.abs(varied).max()
    if rng.random() < 0.4:
        varied += rng.standard_normal(len(varied)) * peak * 10 ** (-rng.uniform(35, 70) / 20)
    return np.clip(varied, -1.0, 1.0).astype(np.float32)


def nearest(x: Float32, codebook: Float32) -> Indices:
    """Index of the nearest codebook vector for each row of `x`."""
    half_norms = 0.5 * np.square(codebook).sum(1)
    chunks = np.array_split(x, max(1, len(x) // 8_192))
    return np.concatenate([np.argmin(half_norms - chunk @ codebook.T, 1) for chunk in chunks])


def centroids(x: Float32, assigned: Indices, codebook: Float32) -> Float32:
    """Mean of the rows assigned to each vector; a vector without rows stays where it was."""
    counts = np.bincount(assigned, minlength=len(codebook))
    starts = np.minimum(np.concatenate([[0], np.cumsum(counts)[:-1]]), len(x) - 1)
    sums = np.add.reduceat(x[np.argsort(assigned, kind="stable")], starts, axis=0)
    means = sums / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, codebook).astype(np.float32)


def k_means(x: Float32, rounds: int, rng: np.random.Generator) -> Float32:
    """STAGE_SIZE centroids of `x`: k-means++ seeding (Arthur & Vassilvitskii, 2007), then Lloyd's rounds."""
    sample = x[rng.permutation(len(x))[:40_000]]
    codebook = np.repeat(sample[:1], STAGE_SIZE, axis=0)
    distance = np.square(sample - codebook[0]).sum(1)
    for index in range(1, STAGE_SIZE):
        drawn = np.searchsorted(np.cumsum(distance), rng.random() * distance.sum())
        codebook[index] = sample[min(drawn, len(sample) - 1)]
        distance = np.minimum(distance, np.square(sample - codebook[index]).sum(1))
    for _ in range(rounds):
        codebook = centroids(x, nearest(x, codebook), codebook)
    return codebook


def pairs(x: Float32, first: Float32, second: Float32) -> tuple[Indices, Indices]:
    """`nearest_pairs` over many rows, in chunks."""
    found = [nearest_pairs(chunk, first, second) for chunk in np.array_split(x, max(1, len(x) // 1_024))]
    return np.concatenate([i for i, _ in found]), np.concatenate([j for _, j in found])


def train(x: Float32, rounds: int, joint_rounds: int, rng: np.random.Generator) -> tuple[Float32, Float32]:
    """Both codebooks for cepstra [frames, CEPSTRA]: k-means, k-means of its residual, then joint refinement,
    where pairs are assigned as `encode` will assign them and each stage moves to the mean of what the other
    leaves."""
    first = k_means(x, rounds, rng)
    second = k_means(x - first[nearest(x, first)], rounds, rng)
    for _ in range(joint_rounds):
        i, j = pairs(x, first, second)
        for _ in range(3):
            first = centroids(x - second[j], i, first)
            second = centroids(x - first[i], j, second)
    return first, second


def distortion(clips: list[Audio], codec: MelVQ) -> tuple[float, float]:
    """(root-mean-square log-mel error of the codes in dB, level of the round trip against the input in dB)."""
    mel_error, level = [], []
    for clip, codes in zip(clips, codec.encode(clips), strict=True):
        mel_error.append(np.square(log_mel(clip) - codec.log_mel_of(codes)).mean())
        decoded = codec.decode([codes])[0]
        level.append(20 * np.log10(np.sqrt(np.square(decoded).mean() / np.square(clip).mean())))
    return float(np.sqrt(np.mean(mel_error)) * 10 / np.log(10)), float(np.mean(level))


def band_gain(clips: list[Audio], codec: MelVQ) -> Float32:
    """Power gain a band, shape [BANDS], by which the round trip of `clips` falls short of them."""
    wanted, got = np.zeros(melvq.BANDS), np.zeros(melvq.BANDS)
    for clip in clips:
        clip = clip * np.float32(0.3 / np.abs(clip).max())
        wanted += np.exp(log_mel(clip)).sum(0)
        got += np.exp(log_mel(codec.decode(codec.encode([clip]))[0])).sum(0)
    return np.clip(wanted / got, 1.0, 10.0).astype(np.float32)


def _save(output: Path, first: Float32, second: Float32, gain: Float32) -> None:
    half = np.float16
    np.savez(output, first=first.astype(half), second=second.astype(half), gain=gain.astype(half))


def main(
    output: Annotated[Path, typer.Option(help="The .npz to write.")] = melvq.CODEBOOK_PATH,
    sentence_count: Annotated[int, typer.Option(help="Training sentences.", min=12)] = 900,
    frame_count: Annotated[int, typer.Option(help="Frames drawn from them.", min=1_000)] = 160_000,
    rounds: Annotated[int, typer.Option(help="Lloyd rounds a stage.", min=1)] = 15,
    joint_rounds: Annotated[int, typer.Option(help="Rounds of joint refinement.", min=0)] = 8,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Speak, vary, cluster, write the codebooks, and print their distortion on held-out sentences."""
    rng = np.random.default_rng(seed)
    voices = (speaker(british=False), speaker(british=False), speaker(british=True))
    spoken = []
    frames = [np.full((200, CEPSTRA), cepstra(log_mel(np.zeros(melvq.HOP, np.float32))), np.float32)]
    for index, text in enumerate(sentences(sentence_count, rng)):
        clip = voices[index % len(voices)](text, float(rng.choice(PITCH_FACTORS)), index)
        varied = [augment(clip, rng) for _ in range(2)]
        frames.extend(cepstra(log_mel(v)) for v in varied)
        if index < GAIN_CLIPS:
            spoken.append(varied[0])
    x = np.concatenate(frames)
    typer.echo(f"{len(x):,} frames of {sentence_count:,} sentences")
    first, second = train(x[rng.permutation(len(x))[:frame_count]], rounds, joint_rounds, rng)
    unity = np.ones(melvq.BANDS, np.float32)
    _save(output, first, second, unity)
    _save(output, first, second, band_gain(spoken, MelVQ(output)))

    codec = MelVQ(output)
    typer.echo(f"{output}: {output.stat().st_size:,} bytes, revision {codec.revision}")
    for pitch in (1.0, 0.6):
        clips = [voices[0](text, pitch, 0) for text in HELD_OUT]
        error_db, level_db = distortion(clips, codec)
        typer.echo(f"held out, pitch x{pitch}: log-mel error {error_db:.2f} dB rms, level {level_db:+.2f} dB")


if __name__ == "__main__":
    typer.run(main)
