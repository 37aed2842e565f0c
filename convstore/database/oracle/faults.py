"""What Oracle's error codes mean."""

from __future__ import annotations

from typing import Any

from convstore.database.fault import BUSY, FULL, LOST, NO_TABLES, WRONG_SERVER

FAULTS = {
    28: LOST,  # the session was killed
    54: BUSY,  # NOWAIT: the row is locked
    60: BUSY,  # deadlock
    942: NO_TABLES,
    1012: LOST,  # not signed in
    1013: BUSY,  # cancelled: the call's time limit
    1033: LOST,  # starting or shutting down
    1034: LOST,  # not available
    1089: LOST,  # shutting down
    1092: LOST,  # shut down
    1536: FULL,  # quota
    1652: FULL,  # no room in the temporary tablespace
    1653: FULL,  # no room in the tablespace
    1654: FULL,
    1691: FULL,
    2396: LOST,  # idle for too long
    3113: LOST,
    3114: LOST,
    3135: LOST,
    4068: BUSY,  # a package was recompiled
    8177: BUSY,  # serialization failure
    12170: LOST,  # connect timeout
    12514: LOST,  # the listener does not know the service: starting
    12528: LOST,
    12537: LOST,
    12541: LOST,
    12571: LOST,
    16000: WRONG_SERVER,  # read-only: a standby
    16456: WRONG_SERVER,  # a switchover is going on
    25408: LOST,  # failed over; the outcome of the call is unknown
    30006: BUSY,  # lock timeout
    # The driver's own.
    "DPY-1001": LOST,  # not connected
    "DPY-4011": LOST,
    "DPY-4024": BUSY,  # the call's time limit
    "DPY-6005": LOST,  # cannot connect
}

OWN_MISTAKES = frozenset(
    {
        1,  # unique constraint
        900,  # syntax, as are the next ones
        904,  # no such column
        907,
        917,
        923,
        933,
        936,
        947,  # too few values
        1400,  # a column must not be NULL
        1407,
        1438,  # number out of range
        1722,  # not a number
        2290,  # check constraint
        2291,  # foreign key
        2292,
        6550,  # PL/SQL that does not compile
        12899,  # data too long
    }
)
# What the driver itself finds wrong with a call.
OWN_MISTAKES_OF_THE_DRIVER = ("DPY-2", "DPY-3")


def is_own_mistake(code: int | str) -> bool:
    return code in OWN_MISTAKES or str(code).startswith(OWN_MISTAKES_OF_THE_DRIVER)


def error_code(cause: Any) -> int | str | None:
    """The server's number, or the driver's own code if the server did not answer."""
    detail = cause.args[0] if cause is not None and cause.args else None
    if getattr(detail, "is_session_dead", False):
        return "DPY-4011"
    return getattr(detail, "code", None) or getattr(detail, "full_code", None)
