"""The dataset at a Hugging Face hub. Materialised on request only: nothing publishes by itself."""

from collections.abc import Iterator
from importlib.util import find_spec

import dagster as dg
from pydantic import Field

from resources.corpus import CorpusResource
from voice_core.publish.publish import publish

_SHOWN = 100


class PublishConfig(dg.Config):
    """How the hub's branch is brought to hold the dataset."""

    overwrite: bool = Field(default=False, description="Also replace or delete files that somebody else changed there.")


@dg.asset(
    deps=["dataset_card"],
    group_name="hub",  # its own, so that materialising the dataset's group publishes nothing
    kinds={"huggingface"},
    code_version="1",
    output_required=False,
)
def published_dataset(
    context: dg.AssetExecutionContext, config: PublishConfig, corpus: CorpusResource
) -> Iterator[dg.MaterializeResult]:
    """The dataset at the hub, in one commit with what changed. Skipped as long as VOICE_HUB__REPO_ID is not set."""
    settings = corpus.settings
    if not settings.hub.repo_id:
        context.log.info("Not published: VOICE_HUB__REPO_ID, such as my-team/my-voices, says where to.")
        return
    if find_spec("huggingface_hub") is None:
        context.log.warning("Not published: that needs the extra `hub`, pip install 'voice-data-factory[hub]'.")
        return
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
