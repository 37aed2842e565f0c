"""Rights that exchanges can do without; Django skips modules whose name begins with `_`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error

from convstore.database.vendors import vendor_for

logger = logging.getLogger(__name__)


@contextmanager
def log_missing_right(connection: Any, what: str, codes: Collection[object]) -> Iterator[None]:
    """Log an error with one of these codes, which says that the user may not create `what`."""
    try:
        yield
    except Error as error:
        if vendor_for(connection.alias).error_code(error.__cause__) not in codes:
            raise
        logger.warning(
            "database %s: the user may not create %s, without which exchanges take more time: %s",
            connection.alias,
            what,
            error,
        )
