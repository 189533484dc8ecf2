"""Cutting that is killed, with old segments about."""

from typing import Any

import pytest

from voice_assets_tests.core.corpus.helpers import NEWS, assert_segments_valid, segments_are_current
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus.checks import files_intact
from voice_core.corpus.manifest import read_manifest
from voice_core.corpus.segment import segment_stage
from voice_core.storage.store import Store


class DyingStore(Store):
    """A work store whose machine is switched off after some puts."""

    left = 10**9

    def put(self, key: str, data: bytes, **how: Any) -> None:
        if self.left <= 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().put(key, data, **how)


def trouble_world(corpus: Corpus) -> None:
    """A first build, and then changes of every kind that the second has to cope with."""
    lines = corpus.add_recording("a")
    corpus.add_recording("b", extension=".flac")
    corpus.add_recording("c", 4.0)
    corpus.segment()
    lines[0]["text"] = "Something else was said."
    corpus.write_transcript("a", lines[:-1])
    corpus.add_recording("b", 8.0, extension=".flac")
    corpus.add_recording("d", 4.0)
    corpus.snapshot()


@pytest.mark.parametrize("puts", [0, 1, 2, 4, 6, 8, 10])
@pytest.mark.parametrize("often", [False, True], ids=["no checkpoint", "a checkpoint after each recording"])
def test_a_run_that_was_killed_is_not_taken_for_finished_and_ends_as_if_it_had_not_been(
    puts: int, often: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if often:
        monkeypatch.setattr("voice_core.stages.commit.CHECKPOINT_SEC", -1.0)
    corpus, undisturbed = (Corpus(tmp_path_factory.mktemp(name)) for name in ("killed", "undisturbed"))
    for each in (corpus, undisturbed):
        trouble_world(each)
    undisturbed.segment()

    dying = DyingStore(corpus.settings.work_url, create=True)
    dying.left = puts
    try:
        segment_stage.build_segments(corpus.raw, dying, NEWS, corpus.settings)
    except KeyboardInterrupt:
        left = read_manifest(corpus.work, "segments", NEWS)
        assert left is not None
        if puts > 0:
            assert not left.complete
        if left.complete:
            old = files_intact(corpus.work, [(entry.key, entry.sha256) for entry in left.files()])
            assert old.passed, old
        for entry in left.files():
            assert corpus.work.hash(entry.key) == entry.sha256
        assert not segments_are_current(corpus)
    report = corpus.segment()
    assert_segments_valid(report.manifest, corpus)
    assert corpus.files("segments") == undisturbed.files("segments")
    assert segments_are_current(corpus)
