"""A look-ahead limiter, streamed: FFmpeg's `alimiter`. It lowers peaks for milliseconds; the rest is unchanged."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import av.filter
import numpy as np

from voice_core.audiobook.mastering.assembly import Audio

_ATTACK_MS, _RELEASE_MS = 5, 50
_TOUCHED = 1e-9  # amplitude; the filter returns other samples unchanged


class Limiter:
    """Limits a stream of audio to `limit_dbfs`, from −24. `limited` of `samples` samples were changed."""

    def __init__(self, rate_hz: int, limit_dbfs: float) -> None:
        self.samples = 0
        self.limited = 0
        self._rate_hz = rate_hz
        self._limit = 10 ** (limit_dbfs / 20)
        self._waiting: deque[Audio] = deque()  # input whose output is not there yet

    def run(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        """As many samples as come in; the look-ahead is compensated."""
        _graph, source, sink = self._graph()  # the contexts do not keep the graph alive
        for block in blocks:
            if not len(block):
                continue
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None, :]), format="dbl", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = self._rate_hz, Fraction(1, self._rate_hz), self.samples
            self.samples += len(block)
            self._waiting.append(block)
            source.push(frame)
            yield from self._pull(sink)
        source.push(None)
        yield from self._pull(sink)

    def _graph(self) -> tuple[av.filter.Graph, av.filter.context.FilterContext, av.filter.context.FilterContext]:
        graph = av.filter.Graph()
        rate = self._rate_hz
        source = graph.add("abuffer", f"sample_rate={rate}:sample_fmt=dbl:channel_layout=mono:time_base=1/{rate}")
        options = f"limit={self._limit:.9f}:attack={_ATTACK_MS}:release={_RELEASE_MS}:level=false:latency=true"
        limiter = graph.add("alimiter", options)
        layout = graph.add("aformat", "sample_fmts=dbl:channel_layouts=mono")
        sink = graph.add("abuffersink")
        source.link_to(limiter)
        limiter.link_to(layout)
        layout.link_to(sink)
        graph.configure()
        return graph, source, sink

    def _pull(self, sink: av.filter.context.FilterContext) -> Iterator[Audio]:
        while True:
            try:
                frame = sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(frame, av.AudioFrame)
            audio = frame.to_ndarray()[0].astype(np.float64)
            self._count(audio)
            yield audio

    def _count(self, audio: Audio) -> None:
        done = 0
        while done < len(audio):
            before = self._waiting.popleft()
            size = min(len(before), len(audio) - done)
            self.limited += int(np.count_nonzero(np.abs(audio[done : done + size] - before[:size]) > _TOUCHED))
            if size < len(before):
                self._waiting.appendleft(before[size:])
            done += size
