"""Binary logs of MySQL and MariaDB: the rows that changed.

``open`` reads files, ``connect`` is a server's replica (``aio.connect`` under asyncio), and
``BinlogParser`` takes bytes from anywhere. Events come in the order of the log; one
of rows is ``Rows``.

    with binlog.open("/var/lib/mysql/binlog.000001", tables=["shop.orders"]) as events:
        for event in events:
            if isinstance(event, binlog.Rows):
                print(event.kind, event.columns, event.rows)
"""

from ._columns import Column, Table
from ._errors import (
    BinlogError,
    ChecksumError,
    DataError,
    MetadataError,
    PositionLost,
    ServerError,
)
from ._events import (
    Changed,
    Commit,
    Event,
    FormatDescription,
    GtidEvent,
    Heartbeat,
    Incident,
    Other,
    Position,
    PreviousGtids,
    Query,
    Rotate,
    Rows,
    RowsQuery,
    XaPrepare,
)
from ._files import BinlogFiles
from ._files import open_log as open  # noqa: A004  # ``binlog.open``, as ``gzip.open``
from ._gtids import Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet
from ._information import InformationSchema
from ._json import JsonDiff
from ._positions import FilePositions, Place, PositionStore
from ._reader import BinlogParser, Schema
from ._rows import ABSENT, Geometry
from ._stream import BinlogStream, connect

__all__ = [
    "ABSENT",
    "BinlogError",
    "BinlogFiles",
    "BinlogParser",
    "BinlogStream",
    "Changed",
    "ChecksumError",
    "Column",
    "Commit",
    "DataError",
    "Event",
    "FilePositions",
    "FormatDescription",
    "Geometry",
    "Gtid",
    "GtidEvent",
    "GtidSet",
    "Heartbeat",
    "Incident",
    "InformationSchema",
    "JsonDiff",
    "MariaDBGtid",
    "MariaDBGtidSet",
    "MetadataError",
    "Other",
    "Place",
    "Position",
    "PositionLost",
    "PositionStore",
    "PreviousGtids",
    "Query",
    "Rotate",
    "Rows",
    "RowsQuery",
    "Schema",
    "ServerError",
    "Table",
    "XaPrepare",
    "connect",
    "open",
]
