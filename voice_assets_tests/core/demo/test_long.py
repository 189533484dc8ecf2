"""A long recording is a short one repeated, without a seam."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from voice_core.demo.long_recording import write_long_recording


def test_the_loop_repeats_in_sound_and_in_the_transcript(tmp_path: Path) -> None:
    written = write_long_recording(tmp_path / "long.mp3", hours=0.05, script=["coffee"])
    with av.open(str(written.path)) as container:
        audio = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(audio) / 24_000 == pytest.approx(written.duration_sec, abs=0.01)
    assert written.duration_sec >= 0.05 * 3600

    rows = json.loads(written.transcript.read_text(encoding="utf-8"))["segments"]
    loops = len(rows) // len({row["text"] for row in rows})
    assert len(rows) == written.line_count
    assert loops >= 3
    assert rows[-1]["end"] <= written.duration_sec
    # The second pass and the third decode alike, the step from one to the other included.
    period = len(audio) // loops
    second, third = audio[period : 2 * period], audio[2 * period : 3 * period]
    assert np.abs(second - third)[:-2_000].max() < 1e-4
    assert np.abs(audio).max() > 0.1


def test_only_mp3_can_be_written_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be \.mp3"):
        write_long_recording(tmp_path / "long.wav", hours=1)
