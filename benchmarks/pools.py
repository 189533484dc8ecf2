"""GPU pools: which process used the GPU at what time, while two backfills and two builds requested it.

A real Dagster daemon runs two backfills of `coded_segments`, and two `voice build` processes run at the same time, each
over four other batches, in a pool of limit 1, with a codec in NeuCodec's place that pretends to use a GPU for a second
a batch. The table is the timeline.

Prediction: the sixteen uses of the GPU follow one another without an overlap, and so do the four steps that held the
pool; the GPU is idle for 2 s between two holders of the pool, since a run that waits looks every second, and a
queued one is started by the daemon.
"""

import tempfile
from itertools import pairwise
from pathlib import Path

from benchmarks.common import Options
from benchmarks.report import Goal, Report
from voice_assets_tests.assets.gpu_contention import UnencodedCorpus, find_overlaps, run_contention, timeline_rows


def measure(options: Options) -> Report:
    batches_each = 2 if options.quick else 4
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        unencoded = UnencodedCorpus(
            Path(folder) / "unencoded", batches=4 * batches_each, seconds_a_batch=1.0, gated=True
        )
        try:
            usage = run_contention(unencoded, batches_each)
        finally:
            unencoded.end()
    uses = [(use.begin, use.end) for use in usage.uses]
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(usage.steps)]
    return Report(
        columns=["from", "to", "who", "what"],
        rows=timeline_rows(usage),
        goals=[
            Goal("uses of the GPU at the same time", len(find_overlaps(uses)), 0, at_least=False),
            Goal("steps in the pool at the same time", len(find_overlaps(usage.steps)), 0, at_least=False),
            Goal("batches encoded", len(uses), 4 * batches_each, at_least=True),
        ],
        notes=[
            f"as many as {usage.max_concurrent_runs} runs wanted the pool, or had it, at the same time",
            f"seconds between one step's end and the next one's beginning: {', '.join(f'{g:.1f}' for g in gaps)}",
        ],
        details={"timeline": timeline_rows(usage), "steps": usage.steps, "runs": usage.runs, "gaps_sec": gaps},
    )
