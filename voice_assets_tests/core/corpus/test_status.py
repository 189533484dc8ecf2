"""What is current, and what a build has to make again."""

from voice_assets_tests.core.corpus.helpers import NEWS
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus.dataset import card_stage, pairs, rows_stage
from voice_core.corpus.status import StageState
from voice_core.layout import DatasetLayout


def test_a_card_that_was_written_before_the_pairs_is_stale(two_recordings: Corpus) -> None:
    """As a command leaves it that is killed between the rows and the pairs, after which another one writes the card."""
    two_recordings.build()
    wanted = two_recordings.files("datasets")
    two_recordings.work.delete([DatasetLayout(two_recordings.settings.dataset).pairs_record_key(NEWS)])
    card_stage.build_card(two_recordings.work, [NEWS], two_recordings.settings)
    assert two_recordings.files("datasets") != wanted
    rows = rows_stage.require_dataset_manifest(two_recordings.work, NEWS, two_recordings.settings)
    pairs.build_pairs(
        two_recordings.work, rows, two_recordings.settings, rebuild_sources=two_recordings.rebuild_sources
    )
    assert two_recordings.status().card is StageState.STALE
    card_stage.build_card(two_recordings.work, [NEWS], two_recordings.settings)
    assert two_recordings.status().card is StageState.CURRENT
    assert two_recordings.files("datasets") == wanted
