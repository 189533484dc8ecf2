"""The same assets assigned to machines: one code location each, loaded by a gRPC server on that machine.

Two locations of a workspace must not build the same asset, and a run executes on the machine of its location's server.
So each location has some of the steps, and the assets of the others as external assets: the T4, in the cloud near the
raw bucket, cuts; the H200 encodes, writes the dataset, and synthesises dialogues. VOICE_STEPS assigns them differently.
"""

import dagster as dg

from resources.neucodec import NeuCodecResource
from voice_assets.definitions import build_definitions
from voice_core.settings import Settings, StepName


def build_machine_definitions(pool: str, steps: tuple[StepName, ...]) -> dg.Definitions:
    """The definitions of a machine with the GPUs of `pool`, which runs these steps unless VOICE_STEPS is set.

    Encoding runs on CUDA, in that pool, with NeuCodec unless VOICE_CODEC is set.
    """
    device = Settings.load().neucodec.device
    machine = {"pool": pool, "device": "cuda" if device == "auto" else device}
    given = Settings.load(neucodec=machine)
    codec = given.codec if "codec" in given.model_fields_set else "neucodec"
    settings = Settings.load(neucodec=machine, codec=codec)
    return build_definitions(
        settings, settings.steps or steps, codec=codec, neucodec=NeuCodecResource(pool=pool, device=machine["device"])
    )
