"""Bank transfers by several workers at once: the sum of a bank never changes in any transaction.

    python -m benchmarks.bank sqlite:///bank.db --seconds 2

Workers are processes; on ``memory://`` they are threads, for memory is one process's own.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import attrs

import polystore
from polystore import Collection, Contention, Increment, Store, Transaction

ACCOUNTS = Collection("bank_accounts", ["bank", "account:int"])
BANKS = ("north", "south", "west")
EACH = 5
AMOUNT = 100
ROOT = Path(__file__).parents[1]


@attrs.frozen(kw_only=True)
class Tally:
    """What the workers did.

    Attributes:
        transfers: transactions that moved money.
        readings: transactions that read all accounts of one bank.
        wrong: sums, in a reading or at the end, that were not what they must be.
        gave_up: transactions that came to their deadline with nothing applied.
    """

    transfers: int = 0
    readings: int = 0
    wrong: int = 0
    gave_up: int = 0

    def __add__(self, other: Tally) -> Tally:
        mine, its = attrs.asdict(self), attrs.asdict(other)
        return Tally(**{name: mine[name] + its[name] for name in mine})


def opened(where: str) -> Store:
    """The bank's store: on a URL with its own collection, or as a TOML file declares it."""
    return polystore.open(where, [ACCOUNTS] if "://" in where else None)


def prepare(store: Store) -> None:
    """Give every account its first money."""
    accounts = store[ACCOUNTS.name]
    for bank in BANKS:
        for number in range(EACH):
            accounts.put({"bank": bank, "account": number, "amount": AMOUNT})


def transfer(tx: Transaction, bank: str, giver: int, taker: int, amount: int) -> None:
    """Move money between two accounts of a bank, as far as there is enough."""
    accounts = tx[ACCOUNTS.name]
    found = accounts.get(bank, giver)
    assert found is not None
    moved = min(amount, found["amount"])
    accounts.update(bank, giver, Increment("amount", -moved))
    accounts.update(bank, taker, Increment("amount", moved))


def total(tx: Transaction, bank: str) -> int:
    """The sum over all accounts of a bank, read one after the other."""
    found = [tx[ACCOUNTS.name].get(bank, number) for number in range(EACH)]
    return sum(record["amount"] for record in found if record is not None)


def work(store: Store, seconds: float, seed: int) -> Tally:
    """Transfer and read for so many seconds."""
    source = random.Random(seed)
    done = Tally()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            done += one(store, source)
        except Contention:
            done += Tally(gave_up=1)
    return done


def one(store: Store, source: random.Random) -> Tally:
    """One transaction: four in five are transfers."""
    bank = source.choice(BANKS)
    if source.random() < 0.2:
        found = store.transaction(partial(total, bank=bank))
        return Tally(readings=1, wrong=found != EACH * AMOUNT)
    giver, taker = source.sample(range(EACH), 2)
    amount = source.randint(1, 30)
    store.transaction(partial(transfer, bank=bank, giver=giver, taker=taker, amount=amount))
    return Tally(transfers=1)


def bank(where: str, seconds: float = 2.0, workers: int = 4) -> Tally:
    """Prepare a bank, let workers work on it, look at it again.

    Args:
        where: URL, or path of a TOML file that declares :data:`ACCOUNTS`.
        seconds: how long each worker works.
        workers: how many; threads on memory, else processes.
    """
    with opened(where) as store:
        store.create()
        prepare(store)
        if where.startswith("memory:"):
            done = by_threads(store, seconds, workers)
        else:
            done = by_processes(where, seconds, workers)
        sums = [store.transaction(partial(total, bank=name)) for name in BANKS]
        wrong = sum(found != EACH * AMOUNT for found in sums)
    return done + Tally(wrong=wrong)


def by_threads(store: Store, seconds: float, workers: int) -> Tally:
    """Workers as threads on one store."""
    done: list[Tally] = []
    threads = [
        threading.Thread(target=lambda seed=seed: done.append(work(store, seconds, seed)))
        for seed in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(done) != workers:
        raise RuntimeError(f"{workers - len(done)} of {workers} workers failed")
    return sum(done, Tally())


def by_processes(where: str, seconds: float, workers: int) -> Tally:
    """Workers as processes with a store each; all begin when the last one is ready."""
    with ExitStack() as stack:
        running = [stack.enter_context(process(where, seconds, seed)) for seed in range(workers)]
        for worker in running:
            assert ends(worker)[1].readline() == "ready\n", "a worker could not start"
        for worker in running:
            ends(worker)[0].write("go\n")
            ends(worker)[0].flush()
        return sum((Tally(**json.loads(ends(w)[1].readline())) for w in running), Tally())


@contextmanager
def process(where: str, seconds: float, seed: int) -> Iterator[subprocess.Popen[str]]:
    """One worker process; it does not outlive the block."""
    command = [sys.executable, "-m", "benchmarks.bank", where]
    arguments = ["--seconds", str(seconds), "--worker", str(seed)]
    with subprocess.Popen(
        [*command, *arguments], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def ends(worker: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Standard input and output of a worker."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    return worker.stdin, worker.stdout


def main(arguments: Sequence[str]) -> int:
    """Run a bank and print its tally as JSON; or be one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("where")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker is None:
        done = bank(given.where, given.seconds, given.workers)
    else:
        with opened(given.where) as store:
            print("ready", flush=True)
            sys.stdin.readline()
            done = work(store, given.seconds, given.worker)
    print(json.dumps(attrs.asdict(done)), flush=True)
    return int(done.wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
