"""A sample of the real source: read segment by segment, at a rate, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from polystore.driver import Segment
from polystore.errors import IllegalEdge
from polystore.migration.group import OpenGroup
from polystore.migration.preflight.scan import Rate
from polystore.migration.scanning import patiently
from polystore.migration.stages import SOURCE, Setting, Stage
from polystore.values import Fields, Key

SEGMENTS = 8
"""Places of the key space that a sample is taken from."""

PAGE = 100
"""Most records of one call."""


async def sampled(
    group: OpenGroup,
    setting: Setting,
    most: int,
    rate: float | None,
    took: Callable[[int], None] = lambda _: None,
) -> dict[str, dict[Key, Fields]]:
    """Records of the source by collection; what would expire is kept as if it would not.

    Args:
        group: the open group.
        setting: where its migration stands.
        most: records of each collection.
        rate: records a second; ``None`` for as fast as it goes.
        took: told of each page.

    Raises:
        IllegalEdge: a migration is under way: the source has its marks.
        PolystoreError: the source does not answer.
    """
    if setting.stage not in (Stage.SOURCE_ONLY, Stage.ARMED):
        raise IllegalEdge(
            f"a sample is taken before a migration; this is {setting.stage.value}: rehearse first"
        )
    source, pace = group.sides[SOURCE].background(), Rate(rate)
    sample: dict[str, dict[Key, Fields]] = {}
    for name, collection in group.collections.items():
        found = sample.setdefault(name, {})
        left: list[tuple[int, str | None]] = [(index, None) for index in range(SEGMENTS)]
        while left and len(found) < most:
            index, cursor = left.pop(0)
            size = source.portion(min(PAGE, -(-most // SEGMENTS), most - len(found)))
            segment = Segment(index, SEGMENTS)
            page = await patiently(partial(source.scan, collection, segment, cursor, size))
            found.update({s.key: s.fields for s in page.records if s.fields is not None})
            took(len(page.records))
            await pace.took(len(page.records))
            if page.cursor is not None:
                left.append((index, page.cursor))
    return sample
