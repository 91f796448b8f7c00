"""What polystore loads first: the driver's name and where its code is, no SDK."""

from __future__ import annotations

from collections.abc import Iterable

from polystore.plugin.specs import DriverSpec, hookimpl

SPEC = DriverSpec(
    name="datastore",
    factory="polystore_datastore.driver:open_datastore",
    summary="Google Cloud Datastore (Firestore in Datastore mode), over gRPC",
    url="datastore://PROJECT?namespace=ns&database=db&emulator=127.0.0.1:8081&timeout=5&insecure=no",
    harness="polystore_datastore.harness:DatastoreHarness",
)


@hookimpl
def polystore_register_drivers() -> Iterable[DriverSpec]:
    """The one driver of this distribution."""
    return [SPEC]
