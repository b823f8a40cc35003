"""Files of events as a log writer lands them, whole or damaged."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feedmill.timeline import HOUR


def parquet(
    landing: str, hour: datetime, name: str, first: int, *, rows: int = 500, damaged: bool = False, codec: str = "zstd"
) -> Path:
    """A Parquet file of events in the landing zone (a local URL).

    Where it is damaged, the bytes of its first column's page are zeros, and its footer stays whole.
    """
    path = Path(landing.removeprefix("file://")) / "events_parquet" / HOUR.name_of(hour) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "event_id": [f"e{first + n}" for n in range(rows)],
            "event_time": pa.array([hour] * rows, pa.timestamp("us", tz="UTC")),
            "event_types": [["click"]] * rows,
            "item_id": [f"i{n}" for n in range(rows)],
        }
    )
    pq.write_table(table, path, compression=codec, use_dictionary=False)
    if damaged:
        column = pq.ParquetFile(path).metadata.row_group(0).column(0)
        start, end = column.data_page_offset + 40, column.data_page_offset + column.total_compressed_size
        content = bytearray(path.read_bytes())
        content[start:end] = bytes(end - start)
        path.write_bytes(content)
        assert pq.ParquetFile(path).metadata.num_rows == rows, "the footer must be whole"
    return path
