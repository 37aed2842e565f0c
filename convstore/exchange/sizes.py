"""The size of a message's body, for queries of Django's ORM."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Func, IntegerField, When


class Utf8Length(Func):
    """The bytes of a text in UTF-8; on SQL Server and Oracle, at least as many."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context
        )

    def as_microsoft(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="3 * LEN(%(expressions)s)", **context)

    def as_oracle(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="3 * LENGTH(%(expressions)s)", **context)


# Rows that were written before there was the column have 0 there.
SIZE = Case(When(size__gt=0, then="size"), default=Utf8Length("body"))
