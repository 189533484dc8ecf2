"""Processes that write the same keys of one store at once, and simultaneous copies of one store to another."""

import hashlib
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

from voice_assets_tests.servers.s3 import s3_server
from voice_assets_tests.soak.soak_result import SoakResult
from voice_core.storage.config import StoreConfig
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_record import COPY_RECORD_FOLDER
from voice_core.storage.copy_store import copy
from voice_core.storage.store import Store, StoreError

NAME = "processes that write the same keys, and simultaneous copies"
ROUNDS = 20

_KEYS = 3
_STOP = "stop"
_DIGEST_BYTES = 32


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that share nothing with this one."""
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def write_and_read(url: str, writers: int, puts: int) -> list[str]:
    """Put the same keys from several processes, `puts` times in all, while two others read; returns what went wrong."""
    store = Store(url, create=True)
    store.put_many({f"k/{number}": _content(random.Random(number)) for number in range(_KEYS)})
    with processes(writers + 2) as pool:
        readers = [pool.submit(_read, url) for _ in range(2)]
        done: list[Future[list[str]]] = [pool.submit(_write, url, seed, puts // writers) for seed in range(writers)]
        wrong = [line for item in done for line in item.result()]
        store.put(_STOP, b"")
        wrong += [line for item in readers for line in item.result()]
    listed = sorted(item.key for item in store.listing())
    wrong += [f"listed: {key}" for key in listed if key != _STOP and not key.startswith("k/")]
    wrong += [f"left over: {path}" for path in Path(store.local_root or "").rglob("*.part*")]
    return wrong


def _content(rng: random.Random) -> bytes:
    body = rng.randbytes(rng.randrange(1, 40_000))
    return hashlib.sha256(body).digest() + body


def _write(url: str, seed: int, puts: int) -> list[str]:
    store, rng, wrong = Store(url, create=True), random.Random(seed), []
    for number in range(puts):
        key, data = f"k/{rng.randrange(_KEYS)}", _content(rng)
        try:
            if number % 20:
                store.put_many({key: data})
            elif store.put(key, data).size != len(data):
                wrong.append(f"put {key}: another size")
        except StoreError as error:
            wrong.append(str(error))
    return wrong


def _read(url: str) -> list[str]:
    store, wrong = Store(url, create=True), []
    while store.find(_STOP) is None:
        for number in range(_KEYS):
            try:
                data = store.get(f"k/{number}")
            except StoreError as error:
                wrong.append(str(error))
                continue
            if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
                wrong.append(f"read k/{number}: {len(data)} bytes that nobody wrote")
    return wrong


def copy_twice(source_url: str, target_url: str, access: StoreConfig, objects: int, seed: int) -> list[str]:
    """Copy a store that two processes fill a target with at the same time, over an older state; what went wrong."""
    source, target = Store(source_url, access, create=True), Store(target_url, access, create=True)
    rng = random.Random(seed)
    source.put_many({f"segments/a/batch-0001/{n}.npz": rng.randbytes(rng.randrange(3000)) for n in range(objects)})
    source.put("segments/a/batch-0001/_manifest.parquet", rng.randbytes(500))
    with multiprocessing.get_context("spawn").Manager() as manager, processes(2) as pool:
        barrier = manager.Barrier(2)
        done = [pool.submit(_copy, source_url, target_url, access, barrier) for _ in range(2)]
        wrong = [line for item in done for line in item.result()]
    wanted, there = _objects(source), _objects(target)
    wrong += [f"lost: {key}" for key in sorted(wanted.keys() - there.keys())]
    wrong += [f"not what the source holds: {key}" for key in wanted if there.get(key, wanted[key]) != wanted[key]]
    return wrong + [f"left over: {key}" for key in sorted(there.keys() - wanted.keys())]


def _copy(source_url: str, target_url: str, access: StoreConfig, together: Barrier) -> list[str]:
    together.wait()
    options = CopyOptions(jobs=8)
    try:
        report = copy(Store(source_url, access), Store(target_url, access, create=True), options)
    except StoreError as error:
        return [f"ended: {error}"]
    return [f"failed: {failure.key}: {failure.reason}" for failure in report.failures]


def _objects(store: Store) -> dict[str, bytes]:
    keys = [item.key for item in store.listing() if not item.key.startswith(COPY_RECORD_FOLDER)]
    return dict(zip(keys, store.map_keys(store.get, keys), strict=True))


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    puts = 120 * rounds
    outcomes = [
        _outcome(
            f"{writers} writers of the same keys, file", puts, write_and_read, url, writers, puts, progress=progress
        )
        for writers in (2, 4)
        for url in [(folder / str(writers)).as_uri()]
    ]
    with s3_server() as s3:
        for kind in ("file", "s3"):
            wrong, started = 0, time.monotonic()
            urls = [(folder / name).as_uri() if kind == "file" else s3.new_bucket() for name in ("source", "target")]
            access = StoreConfig() if kind == "file" else s3.access()
            for number in range(rounds):
                found = copy_twice(urls[0], urls[1], access, 300, number)
                wrong += bool(found)
                progress(f"{number + 1:4d}  two copies at once, {kind}: {'; '.join(found[:3]) or 'the same objects'}")
            note = "every round changes the source and copies over the last state"
            seconds = time.monotonic() - started
            outcomes.append(SoakResult(f"two copies at once, {kind}", rounds, rounds, wrong, seconds, note))
    return outcomes


def _outcome(
    what: str,
    rounds: int,
    test: Callable[[str, int, int], list[str]],
    *arguments: object,
    progress: Callable[[str], None],
) -> SoakResult:
    started = time.monotonic()
    wrong = test(*arguments)  # type: ignore[arg-type]
    progress(f"{what}: {len(wrong)} wrong {'; '.join(wrong[:3])}")
    return SoakResult(what, rounds, rounds, len(wrong), time.monotonic() - started)
