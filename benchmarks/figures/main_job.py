"""The figures of "the main job, whole": move a live application from one database to another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import polystore_engines
from benchmarks import ratios
from benchmarks.bank import Tally, bank, moving_bank
from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.rate import backfill_rate
from benchmarks.figures.round_trips import round_trips
from benchmarks.kills import kills

ROOT = Path(__file__).parents[2]
PAIRS = (("datastore", "dynamodb"), ("dynamodb", "datastore"))
DRIVERS = ("memory", "sqlite", "datastore", "dynamodb")
DEMO_SECONDS = 120
SEGMENTS = 4
"""Segments of the copy in flight: as many pages may be sent twice after each kill."""


def main_job() -> list[Figure]:
    """All of them, the slow ones first."""
    return [
        *_demos(),
        *_kills(),
        *_banks(),
        _shop(),
        *_round_trips(),
        *_ratios(),
        Figure(
            "backfill, sqlite → memory",
            "≥ 5,000 records a second",
            "the real copier, 25,000 records of the demo, both sides in this process, wall",
            _backfill,
        ),
        _bad_input(),
    ]


# -- the demo ---------------------------------------------------------------------------------


def _demos() -> Iterator[Figure]:
    clean = f"verdict clean, 0 errors, 0 lost, 0 different, ≤ {DEMO_SECONDS} s"
    for source, target in PAIRS:
        yield Figure(
            f"demo, {source} → {target}",
            clean,
            "polystore demo --json, real engines, engine start included",
            partial(_demo, source, target),
        )
    for source, target in PAIRS:
        yield Figure(
            f"demo, {source} → {target}, backfill killed at 30 % and 70 %",
            f"the same; at most {SEGMENTS} pages sent twice a kill",
            "polystore demo --kill-backfill 30,70 --json; SIGKILL, resumed; pages begun are logged",
            partial(_demo, source, target, "--kill-backfill", "30,70"),
        )


def _demo(source: str, target: str, *options: str) -> Outcome:
    command = [sys.executable, "-m", "polystore.cli", "demo", "--json"]
    command += ["--source", source, "--target", target, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if not done.stdout.strip():
        return Outcome(done.stderr[-300:], holds=False)
    result: dict[str, Any] = json.loads(done.stdout)
    kills_ = len(result["backfill"])
    holds = (
        done.returncode == 0
        and result["verdict"] == "clean"
        and result["lost"] == result["errors"] == result["different"] == 0
        and result["seconds"] <= DEMO_SECONDS
        and result["pages_twice"] <= SEGMENTS * kills_
        and kills_ == (2 if options else 0)
    )
    value = (
        f"{result['verdict']}: {result['acknowledged']} acknowledged, {result['lost']} lost, "
        f"{result['errors']} errors, {result['different']} different, {result['seconds']} s"
    )
    if options:
        value += f", {kills_} kills, {result['pages_twice']} pages twice"
    return Outcome(value, holds)


# -- kills ------------------------------------------------------------------------------------


def _kills() -> Iterator[Figure]:
    for pair in (("sqlite", "sqlite"), PAIRS[0]):
        yield Figure(
            f"application processes killed, {pair[0]} → {pair[1]}",
            "≥ 20 kills between home commit and mirror: 0 acknowledged writes lost, the sides "
            "equal after recovery, before any verification",
            "SIGKILL right before the mirror write, dual-write and dual-read; both sides scanned",
            partial(_killed, pair),
        )


def _killed(pair: tuple[str, str]) -> Outcome:
    found = kills(pair, 20)
    value = (
        f"{found['kills']} kills, {found['acknowledged']} acknowledged, {found['lost']} lost, "
        f"{found['different']} different, {found['recovered']} recovered by others"
    )
    bad = found["lost"] + found["different"] + found["wrong"] + len(found["errors"])
    holds = found["kills"] >= 20 and bad == 0
    return Outcome(value, holds)


# -- the bank and the shop --------------------------------------------------------------------


def _banks() -> Iterator[Figure]:
    goal = "the sum never changes, in any read transaction"
    for driver in DRIVERS:
        workers = "4 threads" if driver == "memory" else "4 processes"
        how = f"benchmarks/bank.py, {workers}, 4 s of transfers and readings"
        yield Figure(f"bank, {driver}", goal, how, partial(_bank, driver))
    how = "benchmarks/bank.py while benchmarks/walk.py takes it through every stage and dial step"
    for pair in (("sqlite", "sqlite"), PAIRS[0]):
        name = f"bank, across a migration {pair[0]} → {pair[1]}"
        yield Figure(name, goal, how, partial(_moving_bank, pair))


def _bank(driver: str) -> Outcome:
    with urls(driver) as found:
        return _tallied(bank(found[driver], seconds=4))


def _moving_bank(pair: tuple[str, str]) -> Outcome:
    with urls(*pair) as found, tempfile.TemporaryDirectory() as folder:
        source, target = (
            f"sqlite:///{folder}/{n}.db" if name == "sqlite" else found[name]
            for n, name in enumerate(pair)
        )
        return _tallied(moving_bank(source, target))


def _tallied(tally: Tally) -> Outcome:
    value = (
        f"{tally.transfers} transfers, {tally.readings} readings, {tally.wrong} wrong sums, "
        f"{tally.gave_up} given up"
    )
    return Outcome(value, tally.wrong == 0 and tally.transfers > 0 and tally.readings > 0)


def _shop() -> Figure:
    return Figure(
        "one application, four URLs",
        "the same output, rows and order",
        "examples/shop.py on memory, sqlite, datastore, dynamodb; standard output compared",
        _shops,
    )


def _shops() -> Outcome:
    with urls(*DRIVERS) as found:
        printed = {name: _printed(found[name]) for name in DRIVERS}
    same = len(set(printed.values())) == 1
    lines = len(printed["memory"].splitlines())
    return Outcome(f"{lines} lines, {'the same' if same else 'different'}", same and lines > 0)


def _printed(url: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / "shop.py"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


@contextmanager
def urls(*names: str) -> Iterator[Mapping[str, str]]:
    """A database of each kind, as long as the context lasts."""
    engines = [name for name in names if name in polystore_engines.NAMES]
    with (
        polystore_engines.start_many(*engines) as started,
        tempfile.TemporaryDirectory() as folder,
    ):
        for engine in started.values():
            os.environ.update(engine.env)
        yield {
            "memory": "memory://figures",
            "sqlite": f"sqlite:///{folder}/figures.db",
            **{name: engine.url for name, engine in started.items()},
        }


# -- tests as figures -------------------------------------------------------------------------


def _round_trips() -> Iterator[Figure]:
    for driver in DRIVERS:
        yield Figure(
            f"round trips, {driver}",
            "every value type × every key type: equal and of the same Python type, ≥ 500 examples",
            "random records under six shapes of key: Hypothesis, a put and a get an example",
            partial(_round_trip, driver),
        )


def _round_trip(driver: str) -> Outcome:
    with urls(driver) as found:
        examples = round_trips(found[driver])
    return Outcome(f"{examples} examples, all equal and of the same types", examples >= 500)


def _bad_input() -> Figure:
    return Figure(
        "bad input",
        "each a clear error of the tree, exit code not 0, nothing written",
        "tests/store/test_bad_input.py on real engines, and three wrong configurations",
        _refused,
    )


def _refused() -> Outcome:
    code, printed = _pytest("tests/store/test_bad_input.py")
    with tempfile.TemporaryDirectory() as folder:
        exits = [_exit(Path(folder), text) for text in _WRONG]
    value = f"{_closing(printed)}; commands: exit codes {exits}"
    return Outcome(value, code == 0 and exits == [2, 2, 3])


_TABLE = '[collections.x]\nkey = ["id"]\n'
_WRONG = (
    "url = ",
    f'url = "nosuch://x"\n{_TABLE}',
    f'url = "dynamodb://us-east-1?endpoint=http://127.0.0.1:1&timeout=1"\n{_TABLE}',
)
"""Configurations: wrong TOML, an unknown driver, a database that cannot be reached."""


def _exit(folder: Path, text: str) -> int:
    """The exit code of ``polystore create`` with a configuration."""
    config = folder / "polystore.toml"
    config.write_text(text)
    command = [sys.executable, "-m", "polystore.cli", "create", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, check=False, env=_credentials())
    return done.returncode


def _credentials() -> dict[str, str]:
    return {**os.environ, **ratios.CREDENTIALS, "AWS_DEFAULT_REGION": "us-east-1"}


def _pytest(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stdout


def _closing(printed: str) -> str:
    return printed.strip().splitlines()[-1]


# -- speed ------------------------------------------------------------------------------------


def _ratios() -> Iterator[Figure]:
    yield Figure(
        "memory get through a Store ÷ the bare driver call",
        "≤ 2.0",
        "benchmarks/ratios.py: 10 fields, CPU, by turns, median of the rounds",
        lambda: _ratio(ratios.memory_get().value, 2.0),
    )
    how = "benchmarks/ratios.py: canned server, 10 fields, CPU, by turns, median of the rounds"
    for verb in ("get", "put"):
        name = f"DynamoDB {verb} through polystore ÷ boto3 client with its TypeSerializer"
        yield Figure(name, "≤ 1.1", how, partial(_dynamodb_ratio, verb, 1.1))
    name = "DynamoDB put in dual-write ÷ boto3 client with its TypeSerializer"
    yield Figure(name, "printed", how, partial(_dynamodb_ratio, "dual-write", None))


def _ratio(value: float, most: float | None) -> Outcome:
    return Outcome(f"{value:.2f}", most is None or value <= most)


def _dynamodb_ratio(verb: str, most: float | None) -> Outcome:
    return _ratio(_dynamodb()[verb], most)


@cache
def _dynamodb() -> dict[str, float]:
    return {name: ratio.value for name, ratio in ratios.dynamodb().items()}


def _backfill() -> Outcome:
    began = time.perf_counter()
    records, seconds = backfill_rate()
    rate = records / seconds
    value = f"{rate:,.0f} a second ({records} records, {seconds:.1f} s)"
    assert time.perf_counter() - began >= seconds
    return Outcome(value, rate >= 5000)
