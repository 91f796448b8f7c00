"""A small shop: the same code and the same output on every database.

    python examples/shop.py sqlite:///shop.db

It makes its collections, sells a few things, and removes the collections again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from decimal import Decimal

import polystore
from polystore import (
    AlreadyExists,
    Between,
    Collection,
    Conflict,
    Field,
    From,
    If,
    Increment,
    Record,
    Set,
    Store,
    Transaction,
    Unsupported,
    UpTo,
)

COLLECTIONS = [
    Collection("shop_stock", ["item"]),
    Collection(
        "shop_orders",
        ["customer", "order:int"],  # stored together by customer, in the order of their numbers
        indexes={"by_state": ["state", "total"]},
    ),
]


def fill(store: Store) -> None:
    """Put things on the shelves, and a few orders into the book."""
    stock, orders = store["shop_stock"], store["shop_orders"]
    for item, price, left in (("apple", "0.40", 9), ("bread", "2.80", 2), ("cheese", "11.50", 1)):
        stock.put({"item": item, "price": Decimal(price), "left": left})
    for number, state in enumerate(["paid", "", "sent", "", "paid", "new", ""], start=-2):
        orders.insert(
            {
                "customer": "ann",
                "order": number,
                "state": state,  # empty: nobody has looked at it yet
                "total": Decimal(number * number) / 4,
                "items": {"apple": number + 2},
            }
        )
    orders.insert({"customer": "bob", "order": 1, "state": "", "total": Decimal(1), "items": {}})


def buy(store: Store, customer: str, number: int, items: dict[str, int]) -> Decimal:
    """Take items from the shelves and write the order: all of it, or nothing."""

    def work(tx: Transaction) -> Decimal:
        total = Decimal(0)
        for item, count in items.items():
            found = tx["shop_stock"].get(item)
            if found is None or found["left"] < count:
                raise LookupError(f"not enough {item}")
            tx["shop_stock"].update(item, Increment("left", -count))
            total += count * found["price"]
        tx["shop_orders"].insert(
            {"customer": customer, "order": number, "state": "new", "total": total, "items": items}
        )
        return total

    return store.transaction(work)


def sell(store: Store) -> None:
    """Transactions, and updates that depend on what is there."""
    orders = store["shop_orders"]
    print("ann buys for", buy(store, "ann", 10, {"apple": 3, "bread": 2}))
    for customer, number, items in (("bob", 2, {"apple": 1, "cheese": 2}), ("ann", 10, {})):
        try:
            buy(store, customer, number, items)
        except (LookupError, AlreadyExists) as error:
            print(f"{customer} buys nothing: {type(error).__name__}")
    print("bob has order 2:", orders.get("bob", 2) is not None)
    orders.update("ann", 10, Set(state="paid"), when=If.field("state") == "new")
    try:
        orders.update("ann", 10, Set(state="paid"), when=If.field("state") == "new")
    except Conflict as error:
        print("paid twice:", error.code)
    record = orders.get("ann", 10)
    assert record is not None
    orders.delete("ann", 10, when=If.version(record.version))
    print("then cancelled:", orders.get("ann", 10))


def show(title: str, records: Iterable[Record]) -> None:
    """Print records, one a line, fields in the order of their names."""
    print(title)
    for record in records:
        print("   ", {name: record[name] for name in sorted(record)})


def ask(store: Store) -> None:
    """Queries by key and by index, both ways; counts, and a scan."""
    orders = store["shop_orders"]
    show("ann's orders 0 to 2", orders.query("ann", sort=Between(0, 2)))
    show("ann's last three", orders.query("ann", order="desc", limit=3))
    show("nobody looked at", orders.query(index="by_state", state=""))
    show("the dearest of them", orders.query(index="by_state", state="", order="desc", limit=1))
    show("paid, up to 1", orders.query(index="by_state", state="paid", total=UpTo(Decimal(1))))
    show("with apples", orders.query("ann", where=Field("items.apple") > 4))
    query = orders.query("ann", sort=From(-1), limit=2)
    page = query.page()
    show("first page", page.records)
    show("second page", query.page(page.cursor).records)
    print("ann has", orders.count("ann"), "orders, all have", orders.count(allow_scan=True))
    print("explained:", orders.explain(index="by_state", state="").served_by)
    try:
        orders.query(where=Field("total") > 1)
    except Unsupported as error:
        print("without key and index:", error.code)
    show("stock", sorted(store["shop_stock"].scan(), key=lambda record: str(record["item"])))


def main(url: str) -> None:
    """Run the shop on the database that ``url`` names."""
    with polystore.open(url, COLLECTIONS) as store:
        store.create()
        try:
            fill(store)
            sell(store)
            ask(store)
        finally:
            store.drop()


if __name__ == "__main__":
    main(sys.argv[1])
