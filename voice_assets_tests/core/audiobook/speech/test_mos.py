"""Predicted opinion scores are told, and decide nothing."""

import pytest

from voice_assets_tests.core.audiobook.speech.babble import write_book
from voice_assets_tests.core.audiobook.speech.conftest import SpeechBuilder, failed_tests
from voice_core.audio.pcm import Pcm16
from voice_core.audiobook.audio_manifest import ChunkAudioRow, mos_score
from voice_core.recognition import mos
from voice_core.settings import ConfigurationError

TEXT = "It was a dark night on the moor."


def first_row(builder: SpeechBuilder, config: str) -> ChunkAudioRow:
    write_book(builder.store, TEXT)
    return builder.build(settings={"validation": config}).manifest.rows[0]


class Listener:
    """Rates speech by its length."""

    name, revision = "listener", "1"

    def score(self, pcm: Pcm16, sample_rate_hz: int) -> float:
        return len(pcm) / 10_000


def test_the_opinion_score_is_told_and_is_no_gate(builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mos.PREDICTORS, "listener", Listener)
    mos.load_mos_predictor.cache_clear()
    plain = first_row(builder, "")
    row = first_row(builder, builder.config("mos_predictor: listener\n"))
    assert mos_score(plain) is None
    assert mos_score(row) == row.sample_count / 10_000
    assert (row.key, row.takes, failed_tests(row)) == (plain.key, 1, [])
    assert row.fingerprint != plain.fingerprint


def test_a_predictor_that_cannot_be_loaded_is_an_error(builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mos.PREDICTORS, "absent", "no_such_package:Predictor")
    monkeypatch.setitem(mos.PREDICTORS, "mute", dict)
    mos.load_mos_predictor.cache_clear()
    write_book(builder.store, TEXT)
    for name, message in (
        ("absent", "mos_predictor is absent, which cannot be loaded.*pip install"),
        ("mute", "lacks name, revision or score"),
        ("other", "mos_predictor: unknown MOS predictor; known:.*distillmos"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            builder.build(settings={"validation": builder.config(f"mos_predictor: {name}\n")})
