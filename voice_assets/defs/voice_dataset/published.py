"""The dataset at the Hugging Face hub: in the graph only if VOICE_HUB__REPO_ID is set, and built on request only."""

from collections.abc import Iterator
from importlib.util import find_spec

import dagster as dg
from pydantic import Field

from resources.corpus import CorpusResource
from voice_assets.code_location import current_location
from voice_core.publish.publish import publish
from voice_core.redaction import redact_raised_errors

_SHOWN = 100


class PublishConfig(dg.Config):
    """How the branch at the hub is updated."""

    overwrite: bool = Field(default=False, description="Also replace or delete files that others changed there.")


@dg.asset(
    deps=["dataset_card"],
    group_name="hub",  # its own group, so that materialising the dataset's group publishes nothing
    kinds={"huggingface"},
    code_version="1",
    output_required=False,
)
def published_dataset(
    context: dg.AssetExecutionContext, config: PublishConfig, corpus: CorpusResource
) -> Iterator[dg.MaterializeResult]:
    """The dataset at the hub: one commit with the files that changed."""
    settings = corpus.settings
    if find_spec("huggingface_hub") is None:
        context.log.warning("Not published: install the extra `hub`: pip install 'voice-data-factory[hub]'.")
        return
    with redact_raised_errors():
        done = publish(corpus.work(), settings, overwrite=config.overwrite)
    difference = done.difference
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(done.revision),
        metadata={
            "revision": dg.MetadataValue.url(done.commit_url),
            "committed": done.committed,
            "added": [file.path for file in difference.added[:_SHOWN]],
            "changed": [file.path for file in difference.changed[:_SHOWN]],
            "deleted": list(difference.deleted[:_SHOWN]),
            "files_changed": len(difference.uploads) + len(difference.deleted),
            "files_unchanged": difference.unchanged,
            "files_sent": done.files_sent,
            "bytes_sent": done.bytes_sent,
            "not_ours_but_read": list(difference.unrecognised[:_SHOWN]),
        },
    )


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    configured = "write" in location.steps and location.settings.hub.repo_id
    return dg.Definitions(assets=[published_dataset] if configured else [])
