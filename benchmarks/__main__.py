"""`python -m benchmarks [NAME ...] [--quick]`: run benchmarks one after another."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.common import Options
from benchmarks.report import RESULTS, describe_machine, print_and_save

NAMES = (
    "segments",
    "rows",
    "memory",
    "demo",
    "objects",
    "automation",
    "plan",
    "pools",
    "neucodec",
    "neucodec_exactness",
    "synthesis",
    "moshi",
    "audiobook",
    "audiobook_growth",
    "audiobook_words",
    "audiobook_marks",
    "audiobook_validation",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure, print a table each, and write benchmarks/results/<name>.json. Nothing is asserted: "
        "a goal that is missed is shown as missed. Leave the machine alone meanwhile.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(NAMES)}; all when left out")
    parser.add_argument("--quick", action="store_true", help="little material, to see that it works; writes no file")
    parser.add_argument("--runs", type=int, default=3, help="rounds of the interleaved measurements (default 3)")
    parser.add_argument("--out", type=Path, help="folder for the JSON files, with --quick too")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if arguments.runs < 1:
        parser.error("--runs must be at least 1")
    folder = arguments.out or (None if arguments.quick else RESULTS)
    options = Options(arguments.runs, arguments.quick, folder)
    for name in arguments.names or NAMES:
        try:
            module = importlib.import_module(f"benchmarks.{name}")
        except ModuleNotFoundError as error:
            print(f"{name} needs {error.name}: pip install '.[bench]'", file=sys.stderr)
            return 1
        about = describe_machine()
        print_and_save(name, module.__doc__ or "", about, options, module.measure(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
