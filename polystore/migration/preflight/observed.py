"""What live writes in *observe* show: kept by cause in the control store, by all members together.

A scan sees what is there; only this sees a transaction that is too wide, and a record that came and
went. A member adds what it saw since it last said so, and never the same twice.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from polystore.driver import Write
from polystore.effects import Now
from polystore.errors import InvalidRequest, LimitExceeded
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import Ledger
from polystore.migration.preflight.checkpoints import basis_of, root_of, run_of
from polystore.migration.preflight.findings import Cases, Cause, Findings
from polystore.migration.slots import likely
from polystore.migration.stages import Setting
from polystore.observe import Counters
from polystore.observe.counters import WOULD_REFUSE
from polystore.route.plain import check_width
from polystore.values import Fields

EVERY = 5.0
"""Seconds between two times that one member says what it saw: all of them change the same items."""

WIDTH, SIZE = "transactions.items", "transactions.size"


class Observed:
    """What one process saw and has not said yet; any thread may add.

    Args:
        group: the open group.
        counters: of the process; each refusal is counted there too.
    """

    def __init__(self, group: OpenGroup, counters: Counters) -> None:
        self._group = group
        self._counters = counters
        self._lock = threading.Lock()
        self._seen: dict[str, Findings] = {}
        self._basis: dict[str, str] = {}
        self._said = float("-inf")

    def put(self, write: Write) -> None:
        """Count what either side could not hold of a put, and let it pass."""
        name = write.collection.name
        violations = list(self._group.bounds[name].both.violations(write))
        if violations:
            with self._lock:
                self._seen.setdefault(name, Findings()).violated(write.key, violations)
            self._counters.add(f"{WOULD_REFUSE}:{violations[0].error(name, write.key).code}")

    def commit(self, writes: Sequence[Write], checks: int) -> None:
        """Count a transaction that would be too wide or too large beside a slot."""
        places = [(self._group.bounds[w.collection.name].both, w.key) for w in writes]
        if not places:
            return
        try:
            check_width(places, writes, checks, beside=(likely(writes),))
        except InvalidRequest as error:
            items = not isinstance(error, LimitExceeded) or error.unit == "items"
            bound, key = places[0]
            with self._lock:
                found = self._seen.setdefault(bound.collection.name, Findings())
                found.refused(key, WIDTH if items else SIZE, error)
            self._counters.add(f"{WOULD_REFUSE}:{error.code}")

    async def say(self, setting: Setting, *, at_once: bool = False) -> None:
        """Add what was seen to what is known, at most every few seconds.

        Raises:
            PolystoreError: the control store does not answer; it will be said later.
        """
        now = await Now()
        if not self._seen or (now - self._said < EVERY and not at_once):
            return
        self._said = now
        with self._lock:
            seen, self._seen = self._seen, {}
        left = [(name, *one) for name, findings in seen.items() for one in findings]
        try:
            while left:
                name, cause, cases = left[-1]
                await self._add(setting, name, cause, cases)
                left.pop()
        finally:
            with self._lock:
                for name, cause, cases in left:
                    self._seen.setdefault(name, Findings()).of(cause).join(cases)

    async def _add(self, setting: Setting, name: str, cause: Cause, cases: Cases) -> None:
        if name not in self._basis:
            self._basis[name] = basis_of(self._group, self._group.collection(name))
        basis = self._basis[name]

        def added(fields: Fields | None) -> Fields:
            findings = Findings()
            if fields is not None and fields["basis"] == basis:
                findings = Findings.from_fields(fields["findings"])  # type: ignore[arg-type]
            findings.of(cause).join(cases)
            known: list = findings.to_fields()  # type: ignore[type-arg]
            return {"collection": name, "basis": basis, "findings": known}

        item = f"{root_of(run_of(setting))}observed/{name}/{cause.name}"
        await self._group.ledger.change(item, added)


async def observed(group: OpenGroup, run: int) -> dict[str, Findings]:
    """What members saw for a run, by collection; what rests on another basis is left out."""
    found = {name: Findings() for name in group.collections}
    for stored in await group.ledger.all(root_of(run) + "observed/"):
        fields = stored.fields or {}
        name = str(fields["collection"])
        if name in found and fields["basis"] == basis_of(group, group.collection(name)):
            found[name].join(Findings.from_fields(fields["findings"]))  # type: ignore[arg-type]
    return found


async def forget(ledger: Ledger, run: int) -> None:
    """Forget what members saw: the application was mended since."""
    for stored in await ledger.all(root_of(run) + "observed/"):
        await ledger.delete(stored)
