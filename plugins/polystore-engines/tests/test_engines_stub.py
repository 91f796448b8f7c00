"""What the Datastore stub promises, seen through the official client without its retries."""

import datetime as dt
import os
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from google.api_core import exceptions as refusals
from google.cloud import datastore as datastore_client
from google.cloud import datastore_v1
from google.cloud.datastore import helpers as client_helpers
from google.protobuf import timestamp_pb2

from polystore_engines import Engine

pytestmark = pytest.mark.engine

datastore: Any = datastore_client  # has no types
helpers: Any = client_helpers
v1: Any = datastore_v1.types
Filter = datastore.query.PropertyFilter
And, Or = datastore.query.And, datastore.query.Or

NON_TRANSACTIONAL, TRANSACTIONAL = 2, 1
UTC = dt.UTC


class User:
    """The official client, and its low-level API for what the client hides."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.project = engine.env["DATASTORE_PROJECT_ID"]
        self.client = self.connect()
        self.api = self.client._datastore_api
        self.key = self.client.key

    def connect(self, **place: str) -> Any:
        with mock.patch.dict(os.environ, self.engine.env):
            client = datastore.Client(project=self.project, **place)
            _ = client._datastore_api  # reads the environment now
        return client

    def entity(self, *path: Any, exclude: tuple[str, ...] = (), **values: Any) -> Any:
        entity = datastore.Entity(self.key(*path), exclude_from_indexes=exclude)
        entity.update(values)
        return entity

    def put(self, *path: Any, exclude: tuple[str, ...] = (), **values: Any) -> Any:
        entity = self.entity(*path, exclude=exclude, **values)
        self.client.put(entity, retry=None)
        return entity.key

    def get(self, *path: Any, **how: Any) -> Any:
        return self.client.get(self.key(*path), retry=None, **how)

    def message(self, *path: Any, **values: Any) -> Any:
        return helpers.entity_to_protobuf(self.entity(*path, **values))

    def commit(self, *mutations: Any, mode: int = NON_TRANSACTIONAL, **options: Any) -> Any:
        request = {"project_id": self.project, "mode": mode, "mutations": mutations, **options}
        return self.api.commit(request=request, retry=None)

    def upsert(self, *path: Any, values: dict[str, Any], **conditions: Any) -> Any:
        """One upsert of one entity, with conditions; returns its mutation result."""
        mutation = {"upsert": self.message(*path, **values), **conditions}
        return self.commit(mutation).mutation_results[0]

    def lookup(self, *keys: Any, mask: list[str] | None = None, **options: Any) -> Any:
        request: dict[str, Any] = {"project_id": self.project}
        request["keys"] = [key.to_protobuf() for key in keys]
        if mask is not None:
            request["property_mask"] = {"paths": mask}
        return self.api.lookup(request={**request, "read_options": options}, retry=None)

    def begin(self, **options: Any) -> bytes:
        request = {"project_id": self.project, "transaction_options": options}
        token: bytes = self.api.begin_transaction(request=request).transaction
        return token

    def query(self, kind: str, *filters: Any, order: tuple[str, ...] = (), **how: Any) -> Any:
        query = self.client.query(kind=kind, order=order, **how)
        for item in filters:
            query.add_filter(filter=Filter(*item) if isinstance(item, tuple) else item)
        return query

    def names(self, query: Any, **how: Any) -> list[Any]:
        return [entity.key.id_or_name for entity in query.fetch(retry=None, **how)]


@pytest.fixture(scope="module")
def user(datastore_engine: Engine) -> Iterator[User]:
    datastore_engine.reset()
    user = User(datastore_engine)
    yield user
    user.client.close()


# values, keys and versions


def test_every_value_type_comes_back_exactly(user: User) -> None:
    values = {
        "integer": -(2**63),
        "infinite": float("inf"),
        "text": "é\0x",
        "bytes": b"\xff\0",
        "time": dt.datetime(2024, 2, 3, 4, 5, 6, 789012, UTC),
        "none": None,
        "true": True,
        "place": helpers.GeoPoint(1.5, -2.5),
        "key": user.key("A", 1, "B", "x"),
        "list": [1, "a", None, 2.5],
        "empty": [],
    }
    inner = user.entity("In", "ner", x=[1, 2])
    user.put("Types", 1, minus=-0.0, nan=float("nan"), inner=inner, **values)
    back = user.get("Types", 1)
    assert repr(back["minus"]) == "-0.0"
    assert repr(back["nan"]) == "nan"
    assert (back["inner"].key, dict(back["inner"])) == (user.key("In", "ner"), {"x": [1, 2]})
    assert {name: back[name] for name in values} == values


def test_a_lookup_tells_found_from_missing_and_takes_duplicates_once(user: User) -> None:
    there, absent = user.put("Lookup", 1, a=1), user.key("Lookup", 2)
    answer = user.lookup(absent, absent, there, there)
    assert (len(answer.found), len(answer.missing)) == (1, 1)
    assert answer.read_time


def test_versions_and_times_grow_and_a_write_without_change_keeps_them(user: User) -> None:
    key = user.put("Version", 1, a=1)
    first = user.lookup(key).found[0]
    user.put("Version", 1, a=1)
    same = user.lookup(key).found[0]
    user.put("Version", 1, a=2)
    second = user.lookup(key).found[0]
    assert (same.version, same.update_time) == (first.version, first.update_time)
    assert second.version > first.version
    assert second.update_time > first.update_time
    assert second.create_time == first.create_time


def test_incomplete_keys_get_different_ids(user: User) -> None:
    entity = user.entity("Auto")
    user.client.put(entity, retry=None)
    ids = {key.id for key in user.client.allocate_ids(user.key("Auto"), 50, retry=None)}
    assert len(ids | {entity.key.id}) == 51
    assert all(0 < number < 2**53 for number in ids)
    user.client.reserve_ids_multi([user.key("Auto", 12345)], retry=None)


@pytest.mark.parametrize("place", [{"namespace": "other"}, {"database": "other"}])
def test_namespaces_and_databases_are_apart(user: User, place: dict[str, str]) -> None:
    user.put("Apart", 1, x="default")
    other = user.connect(**place)
    entity = datastore.Entity(other.key("Apart", 1))
    entity["x"] = "other"
    other.put(entity, retry=None)
    assert (user.get("Apart", 1)["x"], other.get(entity.key)["x"]) == ("default", "other")
    assert [found["x"] for found in other.query(kind="Apart").fetch()] == ["other"]
    other.close()


def test_a_key_of_another_project_is_refused(user: User) -> None:
    stranger = datastore.Key("A", 1, project="other").to_protobuf()
    with pytest.raises(refusals.InvalidArgument, match="mismatched databases"):
        user.commit({"delete": stranger})


def test_kinds_and_properties_can_be_listed(user: User) -> None:
    user.put("Listed", 1, a=1)
    assert "Listed" in user.names(user.client.query(kind="__kind__"))
    properties = user.client.query(kind="__property__", ancestor=user.key("__kind__", "Listed"))
    assert user.names(properties) == ["a"]


# limits: what fits, and one more


def nested(user: User, levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = user.entity("Level", 1, x=value)
    return value


FITS: dict[str, Callable[[User], Any]] = {
    "indexed string of 1,500 bytes": lambda u: u.entity("L", 1, s="é" * 750),
    "longer one, excluded": lambda u: u.entity("L", 1, s="x" * 1501, exclude=("s",)),
    "excluded blob of 1,048,400 bytes": lambda u: u.entity(
        "L", 1, s=b"x" * 1_048_400, exclude=("s",)
    ),
    "key name of 1,500 bytes": lambda u: u.entity("L", "é" * 750),
    "list in an entity in a list": lambda u: u.entity("L", 1, a=[u.entity("I", 1, x=[1])]),
    "20 nested entities": lambda u: u.entity("L", 1, x=nested(u, 20)),
}

TOO_MUCH: dict[str, Callable[[User], Any]] = {
    "indexed string of 1,501 bytes": lambda u: u.entity("L", 1, s="é" * 750 + "x"),
    "the same in a list": lambda u: u.entity("L", 1, s=["x" * 1501]),
    "the same in an excluded entity": lambda u: u.entity(
        "L", 1, s=u.entity("I", 1, s="x" * 1501), exclude=("s",)
    ),
    "excluded blob of 1,048,488 bytes": lambda u: u.entity(
        "L", 1, s=b"x" * 1_048_488, exclude=("s",)
    ),
    "entity over 1 MiB": lambda u: u.entity(
        "L", 1, a=b"x" * 600_000, b=b"x" * 600_000, exclude=("a", "b")
    ),
    "key name of 1,501 bytes": lambda u: u.entity("L", "x" * 1501),
    "kind of 1,501 bytes": lambda u: u.entity("k" * 1501, 1),
    "key over 6 KiB": lambda u: u.entity(*["L", "x" * 1400] * 5),
    "101 path elements": lambda u: u.entity(*["L", 1] * 101),
    "reserved key name": lambda u: u.entity("L", "__x__"),
    "reserved property name": lambda u: u.entity("L", 1, __x__=1),
    "empty property name": lambda u: u.entity("L", 1, **dict[str, Any]({"": 1})),
    "property name of 1,501 bytes": lambda u: u.entity("L", 1, **dict[str, Any]({"p" * 1501: 1})),
    "list in a list": lambda u: u.entity("L", 1, a=[[1]]),
    "21 nested entities": lambda u: u.entity("L", 1, x=nested(u, 21)),
    "20,001 index entries": lambda u: u.entity("L", 1, a=list(range(20_001))),
}


@pytest.mark.parametrize("make", FITS.values(), ids=FITS)
def test_what_fits_is_taken(user: User, make: Callable[[User], Any]) -> None:
    entity = make(user)
    user.client.put(entity, retry=None)
    assert user.client.get(entity.key, retry=None) is not None


@pytest.mark.parametrize("make", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_too_much_is_refused(user: User, make: Callable[[User], Any]) -> None:
    with pytest.raises(refusals.InvalidArgument):
        user.client.put(make(user), retry=None)


def test_a_request_may_have_10_mib_and_no_more(user: User) -> None:
    def blobs(count: int, size: int) -> list[Any]:
        return [user.entity("Big", i + 1, s=b"x" * size, exclude=("s",)) for i in range(count)]

    user.client.put_multi(blobs(10, 995_000), retry=None)
    keys = [user.key("Big", i + 1) for i in range(10)]
    assert len(user.client.get_multi(keys, retry=None)) == 10  # some are deferred
    assert len(user.names(user.query("Big"))) == 10  # in several small pages
    with pytest.raises(refusals.InvalidArgument, match="payload size"):
        user.client.put_multi(blobs(11, 1_000_000), retry=None)


def test_a_lookup_takes_1000_keys(user: User) -> None:
    keys = [user.key("Many", i + 1) for i in range(1001)]
    assert len(user.lookup(*keys[:1000]).missing) == 1000
    with pytest.raises(refusals.InvalidArgument, match="1 to 1000 keys"):
        user.lookup(*keys)


def test_a_commit_takes_more_than_500_entities(user: User) -> None:
    user.commit(*[{"upsert": user.message("Lots", i + 1, a=1)} for i in range(700)])
    count = user.client.aggregation_query(user.query("Lots")).count("c")
    assert next(iter(count.fetch()))[0].value == 700


# transactions


def test_the_second_of_two_read_modify_writes_is_aborted(user: User) -> None:
    user.put("Account", 1, n=0)
    first, second = user.client.transaction(), user.client.transaction()
    for transaction in (first, second):
        transaction.begin()
        entity = user.get("Account", 1, transaction=transaction)
        entity["n"] += 1
        transaction.put(entity)
    first.commit()
    with pytest.raises(refusals.Aborted):
        second.commit()
    assert user.get("Account", 1)["n"] == 1


def test_siblings_do_not_conflict(user: User) -> None:
    transactions = []
    for number in (1, 2):
        user.put("Parent", 1, "Child", number, n=0)
    for number in (1, 2):
        transaction = user.client.transaction()
        transaction.begin()
        entity = user.get("Parent", 1, "Child", number, transaction=transaction)
        entity["n"] = number
        transaction.put(entity)
        transactions.append(transaction)
    for transaction in transactions:
        transaction.commit()


def test_reads_see_the_start_and_a_stale_one_aborts(user: User) -> None:
    user.put("Snapshot", 1, n=1)
    transaction = user.client.transaction()
    transaction.begin()
    user.put("Snapshot", 1, n=2)
    assert user.get("Snapshot", 1, transaction=transaction)["n"] == 1
    transaction.put(user.entity("Snapshot", 2, n=1))
    with pytest.raises(refusals.Aborted):
        transaction.commit()


def test_reads_do_not_see_the_transactions_own_writes(user: User) -> None:
    with user.client.transaction() as transaction:
        transaction.put(user.entity("Own", 1, n=1))
        assert user.get("Own", 1, transaction=transaction) is None
    assert user.get("Own", 1)["n"] == 1


def test_a_phantom_aborts_and_the_token_is_then_worth_nothing(user: User) -> None:
    token = user.begin()
    where = {"property": {"name": "a"}, "op": 5, "value": {"integer_value": 1}}
    request = {
        "project_id": user.project,
        "read_options": {"transaction": token},
        "query": {"kind": [{"name": "Phantom"}], "filter": {"property_filter": where}},
    }
    assert not user.api.run_query(request=request).batch.entity_results
    user.put("Phantom", 1, a=1)
    total = {"upsert": user.message("Total", 1, n=0)}
    with pytest.raises(refusals.Aborted, match="query result changed"):
        user.commit(total, mode=TRANSACTIONAL, transaction=token)
    with pytest.raises(refusals.InvalidArgument, match="no longer valid"):
        user.commit(total, mode=TRANSACTIONAL, transaction=token)


def test_a_blind_write_does_not_conflict(user: User) -> None:
    transaction = user.client.transaction()
    transaction.begin()
    transaction.put(user.entity("Blind", 1, n=1))
    user.put("Blind", 1, n=2)
    transaction.commit()
    assert user.get("Blind", 1)["n"] == 1


def test_a_failed_commit_leaves_nothing(user: User) -> None:
    good, bad = {"upsert": user.message("Atomic", 1)}, {"update": user.message("Atomic", 2)}
    with pytest.raises(refusals.NotFound):
        user.commit(good, bad, mode=TRANSACTIONAL, single_use_transaction={})
    assert user.get("Atomic", 1) is None


def test_a_read_only_transaction_cannot_write(user: User) -> None:
    token = user.begin(read_only={})
    with pytest.raises(refusals.InvalidArgument, match="read-only"):
        user.commit({"upsert": user.message("ReadOnly", 1)}, mode=TRANSACTIONAL, transaction=token)


def test_a_read_can_begin_a_transaction(user: User) -> None:
    token = user.lookup(user.key("New", 1), new_transaction={"read_write": {}}).transaction
    user.commit({"upsert": user.message("New", 1, n=7)}, mode=TRANSACTIONAL, transaction=token)
    assert user.get("New", 1)["n"] == 7


def test_concurrent_increments_lose_nothing(user: User) -> None:
    user.put("Race", 1, n=0)

    def increment() -> None:
        mine = user.connect()
        done = 0
        while done < 10:
            try:
                with mine.transaction():
                    entity = mine.get(mine.key("Race", 1))
                    entity["n"] += 1
                    mine.put(entity)
                done += 1
            except refusals.Aborted:
                continue
        mine.close()

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert user.get("Race", 1)["n"] == 40


# mutations


def test_insert_wants_absence_and_update_presence(user: User) -> None:
    user.put("Mutation", 1, a=1)
    with pytest.raises(refusals.AlreadyExists):
        user.commit({"insert": user.message("Mutation", 1)})
    with pytest.raises(refusals.NotFound):
        user.commit({"update": user.message("Mutation", 99)})
    user.client.delete(user.key("Mutation", 99), retry=None)


def test_a_stale_base_version_is_dropped_and_reported(user: User) -> None:
    first = user.upsert("Base", 1, values={"a": 1})
    second = user.upsert("Base", 1, values={"a": 2}, base_version=first.version)
    stale = user.upsert("Base", 1, values={"a": 3}, base_version=first.version)
    assert second.version > first.version
    assert (second.conflict_detected, stale.conflict_detected) == (False, True)
    assert (stale.version, user.get("Base", 1)["a"]) == (second.version, 2)


def test_a_stale_base_version_fails_if_asked_to(user: User) -> None:
    user.put("Strict", 1, a=1)
    fail = v1.Mutation.ConflictResolutionStrategy.FAIL
    with pytest.raises(refusals.FailedPrecondition, match="does not match"):
        user.upsert("Strict", 1, values={"a": 2}, base_version=1, conflict_resolution_strategy=fail)


def test_update_time_is_a_condition_too(user: User) -> None:
    first = user.upsert("Stamp", 1, values={"a": 1})
    good = user.upsert("Stamp", 1, values={"a": 2}, update_time=first.update_time)
    stale = user.upsert("Stamp", 1, values={"a": 3}, update_time=first.update_time)
    assert (good.conflict_detected, stale.conflict_detected) == (False, True)
    assert good.create_time == first.create_time


def test_which_mutations_of_one_entity_may_share_a_commit(user: User) -> None:
    delete = {"delete": user.key("Twice", 1).to_protobuf()}
    insert = {"insert": user.message("Twice", 1, a=5)}
    alone: dict[str, Any] = {"mode": TRANSACTIONAL, "single_use_transaction": {}}
    user.put("Twice", 1, a=1)
    user.commit(delete, insert, **alone)
    assert user.get("Twice", 1)["a"] == 5
    with pytest.raises(refusals.InvalidArgument, match="may not follow"):
        user.commit(insert, insert, **alone)
    with pytest.raises(refusals.InvalidArgument, match="multiple mutations"):
        user.commit(insert, delete)


def test_a_property_mask_sets_removes_and_reaches_inside(user: User) -> None:
    user.put("Mask", 1, a=1, b=2, e=user.entity("I", x=1, y=2))
    change = user.message("Mask", 1, a=9, z=9, e=user.entity("I", x=7))
    user.commit({"update": change, "property_mask": {"paths": ["a", "b", "e.x"]}})
    got = user.get("Mask", 1)
    assert {name: got[name] for name in got if name != "e"} == {"a": 9}
    assert dict(got["e"]) == {"x": 7, "y": 2}
    masked = user.lookup(user.key("Mask", 1), mask=["e.y"]).found[0].entity
    assert list(masked.properties) == ["e"]


@pytest.mark.parametrize(
    ("transform", "answer"),
    [
        ({"property": "n", "increment": {"integer_value": 3}}, 8),
        ({"property": "n", "increment": {"integer_value": 2**63 - 1}}, 2**63 - 1),
        ({"property": "f", "increment": {"integer_value": 1}}, 2.5),
        ({"property": "s", "increment": {"integer_value": 4}}, 4),
        ({"property": "f", "maximum": {"integer_value": 3}}, 3),
        ({"property": "f", "minimum": {"double_value": 0.5}}, 0.5),
        ({"property": "e.n", "increment": {"integer_value": 1}}, 2),
    ],
)
def test_arithmetic_transforms(user: User, transform: Any, answer: Any) -> None:
    user.put("Arithmetic", 1, n=5, f=1.5, s="x", e=user.entity("I", n=1))
    change = user.message("Arithmetic", 1)
    mutation = {
        "update": change,
        "property_mask": {"paths": []},
        "property_transforms": [transform],
    }
    value = user.commit(mutation).mutation_results[0].transform_results[0]
    assert (value.double_value if isinstance(answer, float) else value.integer_value) == answer


def test_transforms_of_lists_and_the_servers_time(user: User) -> None:
    user.put("Lists", 1, a=[1, 2, 1], b=[1, 2, 1])
    values = {"values": [{"integer_value": 1}, {"integer_value": 3}]}
    transforms = [
        {"property": "a", "append_missing_elements": values},
        {"property": "b", "remove_all_from_array": values},
        {"property": "now", "set_to_server_value": 1},
    ]
    mask = {"paths": list[str]()}
    change = {"update": user.message("Lists", 1), "property_mask": mask}
    user.commit({**change, "property_transforms": transforms})
    got = user.get("Lists", 1)
    assert (got["a"], got["b"]) == ([1, 2, 1, 3], [2])
    assert abs((got["now"] - dt.datetime.now(UTC)).total_seconds()) < 60


def test_a_property_inside_an_entity_value_is_indexed_unless_excluded(user: User) -> None:
    user.put("Inner", 1, e=user.entity("I", city="x"))
    user.put("Inner", 2, e=user.entity("I", city="x"), exclude=("e",))
    assert user.names(user.query("Inner", ("e.city", "=", "x"))) == [1]


# queries


@pytest.fixture(scope="module")
def filled(user: User) -> User:
    """Ten records with numbers, lists and names, one with null, one without any of them."""
    numbered = [
        user.entity("Q", i, n=i, m=i % 3, s=f"s{i:02}", l=[i, 20 - i]) for i in range(1, 11)
    ]
    others = [user.entity("Q", "null", n=None), user.entity("Q", "nothing", o=1)]
    user.client.put_multi(numbered + others, retry=None)
    return user


TWO_OR_LATE_THIRD = Or([Filter("n", "=", 2), And([Filter("m", "=", 0), Filter("n", ">", 5)])])
LOW_OR_HIGH = Or([Filter("n", "<", 2), Filter("n", ">", 9)])

Case = tuple[list[Any], tuple[str, ...], list[Any]]

ANSWERS: dict[str, Case] = {
    "equality": ([("m", "=", 1)], (), [1, 4, 7, 10]),
    "two equalities": ([("m", "=", 1), ("n", "=", 4)], (), [4]),
    "range, descending": ([("n", ">", 3), ("n", "<=", 5)], ("-n",), [5, 4]),
    "equality and range": ([("m", "=", 0), ("n", ">=", 4)], ("n",), [6, 9]),
    "null is null, absence is not": ([("n", "=", None)], (), ["null"]),
    "an order leaves out those without": ([], ("s",), list(range(1, 11))),
    "a list matches by any value": ([("l", "=", 15)], (), [5]),
    "a list matches two equalities": ([("l", "=", 15), ("l", "=", 5)], (), [5]),
    "keys descending": ([], ("-__key__",), ["null", "nothing", *range(10, 0, -1)]),
    "IN": ([("n", "IN", [2, 9, 77])], (), [2, 9]),
    "NOT_IN": ([("n", "NOT_IN", [2, 3, 4, 5, 6, 7, None])], (), [1, 8, 9, 10]),
    "!=": ([("m", "!=", 1)], ("m", "-n"), [9, 6, 3, 8, 5, 2]),
    "OR": ([TWO_OR_LATE_THIRD], (), [2, 6, 9]),
    "OR with order": ([LOW_OR_HIGH], ("-n",), [10, 1, "null"]),
    "two inequalities": ([("n", ">", 5), ("m", ">", 0)], (), [7, 10, 8]),
    "first order elsewhere": ([("n", ">", 7)], ("-m", "n"), [8, 10, 9]),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_filters_and_orders(filled: User, case: Case) -> None:
    filters, order, expected = case
    assert filled.names(filled.query("Q", *filters, order=order)) == expected


def test_a_key_range(filled: User) -> None:
    after = ("__key__", ">", filled.key("Q", 8))
    assert filled.names(filled.query("Q", after)) == [9, 10, "nothing", "null"]


@pytest.mark.parametrize(("operator", "count"), [("IN", 31), ("NOT_IN", 11)])
def test_too_long_lists_of_values_are_refused(filled: User, operator: str, count: int) -> None:
    with pytest.raises(refusals.InvalidArgument):
        filled.names(filled.query("Q", ("n", operator, list(range(count)))))


def test_projections_distinct_values_and_bare_keys(filled: User) -> None:
    query = filled.query("Q", ("n", ">", 8), order=("n",))
    query.projection = ["n", "s"]
    assert [dict(e) for e in query.fetch()] == [{"n": 9, "s": "s09"}, {"n": 10, "s": "s10"}]
    query = filled.query("Q", order=("m",))
    query.projection, query.distinct_on = ["m"], ["m"]
    assert [e["m"] for e in query.fetch()] == [0, 1, 2]
    query = filled.query("Q")
    query.keys_only()
    assert [len(e) for e in query.fetch()] == [0] * 12


def test_ancestors(user: User) -> None:
    user.put("P", "a", "C", 1, n=1)
    user.put("P", "a", "C", 2, "D", 1, n=2)
    user.put("P", "b", "C", 1, n=1)
    above = user.key("P", "a")
    assert len(user.names(user.query("C", ancestor=above))) == 1
    assert len(user.names(user.client.query(ancestor=above))) == 2  # of any kind


@pytest.mark.parametrize("order", [(), ("l",), ("-l",), ("m", "-n"), ("-__key__",)])
def test_pages_join_into_the_whole(filled: User, order: tuple[str, ...]) -> None:
    seen: list[Any] = []
    cursor = None
    while True:
        page = filled.query("Q", order=order).fetch(limit=3, start_cursor=cursor)
        names = [entity.key.id_or_name for entity in next(page.pages, ())]
        seen += names
        cursor = page.next_page_token
        if not names or cursor is None:
            break
    assert seen == filled.names(filled.query("Q", order=order))


def test_a_cursor_outlives_the_entity_it_points_to(user: User) -> None:
    user.client.put_multi([user.entity("Page", i, n=i) for i in range(1, 8)], retry=None)
    page = user.query("Page").fetch(limit=4)
    list(next(page.pages))
    user.client.delete(user.key("Page", 4))
    assert user.names(user.query("Page"), start_cursor=page.next_page_token) == [5, 6, 7]


def test_what_a_page_says_about_more(filled: User) -> None:
    more = v1.QueryResultBatch.MoreResultsType

    def run(**limits: int) -> Any:
        query = {"kind": [{"name": "Q"}], **limits}
        return filled.api.run_query(request={"project_id": filled.project, "query": query}).batch

    assert run().more_results == more.NO_MORE_RESULTS
    assert run(limit=3).more_results == more.MORE_RESULTS_AFTER_LIMIT
    assert run(limit=12).more_results == more.NO_MORE_RESULTS
    assert not run(limit=0).entity_results
    row = run(limit=1).entity_results[0]
    assert row.version
    assert row.cursor
    assert row.update_time >= row.create_time


def test_aggregations(filled: User) -> None:
    query = filled.client.aggregation_query(filled.query("Q", ("m", "=", 0)))
    query.count("count").sum("n", "sum").avg("n", "mean").sum("s", "nothing")
    got = {result.alias: result.value for result in next(iter(query.fetch()))}
    assert got == {"count": 3, "sum": 18, "mean": 6.0, "nothing": 0}
    query = filled.client.aggregation_query(filled.query("Q")).count("count").sum("n", "sum")
    got = {result.alias: result.value for result in next(iter(query.fetch()))}
    assert got == {"count": 11, "sum": 55}  # one has no n, and does not count


def test_read_time_shows_the_past_of_an_hour(user: User) -> None:
    first, second = user.put("Past", 1, n=1), user.put("Past", 2, n=1)
    then = user.lookup(first).read_time
    user.put("Past", 1, n=2)
    user.client.delete(second)
    user.put("Past", 3, n=1)
    old = user.lookup(first, read_time=then).found[0].entity.properties["n"]
    assert old.integer_value == 1
    assert user.names(user.query("Past"), read_time=then) == [1, 2]
    assert user.names(user.query("Past", ("n", "=", 1)), read_time=then) == [1, 2]
    assert user.names(user.query("Past")) == [1, 3]
    too_old = timestamp_pb2.Timestamp(seconds=int(then.timestamp()) - 3700)
    with pytest.raises(refusals.FailedPrecondition, match="too old"):
        user.lookup(first, read_time=too_old)


def test_key_order_is_ids_then_names_by_bytes_and_parents_first(user: User) -> None:
    rnd, paths = random.Random(7), set[tuple[Any, ...]]()
    for _ in range(150):
        path: list[Any] = []
        for _ in range(rnd.randint(1, 3)):
            name = rnd.choice(["1", "a", "é", "z\0", "𐀀", "ﬀ"])
            path += [rnd.choice("AB"), rnd.choice([rnd.randint(1, 9), name])]
        paths.add(("Ordered", 1, *path))
    user.client.put_multi([user.entity(*path) for path in paths], retry=None)

    def rank(path: tuple[Any, ...]) -> list[Any]:
        return [
            (kind.encode(), *((0, name, b"") if isinstance(name, int) else (1, 0, name.encode())))
            for kind, name in zip(path[::2], path[1::2], strict=True)
        ]

    below = user.client.query(ancestor=user.key("Ordered", 1))
    assert [e.key.flat_path for e in below.fetch()] == sorted(paths, key=rank)


def test_gql_is_not_served(user: User) -> None:
    gql = {"query_string": "SELECT * FROM Q"}
    with pytest.raises(refusals.MethodNotImplemented):
        user.api.run_query(request={"project_id": user.project, "gql_query": gql})
