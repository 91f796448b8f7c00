"""The example and the bank, as anybody runs them, on every database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.bank import Tally, bank, moving_bank

ROOT = Path(__file__).parents[2]
DRIVERS = ("memory", "sqlite", "datastore", "dynamodb")


def shop(url: str) -> str:
    """What the example prints."""
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "shop.py"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.engine
@pytest.mark.rule("QRY-2", "QRY-1", "QRY-3", "QRY-7")
def test_the_shop_prints_the_same_on_all_four(url_of: Callable[[str], str]) -> None:
    printed = {driver: shop(url_of(driver)) for driver in DRIVERS}
    assert len(printed["memory"].splitlines()) == 40
    for driver in DRIVERS:
        assert printed[driver] == printed["memory"], driver


@pytest.mark.rule("TX-4", "TX-2", "DRV-10", "DRV-12")
@pytest.mark.timeout(60)
def test_the_sum_of_a_bank_never_changes(every_url: str) -> None:
    done = bank(every_url, seconds=0, least=5)
    assert (done.wrong, done.gave_up) == (0, 0), done
    assert done.transfers >= 20
    assert done.readings >= 1


@pytest.mark.rule("TX-4", "STG-3")
@pytest.mark.timeout(60)
def test_the_sum_of_a_bank_never_changes_while_it_moves() -> None:
    done = moving_bank("memory://bank-source", "memory://bank-target", workers=2)
    assert (done.wrong, done.gave_up) == (0, 0), done
    assert done.transfers >= 100


def test_tallies_add_up() -> None:
    assert Tally(wrong=1, transfers=2) + Tally(wrong=1) == Tally(wrong=2, transfers=2)
