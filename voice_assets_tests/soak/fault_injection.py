"""Bad weather: a store that fails for a while in many ways, drawn by lot."""

import random

from voice_assets_tests.servers.faulty import FaultyProxy

PLACES = ("", r"\.npz", r"\.parquet", r"\.json", r"\.wav", "list-type")


def brew(proxy: FaultyProxy, seed: int, *, strikes: int = 25) -> None:
    """Let up to so many requests fail, each fault at a few requests of some kind."""
    dice = random.Random(seed)
    while strikes > 0:
        times = dice.randint(1, 3)
        strikes -= times
        method, path = dice.choice(("", "GET", "PUT")), dice.choice(PLACES)
        match dice.randrange(7):
            case 0:
                proxy.answer(500, "InternalError", times=times, method=method, path=path)
            case 1:
                proxy.answer(503, "SlowDown", times=times, method=method, path=path)
            case 2:
                proxy.answer(429, "TooManyRequests", times=times, method=method, path=path)
            case 3:
                proxy.reset(times=times, method=method, path=path)
            case 4:
                proxy.lose_answer(times=times, method=method, path=path)
            case 5:
                proxy.cut(dice.randint(0, 500), times=times, path=path)
            case _:
                proxy.delay(dice.uniform(0.0, 0.3), times=times, method=method, path=path)
