"""Transient store errors of many kinds, drawn at random."""

import random

from voice_assets_tests.servers.faulty_proxy import FaultyProxy

PATH_PATTERNS = ("", r"\.npz", r"\.parquet", r"\.json", r"\.wav", "list-type")


def inject_random_faults(proxy: FaultyProxy, seed: int, *, fault_count: int = 25) -> None:
    """Let up to so many requests fail, each fault at a few requests of some kind."""
    rng = random.Random(seed)
    while fault_count > 0:
        times = rng.randint(1, 3)
        fault_count -= times
        method, path = rng.choice(("", "GET", "PUT")), rng.choice(PATH_PATTERNS)
        match rng.randrange(7):
            case 0:
                proxy.answer(500, "InternalError", times=times, method=method, path=path)
            case 1:
                proxy.answer(503, "SlowDown", times=times, method=method, path=path)
            case 2:
                proxy.answer(429, "TooManyRequests", times=times, method=method, path=path)
            case 3:
                proxy.reset(times=times, method=method, path=path)
            case 4:
                proxy.drop_response(times=times, method=method, path=path)
            case 5:
                proxy.truncate_response(rng.randint(0, 500), times=times, path=path)
            case _:
                proxy.delay(rng.uniform(0.0, 0.3), times=times, method=method, path=path)
