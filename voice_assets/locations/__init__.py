"""The same assets dealt out to machines: one code location each, loaded by a gRPC server on that machine.

Two locations of a workspace must not build the same asset, and a run is where its location's server is. So each
location runs some of the steps, and knows the others' assets by name: the T4, in the cloud beside the raw bucket, cuts;
the H200 encodes, writes the dataset, and speaks dialogues. VOICE_STEPS deals them out otherwise.
"""

import dagster as dg

from resources.neucodec import NeuCodecResource
from voice_assets.definitions import build_definitions
from voice_core.settings import Settings, StepName


def build_machine_definitions(pool: str, steps: tuple[StepName, ...]) -> dg.Definitions:
    """The definitions of a machine with the GPUs of `pool`, which runs these steps where VOICE_STEPS names no others.

    What encodes there does so on CUDA, in that pool, and with NeuCodec unless VOICE_CODEC says otherwise.
    """
    device = Settings.load().neucodec.device
    machine = {"pool": pool, "device": "cuda" if device == "auto" else device}
    given = Settings.load(neucodec=machine)
    codec = given.codec if "codec" in given.model_fields_set else "neucodec"
    settings = Settings.load(neucodec=machine, codec=codec)
    return build_definitions(
        settings, settings.steps or steps, codec=codec, neucodec=NeuCodecResource(pool=pool, device=machine["device"])
    )
