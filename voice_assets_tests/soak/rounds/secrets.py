"""A secret in every setting, in turn, and in every failure: it is looked for in the output, in the work root, in the
folder of local copies and in all that Dagster keeps."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

from voice_assets_tests.command_server import run_command_server
from voice_assets_tests.servers.faulty_proxy import faulty_proxy
from voice_assets_tests.servers.hub import HubServer
from voice_assets_tests.servers.s3 import s3_server
from voice_assets_tests.soak.secret_leaks import (
    LeakTestCorpus,
    Servers,
    file_cases,
    hub_cases,
    settings_cases,
    store_cases,
    url_cases,
)
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "secrets in every setting and failure"
ROUNDS = 10_000  # more than there are


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    started = time.monotonic()
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server())
        proxy = stack.enter_context(faulty_proxy(s3.url))
        servers = Servers(s3, proxy, stack.enter_context(HubServer()))
        leak_corpus = LeakTestCorpus(folder, servers, stack.enter_context(run_command_server()))
        kinds = (settings_cases(), url_cases(), file_cases(folder), hub_cases(servers), store_cases(servers))
        tried = leaking = 0
        for case in islice(chain(*kinds), rounds):
            leaks = leak_corpus.find_leaks(case)
            tried += 1
            leaking += bool(leaks)
            for leak in leaks:
                progress(f"{case.name!r}: {leak.replace(case.secret, 'SECRET')[:300]}")
    progress(f"{tried} cases, {leaking} with a leak")
    return [SoakResult(NAME, tried, tried, leaking, time.monotonic() - started)]
