"""Loads the definitions in `defs/`. As a code location, `voice_assets.definitions` builds everything: the default."""

import warnings
from collections.abc import Collection
from pathlib import Path

import dagster as dg

from resources.corpus import CorpusResource
from resources.neucodec import NeuCodecResource
from resources.speech import SpeechResource
from resources.stores import cloud_resources
from voice_assets import defs as defs_package
from voice_assets.code_location import STEPS, CodeLocation, encoding_pool, loading, speech_pool
from voice_assets.pool_wait import PoolWatch
from voice_core.settings import Settings, StepName

__all__ = ["STEPS", "build_definitions", "defs"]


def build_definitions(
    settings: Settings,
    steps: Collection[StepName] = STEPS,
    *,
    codec: str = "",
    neucodec: NeuCodecResource | None = None,
) -> dg.Definitions:
    """Everything in `defs/`, with the groups, times and limits of these settings; or what belongs to some of the steps.

    What other steps build is in the graph as external assets. `codec` and `neucodec` override the settings in runs,
    too. Raises ConfigurationError for a pool without a profile.
    """
    location = CodeLocation(
        settings,
        frozenset(steps),
        encoding_pool(settings) if "encode" in steps else None,
        speech_pool(settings) if "speak" in steps else None,
    )
    with loading(location), warnings.catch_warnings():
        # As `dg.load_from_defs_folder`, which needs the pyproject.toml that an installed package does not have, and
        # which suppresses Dagster's warnings about its own preview functions as well.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        # "." is the folder alone: without it Dagster also imports the components of installed packages, such as those
        # of dagster-aws and dagster-gcp, which takes each process a second of processor time.
        folder = Path(defs_package.__path__[0])
        found = dg.ComponentTree.from_module(defs_module=defs_package, project_root=folder.parents[1]).build_defs(".")
        owners = settings.automation.owners
        if owners:
            found = found.map_asset_specs(
                func=lambda spec: spec if spec.owners else spec.replace_attributes(owners=owners)
            )
    return dg.Definitions.merge(
        found,
        dg.Definitions(
            resources={
                "corpus": CorpusResource(
                    **cloud_resources(settings), codec=codec, neucodec=neucodec or NeuCodecResource()
                ),
                "pool_watch": PoolWatch(),
                "speech": SpeechResource(),
            },
            # A step is a batch's work of minutes, on one core or on all: a process of its own would only cost time.
            executor=dg.in_process_executor,
        ),
    )


_settings = Settings.load()
defs = build_definitions(_settings, _settings.steps or STEPS)
