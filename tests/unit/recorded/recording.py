"""A DB-API connection under Django's real SQL Server and Oracle backends: it writes down
every statement with its parameters, and answers as a script says.

What the backends ask when they connect is answered as SQL Server 2022 and Oracle 19 do. 19
is the oldest that Django 5.2 serves, and what it understands 23 does as well. No server has
seen these statements: they are compiled, not run.
"""

from __future__ import annotations

import difflib
import os
import re
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import mssql_python
from django.db import connections
from oracledb import errors as oracledb_errors

from convstore.archive.word_switch import learn
from convstore.database.url import database_alias
from convstore.messages import Message

Row = tuple[object, ...]
Answer = Sequence[Row] | Exception

NO_ROWS: Answer = ()
DONE: Answer = ()

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
URLS = {
    "mssql": "mssql://app:secret@recorded/chat",
    # The same backend over pyodbc, which it also serves.
    "pyodbc": "mssql://app:secret@recorded-pyodbc/chat",
    "oracle": "oracle://app:secret@recorded/?service_name=chat",
}
# What the backends ask of their own, by a part of the statement.
HOUSEKEEPING: Mapping[str, Answer] = {
    "SET TRANSACTION ISOLATION LEVEL": DONE,
    "SET DATEFORMAT": DONE,
    "SERVERPROPERTY": [("16.0.4225.2", 3)],
    "SYSDATETIME()": [(NOW,)],
    "@@TRANCOUNT": [(1,)],
    "ALTER SESSION": DONE,
    "FROM DUAL WHERE DUMMY": [(1,)],
}


@dataclass(frozen=True, slots=True)
class Statement:
    """`values` are the parameters by their placeholder, `types` what some are bound as."""

    sql: str
    values: Mapping[str | int, object] = field(default_factory=dict)
    types: Mapping[str | int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As a snapshot has it: the statement, its longer parts on lines of their own."""
        values = (
            f"\n    -- {name} = {shown(value)}"
            + (f" as {kind}" if (kind := self.types.get(name)) else "")
            for name, value in self.values.items()
        )
        return "".join([broken(self.sql), ";", *values])


@dataclass
class Tape:
    """The connections to one database: what was sent over them, and what is answered.

    Each statement of ours takes the next answer of `script`.
    """

    kind: str
    alias: str
    script: Iterator[Answer] = field(default_factory=lambda: iter(()))
    sent: list[Statement] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)  # of the next connections
    commits: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    opened: list[Connection] = field(default_factory=list)

    def open(self, _: object) -> Connection:
        if self.refusals:
            raise self.refusals.pop(0)
        self.opened.append(Connection(self))
        return self.opened[-1]

    def play(self, *script: Answer) -> None:
        """Forget what was sent, and give these answers from now on."""
        self.sent.clear()
        self.script = iter(script)

    def say(self, statement: Statement) -> Answer:
        self.sent.append(statement)
        for part, answer in HOUSEKEEPING.items():
            if part in statement.sql:
                return answer
        found = next(self.script, None)
        assert found is not None, f"the script has no answer to: {statement.sql}"
        return found

    @property
    def statements(self) -> list[Statement]:
        """What we sent, and BEGIN, COMMIT and ROLLBACK."""
        return [
            statement
            for statement in self.sent
            if not any(part in statement.sql for part in HOUSEKEEPING)
        ]

    def moment(self, moment: datetime) -> datetime:
        """As the driver gives it: Oracle's TIMESTAMP knows no time zone."""
        return moment.replace(tzinfo=None) if self.kind == "oracle" else moment


@contextmanager
def recording(kind: str) -> Iterator[Tape]:
    """A database of the kind `kind`, known to Django, that is recorded instead of opened."""
    alias = database_alias(URLS[kind])
    wrapper: Any = connections[alias]
    learn(alias, False)  # or an exchange would ask for it first, depending on the time
    tape = Tape(kind, alias)
    wrapper.get_new_connection = tape.open
    if wrapper.vendor == "microsoft":  # it would not ask the second time
        wrapper._known_versions.pop(alias, None)
    if kind == "mssql":  # which the backend does where it connects
        wrapper.Database = mssql_python
        wrapper._use_python_driver = True
    try:
        yield tape
    finally:
        wrapper.close()
        del connections[alias]


class Connection:
    """What the two backends use of mssql-python's, pyodbc's and oracledb's connections."""

    version = "19.3.0.0.0"
    call_timeout = 0

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._autocommit = False

    def getinfo(self, _: int) -> str:
        return "libmsodbcsql-18.6.so.2.1"

    @property
    def autocommit(self) -> bool:
        return self._autocommit

    @autocommit.setter
    def autocommit(self, wanted: bool) -> None:
        if self._autocommit and not wanted:
            self._tape.sent.append(Statement("BEGIN"))
        self._autocommit = wanted

    def cursor(self) -> Cursor:
        return Cursor(self._tape)

    def commit(self) -> None:
        self._tape.sent.append(Statement("COMMIT"))
        if error := next(self._tape.commits, None):
            raise error

    def rollback(self) -> None:
        self._tape.sent.append(Statement("ROLLBACK"))

    def close(self) -> None:
        pass


class Cursor:
    """What they use of their cursors."""

    description = None
    rowcount = 1
    arraysize = 100

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._rows: deque[Row] = deque()
        self._types: dict[str | int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def setinputsizes(self, **types: Any) -> None:
        self._types = {name: kind.name for name, kind in types.items()}

    def execute(self, sql: str, values: dict[Any, Any] | Iterable[object] = ()) -> Self:
        named = values if isinstance(values, dict) else dict(enumerate(values, 1))
        answer = self._tape.say(Statement(sql, named, self._types))
        if isinstance(answer, Exception):
            raise answer
        self._rows = deque(answer)
        return self

    def fetchone(self) -> Row | None:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int) -> list[Row]:
        return [self._rows.popleft() for _ in range(min(size, len(self._rows)))]

    def fetchall(self) -> list[Row]:
        return self.fetchmany(len(self._rows))


def stored_row(position: int, *request: Message) -> Row:
    """A message that is found by its request_key: its fingerprint is that of its request."""
    bodies = "\n".join(message.to_json() for message in request)
    digest = sha256(bodies.encode()).digest()
    return position, UUID(bytes=digest[:16], version=4).hex, 0


# --- Errors, made as each driver makes them ----------------------------------------------


def mssql_python_error(sqlstate: str, text: str) -> Exception:
    """mssql-python's, which keeps the name of the SQLSTATE and neither number."""
    error = mssql_python.exceptions.sqlstate_to_exception(
        sqlstate, f"[Microsoft][SQL Server]{text}"
    )
    assert isinstance(error, Exception)
    return error


def freetds_error(number: int, text: str) -> Exception:
    """pyodbc's over FreeTDS, to which most errors are the program's."""
    import pyodbc  # type: ignore[import-not-found]  # needs a library that Oracle does not

    error: Exception = pyodbc.ProgrammingError(
        "42000", f"[42000] [FreeTDS][SQL Server]{text} ({number}) (SQLExecDirectW)"
    )
    return error


def oracle_error(number: int, text: str) -> Exception:
    """python-oracledb's of an error that the server gave."""
    detail = oracledb_errors._Error(f"ORA-{number:05}: {text}", code=number)
    error: Exception = detail.exc_type(detail)
    return error


def oracledb_error(number: int, **values: Any) -> Exception:
    """python-oracledb's own, DPY and the number."""
    return oracledb_errors._create_exception(number, **values)


def duplicate(kind: str) -> Exception:
    """The error of a row that is there already."""
    if kind == "oracle":
        return oracle_error(1, "unique constraint (CHAT.SYS_C008) violated")
    return mssql_python_error("23000", "Violation of PRIMARY KEY constraint 'PK__convstor'.")


# --- Snapshots ---------------------------------------------------------------------------

SNAPSHOTS = Path(__file__).parent / "snapshots"
RENEW = "RENEW_SNAPSHOTS=1 .venv/bin/python -m pytest tests/unit/recorded"
# Where a statement is broken into lines.
BREAKS = re.compile(
    r" (?=(?:FROM|INNER JOIN|WHERE|ORDER BY|FETCH FIRST|VALUES|UNION ALL|FOREIGN KEY)\b)"
)
COLUMNS = re.compile(r', (?=["\[]\w+["\]] |CONSTRAINT |PRIMARY KEY)')


def broken(sql: str) -> str:
    """One statement on lines of a readable length; one that has lines already keeps them."""
    text = sql.strip()
    if "\n" in text:
        return textwrap.dedent(sql).strip()
    if text.startswith("CREATE TABLE"):
        return COLUMNS.sub(",\n    ", text)
    return BREAKS.sub("\n    ", text)


def shown(value: object) -> str:
    return str(value) if isinstance(value, datetime) else repr(value)


def agrees(path: Path, found: str) -> None:
    """Fail unless the file `path` has the text `found`; renew it first where that is asked for.

    Either way the difference is for somebody to read.
    """
    kept = path.read_text() if path.exists() else ""
    if found == kept:
        return
    advice = f"to take the new statements: {RENEW}, then read git diff"
    if os.environ.get("RENEW_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found)
        advice = "it was renewed: read git diff, and run again without RENEW_SNAPSHOTS"
    difference = difflib.unified_diff(
        kept.splitlines(), found.splitlines(), "kept", "found", lineterm=""
    )
    raise AssertionError("\n".join([f"{path.name} is another ({advice})", *difference]))
