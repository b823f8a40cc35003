"""The bounds of what a log may hold. What lies beyond is rejected, with the bound in the reason; see docs/sources.md.

Without them one line could stop Spark, and one number every sum that it enters. The sums below are bigints, which end
at 9.22 × 10^18. The docs show the arithmetic, and a test repeats it.
"""

from datetime import UTC, datetime
from typing import Final

MIB: Final = 1 << 20

# Of a file. One that goes beyond is not read at all: it becomes one rejected row.

FILE_BYTES: Final = 4096 * MIB
"""How large a file may be, packed or unpacked. Inspecting one that unpacks to this takes about 10 seconds."""

FILE_ROWS: Final = 50_000_000
"""How many lines or rows a file may have: one byte of Parquet can stand for millions of rows."""

ROW_GROUP_BYTES: Final = 512 * MIB
"""How much the columns that are read of a Parquet row group may unpack to: Spark holds them in memory together."""

# Of a row. One that goes beyond is a rejected row; the others of its file are landed.

LINE_BYTES: Final = MIB
"""How long a line may be."""

NESTING: Final = 64
"""How many levels deep objects and lists of a line may stand in each other."""

TEXT_LENGTH: Final = 1024
"""How many characters an id, a name or any other text may have."""

NUMBER_LENGTH: Final = 40
"""How many characters a number may be written with, when it is written as text."""

RAW_LENGTH: Final = 2000
"""How many characters of a rejected row are kept: the check of an hour of them reads them all into memory."""

CATEGORIES: Final = 10_000
"""How many categories an item may have."""

COUNTED_CATEGORIES: Final = 100
"""For how many of an item's categories, the heaviest, an event counts. An item may have more; they are kept."""

WEIGHTS: Final = (1e-9, 1e9)
"""The smallest and the largest weight of a category: their quotient is still a number above 0."""

MEASURES: Final = {
    "position": 1_000_000,
    "duration_ms": 7 * 24 * 3600 * 1000,
    "revenue_micros": 1_000_000_000,
}
"""The largest value of each measure of an event: a slot, a week watched, a thousand units of the currency earned."""

EVENTS_A_YEAR: Final = 366 * 24 * 1_000_000
"""The largest feed whose sums cannot overflow: a million events an hour, on average over a leap year.

Whoever raises a bound of :data:`MEASURES` lowers this.
"""

ITEM_DURATION_MS: Final = 366 * 24 * 3600 * 1000
"""How long an item may be: a year. Nothing sums it."""

PUBLISHED: Final = (datetime(1700, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
"""When an item may have been published, ``[from, to)``. Beyond lie dates that stand for none, such as 0001-01-01."""


def amount(size: int) -> str:
    """A number of bytes as reasons write it: ``1 MiB``, or ``1.5 MiB`` or ``700 bytes``."""
    for unit, length in (("GiB", 1024 * MIB), ("MiB", MIB)):
        if size >= length:
            return f"{size / length:,.0f} {unit}" if size >= 100 * length else f"{size / length:.3g} {unit}"
    return f"{size:,} bytes"
