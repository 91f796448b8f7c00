"""Bank transfers by several workers at once: the sum of a bank never changes in any transaction.

    python -m benchmarks.bank sqlite:///bank.db --seconds 2
    python -m benchmarks.bank sqlite:///bank.db sqlite:///moved.db

With a second database the bank moves there meanwhile, through every stage of a migration.
Workers are processes; on ``memory://`` they are threads, for memory is one process's own.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import attrs

import polystore
from benchmarks.walk import walk
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


def work(store: Store, seed: int, stopped: threading.Event, least: int = 0) -> Tally:
    """Transfer and read until told to stop, and until so many transfers are done."""
    source = random.Random(seed)
    done = Tally()
    while done.transfers < least or not stopped.is_set():
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


def bank(where: str, seconds: float = 2.0, workers: int = 4, least: int = 0) -> Tally:
    """Prepare a bank, let workers work on it, look at it again.

    Args:
        where: URL of a database.
        seconds: how long the workers work.
        workers: how many; threads on memory, else processes.
        least: transfers that each of them makes, however long that takes.
    """
    with polystore.open(where, [ACCOUNTS]) as store:
        return _worked(store, where, workers, lambda: time.sleep(seconds), least)


def moving_bank(source: str, target: str, workers: int = 4) -> Tally:
    """The same while the bank moves from one database to another, through every stage.

    Raises:
        AssertionError: the sides differed.
    """
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "bank.toml"
        where.write_text(TOML.format(source=source, target=target))
        with polystore.open(where) as store:

            def moved() -> None:
                found = walk(store, "bank")
                assert found == 0, f"{found} differences"

            return _worked(store, str(where), workers, moved)


TOML = """
[collections.bank_accounts]
key = ["bank", "account:int"]
[groups.bank]
collections = ["bank_accounts"]
source = "{source}"
target = "{target}"
colocate = 1
lease = 3.0
poll = 0.1
call_timeout = 2.0
quarantine = 4.0
"""
"""A configuration for the move; control is in the source, and waits are as short as may be."""


def _worked(
    store: Store, where: str, workers: int, meanwhile: Callable[[], None], least: int = 0
) -> Tally:
    store.create()
    prepare(store)
    threads = "memory:" in (where if "://" in where else store.config.groups["bank"].source)
    with threaded(store, workers, least) if threads else processed(where, workers, least) as done:
        meanwhile()
    sums = [store.transaction(partial(total, bank=name)) for name in BANKS]
    return sum(done, Tally(wrong=sum(found != EACH * AMOUNT for found in sums)))


@contextmanager
def threaded(store: Store, workers: int, least: int) -> Iterator[list[Tally]]:
    """Workers as threads on one store, while the block runs; then their tallies are there."""
    done: list[Tally] = []
    stopped = threading.Event()
    threads = [
        threading.Thread(target=lambda seed=seed: done.append(work(store, seed, stopped, least)))
        for seed in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    if len(done) != workers:
        raise RuntimeError(f"{workers - len(done)} of {workers} workers failed")


@contextmanager
def processed(where: str, workers: int, least: int) -> Iterator[list[Tally]]:
    """Workers as processes with a store each, while the block runs; all begin with the last."""
    done: list[Tally] = []
    with ExitStack() as stack:
        running = [stack.enter_context(process(where, seed, least)) for seed in range(workers)]
        for worker in running:
            assert ends(worker)[1].readline() == "ready\n", "a worker could not start"
        for line in ("go", "stop"):
            for worker in running:
                print(line, file=ends(worker)[0], flush=True)
            if line == "go":
                yield done
        done += (Tally(**json.loads(ends(worker)[1].readline())) for worker in running)


@contextmanager
def process(where: str, seed: int, least: int) -> Iterator[subprocess.Popen[str]]:
    """One worker process; it does not outlive the block."""
    command = [
        sys.executable, "-m", "benchmarks.bank", where, "--worker", str(seed),
        "--least", str(least),
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
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


def be_worker(where: str, seed: int, least: int) -> Tally:
    """Open a store, say so, and work from one line of standard input to the next."""
    stopped = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        stopped.set()

    with polystore.open(where, [ACCOUNTS] if "://" in where else None) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        threading.Thread(target=listen, daemon=True).start()
        return work(store, seed, stopped, least)


def main(arguments: Sequence[str]) -> int:
    """Run a bank and print its tally as JSON; or be one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("where", help="URL of a database")
    parser.add_argument("target", nargs="?", help="URL of a database to move to meanwhile")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--least", type=int, default=0, help="transfers of each worker")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker is not None:
        done = be_worker(given.where, given.worker, given.least)
    elif given.target is not None:
        done = moving_bank(given.where, given.target, given.workers)
    else:
        done = bank(given.where, given.seconds, given.workers, given.least)
    print(json.dumps(attrs.asdict(done)), flush=True)
    return int(done.wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
