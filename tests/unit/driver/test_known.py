"""What a driver keeps in mind of its collections, their indexes and the ends of pages."""

from __future__ import annotations

import pytest

from polystore.driver import Committed, Refused, Rejected, Stored, Written, alone
from polystore.driver.absence import check_key, present, problems
from polystore.driver.kept import Kept, read_back, written_down
from polystore.driver.keycodec import encode_key
from polystore.driver.known import TRIES, Known
from polystore.driver.paging import key_at, position
from polystore.driver.policies import Policed, Policy, joined, policed
from polystore.errors import ConfigError, Contention, CursorExpired
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection, Index

THINGS = Collection("things", ["a:str", "b:int"], indexes={"by_c": ["c:str", "d"]})
(BY_C,) = THINGS.indexes


class Server:
    """Tells what is there; it changes as often as it is told to."""

    def __init__(self, there: str | None = "v0", changes: int = 0) -> None:
        self.there = there
        self.changes = changes
        self.asked = 0
        self.known = Known("shelf", self.ask)

    def ask(self, collection: Collection) -> str | None:
        self.asked += 1
        return self.there

    def attempt(self) -> str | None:
        told = self.known[THINGS]
        if self.changes:
            self.changes -= 1
            self.there = f"after {told}"
        return told if told == self.there else None


@pytest.mark.rule("DRV-9")
def test_a_collection_is_asked_for_once_and_again_when_it_has_changed() -> None:
    server = Server()
    assert [server.known[THINGS], server.known[THINGS], server.asked] == ["v0", "v0", 1]
    server.known.forget(THINGS)
    assert [server.known[THINGS], server.asked] == ["v0", 2]
    server = Server(changes=TRIES - 1)
    assert server.known.settled([THINGS], server.attempt) == server.there
    assert server.asked == TRIES
    with pytest.raises(Contention):
        Server(changes=TRIES).known.settled([THINGS], Server(changes=TRIES).attempt)


@pytest.mark.rule("DRV-9", "ERR-3")
def test_a_collection_that_is_not_there_is_not_kept_in_mind() -> None:
    server = Server(None)
    for _ in range(2):
        with pytest.raises(ConfigError, match="no such collection") as refused:
            server.known[THINGS]
        assert (refused.value.driver, refused.value.collection) == ("shelf", "things")
    assert server.asked == 2


@pytest.mark.rule("DRV-9")
def test_what_a_collection_is_is_written_down_and_read_back() -> None:
    declared = policed(THINGS, "shelf")
    there = (Policed(BY_C, Policy.OMIT), Policed(Index("by_e", ("e",)), Policy.REJECT))
    kept = Kept(THINGS.key, joined(declared, there), {"f": "text"})
    assert read_back(written_down(kept)) == kept
    check_key("shelf", THINGS, THINGS.key)
    other = Collection("things", ["b:str"])
    with pytest.raises(ConfigError, match=r"the key is \(a:str, b:int\) there"):
        check_key("shelf", other, THINGS.key)
    assert len(problems("shelf", other, (), Kept(THINGS.key, ()))) == 1
    assert problems("shelf", THINGS, (), Kept(THINGS.key, ())) == ()
    assert joined(declared, there) == (*declared, there[1])


@pytest.mark.rule("DRV-9")
def test_an_index_is_there_only_as_it_is_declared() -> None:
    declared = policed(THINGS, "shelf")
    as_declared = Kept(THINGS.key, declared)
    assert present("shelf", THINGS, BY_C, declared, declared) == declared[0]
    assert problems("shelf", THINGS, declared, as_declared) == ()
    for indexes in ((), (Policed(BY_C, Policy.OMIT),)):
        there = Kept(THINGS.key, indexes)
        with pytest.raises(ConfigError, match="by_c"):
            present("shelf", THINGS, BY_C, declared, indexes)
        assert len(problems("shelf", THINGS, declared, there)) == 1


@pytest.mark.rule("PLC-6")
def test_a_database_without_indexes_of_its_own_refuses_the_policy() -> None:
    placements = {"shelf": {"policy": {"by_c": "native"}}}
    things = Collection("things", ["a"], indexes={"by_c": ["c"]}, placements=placements)
    assert policed(things, "shelf")[0].native
    with pytest.raises(ConfigError, match="encode, omit, reject"):
        policed(things, "shelf", native=False)


@pytest.mark.rule("DRV-5")
def test_a_page_goes_on_behind_its_last_record() -> None:
    last = Stored(("x", 1), {"a": "x", "b": 1, "c": "p", "d": 2.5}, "token")
    assert position(QueryPlan(None, ("x",)), last) == Position(("x", 1), ())
    assert position(QueryPlan(BY_C, ()), last) == Position(("x", 1), ("p", 2.5))
    assert key_at("shelf", THINGS, encode_key(("x", 1))) == ("x", 1)


@pytest.mark.rule("DRV-5")
@pytest.mark.parametrize("cursor", ["", "x", encode_key(("x",)), encode_key((1, "x"))])
def test_a_cursor_of_something_else_has_expired(cursor: str) -> None:
    with pytest.raises(CursorExpired) as refused:
        key_at("shelf", THINGS, cursor)
    assert refused.value.collection == "things"


@pytest.mark.rule("DRV-2")
def test_one_write_of_a_commit_has_the_outcome_of_a_write() -> None:
    told = Refused(told=True)
    assert alone(Committed(("t",))) == Written("t")
    assert alone(Rejected((told,))) == told
    assert alone(Rejected()) == Refused()
