"""The size of a message's body, for queries of Django's ORM."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Func, IntegerField, When

from convstore.database.vendors import vendor_for


class Utf8Length(Func):
    """The bytes of a text in UTF-8, or more where the database does not know them."""

    output_field = IntegerField()

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **context: Any) -> Any:
        template = vendor_for(connection.alias).utf8_length
        return super().as_sql(compiler, connection, template=template, **context)


# Rows that were written before there was the column have 0 there.
SIZE = Case(When(size__gt=0, then="size"), default=Utf8Length("body"))
