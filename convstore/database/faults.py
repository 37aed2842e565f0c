"""From a database's error to its Fault, or to a mistake of our own.

The error's code decides (SQLSTATE, or the vendor's own number), never its class or text:
drivers disagree on classes. SQL Server's deadlock, 1205, is a ProgrammingError to one of
its two drivers and an OperationalError to the other.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from django.db import Error, InterfaceError, InternalError, OperationalError

from convstore.conf import migrate_command
from convstore.database.connection import settle_connections
from convstore.database.fault import LOST, UNKNOWN, Fault
from convstore.database.vendors import vendor_for

logger = logging.getLogger(__name__)


def describe_error(alias: str, error: Error) -> str:
    """One sentence for people about an error of the database `alias`.

    Logs the error, and drops the connection where the fault says so.
    """
    logger.warning("database %s: %s", alias, error)
    fault = classify(alias, error)
    settle_connections(alias, fault)
    sentence = fault.sentence if fault else "the database could not carry out the request"
    return f"{sentence[0].upper()}{sentence[1:]}; the log has the reason."


def classify(alias: str, error: Exception) -> Fault | None:
    """The fault that `error` stands for; None for a mistake of this program.

    `error` is one of Django's database errors with the driver's as its cause, or the
    driver's own.
    """
    vendor = vendor_for(alias)
    code = vendor.error_code(error.__cause__ if isinstance(error, Error) else error)
    if code is None:
        # A broken connection has no code: the server did not answer any more, or the driver lost
        # the thread of what it said.
        broken = isinstance(error, OperationalError | InterfaceError | InternalError)
        return LOST if broken else None
    if code not in vendor.faults and vendor.is_own_mistake(code):
        return None
    return _with_command(vendor.faults.get(code, UNKNOWN), alias)


def _with_command(fault: Fault, alias: str) -> Fault:
    sentence = fault.sentence.format(migrate_command=migrate_command(alias))
    return replace(fault, sentence=sentence)
