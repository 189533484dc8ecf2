"""The pictures of a summary."""

import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from voice_assets_tests.core.corpus.dataset.test_summary import RATE, kept, manifest, rejected
from voice_core.corpus.dataset import plots
from voice_core.corpus.dataset.plots import plot_durations, plot_rejections
from voice_core.corpus.dataset.summary import Summary, summarise
from voice_core.settings import Settings

FIGURES = (plot_durations, plot_rejections)
ROWS = [kept(i * RATE // 3) for i in range(1, 60)] + [rejected("rules", f"reason_{i}", i * RATE) for i in range(20)]


def forget_plots() -> None:
    plots._draw_durations.cache_clear()
    plots._draw_rejections.cache_clear()


@pytest.fixture(autouse=True)
def _no_plots_of_other_tests() -> None:
    """Each test draws its own."""
    forget_plots()


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_is_a_small_png_and_the_same_twice(draw: Callable[[Summary], bytes]) -> None:
    summary = summarise([manifest(*ROWS)], Settings())
    png = draw(summary)
    assert Image.open(io.BytesIO(png)).size == (700, 350)
    assert len(png) < 40_000
    forget_plots()
    assert png == draw(summary)
    assert b"Software" not in png


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_is_drawn_once(draw: Callable[[Summary], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    png = draw(summarise([manifest(*ROWS)], Settings()))
    monkeypatch.setattr(plots, "_new_figure", None)
    assert draw(summarise([manifest(*ROWS)], Settings())) == png
    with pytest.raises(TypeError):
        draw(summarise([manifest(*ROWS[:-1], kept(RATE))], Settings()))


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("rows", [[], [kept(RATE)], [rejected("rules", "noisy", RATE)], [kept(45 * RATE)]])
def test_any_summary_can_be_drawn(draw: Callable[[Summary], bytes], rows: list) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(draw(summarise([manifest(*rows)], Settings())))).convert("L"))
    assert pixels.min() < 120  # something stands there


def test_the_bar_of_kept_audio_is_as_wide_as_its_share() -> None:
    def green(kept_sec: int) -> int:
        rows = [kept(kept_sec * RATE), rejected("rules", "noisy", (100 - kept_sec) * RATE)]
        image = Image.open(io.BytesIO(plot_rejections(summarise([manifest(*rows)], Settings())))).convert("RGB")
        red, greens, blue = np.asarray(image).astype(int).transpose(2, 0, 1)
        return int(((greens - red > 60) & (greens > blue)).any(axis=0).sum())

    assert green(40) == pytest.approx(2 * green(20), rel=0.03)


def test_matplotlib_is_loaded_only_when_a_picture_is_drawn() -> None:
    code = "import sys, voice_core.corpus.dataset.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
