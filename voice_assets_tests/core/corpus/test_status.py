"""What is current, and what a build has to make again."""

from voice_assets_tests.core.corpus.helpers import NEWS
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus.dataset import card_stage, pairs, rows_stage
from voice_core.corpus.status import StageState
from voice_core.layout import DatasetLayout


def test_a_card_that_was_written_before_the_pairs_is_stale(two: Corpus) -> None:
    """As a command leaves it that is killed between the rows and the pairs, after which another one writes the card."""
    two.build()
    wanted = two.files("datasets")
    two.work.delete([DatasetLayout(two.settings.dataset).pairs_record_key(NEWS)])
    card_stage.build_card(two.work, [NEWS], two.settings)
    assert two.files("datasets") != wanted
    rows = rows_stage.require_dataset_manifest(two.work, NEWS, two.settings)
    pairs.build_pairs(two.work, rows, two.settings, rebuild_sources=two.rebuild_sources)
    assert two.status().card is StageState.STALE
    card_stage.build_card(two.work, [NEWS], two.settings)
    assert two.status().card is StageState.CURRENT
    assert two.files("datasets") == wanted
