"""Which rule must catch which broken driver."""

from __future__ import annotations

from collections.abc import Mapping

from polystore.drivers.memory import MemoryDriver
from tests.mutants import claims, reads, values, writes

KILLS: Mapping[type[MemoryDriver], str] = {
    writes.CheckedThenWritten: "CON-3",
    writes.TokenReusedAfterDelete: "REC-5",
    writes.TokenOfContent: "REC-5",
    writes.StampsMayBeEqual: "MIR-1",
    writes.TombstoneIsNothing: "CON-1",
    writes.RefusedAndWritten: "CON-2",
    writes.DeleteOfNothingRefused: "REC-8",
    writes.WriteIdLost: "DRV-1",
    writes.ExpiryLostWithStamp: "DRV-13",
    writes.TransactionSplit: "TX-2",
    writes.ChecksLeftOut: "DRV-3",
    writes.CommitInOneCollection: "DRV-3",
    writes.WidthCutOff: "CAP-4",
    writes.ManyAnswersOutOfOrder: "DRV-4",
    writes.ManyWithoutConditions: "DRV-4",
    writes.ManyLost: "DRV-4",
    values.FloatThroughText: "VAL-2",
    values.IntThroughFloat: "VAL-2",
    values.FloatWithoutFractionAsInt: "VAL-2",
    values.DecimalNormalised: "VAL-2",
    values.BoolAsInt: "VAL-2",
    values.Milliseconds: "VAL-2",
    values.SetAsList: "VAL-2",
    values.EmptyTextAsNone: "VAL-7",
    values.TextStripped: "VAL-2",
    values.PutMerges: "VAL-7",
    values.KeysWithoutCase: "KEY-4",
    reads.UnprocessedKeysLost: "REC-2",
    reads.ReadOutOfOrder: "REC-2",
    reads.OffsetPaging: "DRV-6",
    reads.ScanWithoutTombstones: "DRV-6",
    reads.SegmentsOverlap: "DRV-6",
    reads.SegmentLost: "DRV-6",
    reads.LastPageCutOff: "DRV-6",
    reads.CursorSkipsEqualKeys: "QRY-2",
    reads.EmptyIndexValueDropped: "QRY-3",
    reads.OrderByLocale: "KEY-3",
    reads.NumbersInOrderOfText: "KEY-3",
    reads.TombstonesLeftOutOfPartitions: "REC-1",
    reads.IndexWithoutBookkeeping: "DRV-1",
    reads.DescendingIgnored: "QRY-1",
    reads.BoundsIncluded: "QRY-1",
    reads.PageOverTheLimit: "DRV-5",
    claims.ClaimsWhatItRefuses: "CAP-3",
    claims.DoesWhatItDoesNotClaim: "CAP-3",
    claims.RefusesAndWrites: "CAP-3",
    reads.ErrorsTellValues: "ERR-3",
    reads.ErrorsPassedOn: "DRV-7",
}
"""By the driver. Each is one mistake; the rule alone, without the others, must find it."""

NAMED: Mapping[str, type[MemoryDriver]] = {driver.__name__: driver for driver in KILLS}
