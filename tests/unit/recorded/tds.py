"""A stand-in for SQL Server on loopback: just enough TDS 7.4 for Microsoft's driver.

It knows no SQL. It writes down what the driver sends (the login, the statements, the
transaction requests) and gives the answers that a test chose. It speaks no TLS, so a URL
to it must have Encrypt=no.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

Value = int | str | datetime

# Kinds of packets.
BATCH, CALL, ANSWER, ATTENTION, TRANSACTION, LOGIN, PRELOGIN = 1, 3, 4, 6, 14, 16, 18
LAST_PACKET = 1
# Kinds of transaction requests, and the notices that they were done.
BEGIN, COMMIT, ROLLBACK = 5, 7, 8
REQUESTS = {BEGIN: "BEGIN", COMMIT: "COMMIT", ROLLBACK: "ROLLBACK"}
NOTICES = {BEGIN: 8, COMMIT: 9, ROLLBACK: 10}
# The numbers of the procedures that run a statement.
PROCEDURES = {
    10: "sp_executesql",
    11: "sp_prepare",
    12: "sp_execute",
    13: "sp_prepexec",
    15: "sp_unprepare",
}
# Types of values.
INTEGER, MOMENT, NTEXT, NVARCHAR = 0x26, 0x2B, 0x63, 0xE7
COLLATION = bytes.fromhex("0904d00034")
# How an answer ends.
ENDED_WITH_ERROR, ENDED_WITH_COUNT, ENDED_BY_CANCEL = 0x02, 0x10, 0x20
DEADLOCK = 1205
PATIENCE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the server; a deadlock ends the transaction, as the real one's does."""

    number: int
    text: str = "as the test wants"
    severity: int = 16


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer; after PATIENCE_SECONDS without a request to cancel, the end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed instead of an answer."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A result. Its columns have the types of the first row, or of `like` without rows."""

    rows: Sequence[tuple[Value, ...]] = ()
    like: tuple[Value, ...] = ()


Answer = Refusal | Silence | Cut | Rows
DONE = Rows()


@dataclass(frozen=True, slots=True)
class Login:
    """What the driver's login packet says."""

    host: str
    user: str
    password: str
    application: str
    server: str
    database: str


@dataclass
class TdsServer:
    """The stand-in. `answer` says what a statement, BEGIN, COMMIT or ROLLBACK is answered with."""

    answer: Callable[[str], Answer] = lambda _: DONE
    refuse_login: Refusal | None = None
    logins: list[Login] = field(default_factory=list)
    # In their order: the texts of statements; BEGIN, COMMIT, ROLLBACK; CANCEL; UNPREPARE.
    heard: list[str] = field(default_factory=list)
    # What prepared statements say of their parameters, as in "@P1 varchar(32)".
    declared: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # close() alone would leave accept() and recv() waiting.
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._ends):
            end.close()

    def cut_all(self) -> None:
        """End every connection, as a server that is restarted does."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self._ends.append(end)
                self._start(Session(self, end).serve)


class Session:
    """One connection to the stand-in."""

    def __init__(self, server: TdsServer, end: socket.socket) -> None:
        self._server = server
        self._end = end
        self._prepared: list[str] = []
        self._begun = 0  # how many transactions
        self._open = 0  # the number of the one that is open; 0 for none

    def serve(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                self._react(*self._message())
                self._end.settimeout(None)
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def _react(self, kind: int, data: bytes) -> None:
        """Answer one message. Raises EOFError when the connection is to end."""
        if kind == PRELOGIN:
            self._send(prelogin())
        elif kind == LOGIN:
            self._log_in(read_login(data))
        elif kind == ATTENTION:
            self._server.heard.append("CANCEL")
            self._send(done(ENDED_BY_CANCEL))
        elif kind == TRANSACTION:
            self._end_or_begin(Reader(data))
        elif kind == BATCH:
            self._run(Reader(data).rest().decode("utf-16-le"))
        else:
            assert kind == CALL, f"the stand-in knows no packet of the kind {kind}"
            self._call(Reader(data))

    def _log_in(self, login: Login) -> None:
        self._server.logins.append(login)
        if self._server.refuse_login:
            self._send(error(self._server.refuse_login))
            raise EOFError
        changes = (
            notice(1, counted(login.database), counted("master")),
            notice(7, b"\x05" + COLLATION, b"\x00"),
            notice(4, counted("4096"), counted("4096")),
        )
        self._send(b"".join(changes) + login_ack() + done())

    def _end_or_begin(self, request: Reader) -> None:
        kind = request.number(2)
        self._server.heard.append(REQUESTS[kind])
        answer = self._server.answer(REQUESTS[kind])
        if not isinstance(answer, Rows):
            self._give(answer)
        elif kind == BEGIN:
            self._begun += 1
            self._open = self._begun
            self._send(notice(NOTICES[kind], struct.pack("<BQ", 8, self._open), b"\x00") + done())
        else:
            self._send(self._ended(kind) + done())

    def _ended(self, kind: int) -> bytes:
        old, self._open = struct.pack("<BQ", 8, self._open), 0
        return notice(NOTICES[kind], b"\x00", old)

    def _call(self, call: Reader) -> None:
        procedure = call.procedure()
        if procedure == "sp_unprepare":
            self._server.heard.append("UNPREPARE")
            self._send(done())
        elif procedure == "sp_execute":
            self._run(self._prepared[call.integer() - 1])
        elif procedure == "sp_executesql":
            self._run(call.text())
        else:
            assert procedure in PROCEDURES.values(), f"the stand-in knows no {procedure}"
            call.integer()  # where the handle goes
            self._server.declared.append(call.text())
            self._prepared.append(call.text())
            handle = returned(len(self._prepared))
            if procedure == "sp_prepexec":
                self._run(self._prepared[-1], handle)
            else:
                self._send(handle + done())

    def _run(self, statement: str, before: bytes = b"") -> None:
        self._server.heard.append(statement)
        if "@@TRANCOUNT" in statement:
            self._give(Rows([(int(self._open > 0),)]), before)
        else:
            self._give(self._server.answer(statement), before)

    def _give(self, answer: Answer, before: bytes = b"") -> None:
        match answer:
            case Refusal():
                ended = self._ended(ROLLBACK) if answer.number == DEADLOCK and self._open else b""
                self._send(before + ended + error(answer))
            case Rows():
                self._send(before + table(answer) + done(ENDED_WITH_COUNT, len(answer.rows)))
            case Silence():
                self._end.settimeout(PATIENCE_SECONDS)
                self._react(*self._message())
            case Cut():
                raise EOFError

    def _message(self) -> tuple[int, bytes]:
        """The kind and the data of one message, out of one or more packets."""
        data = b""
        while True:
            kind, status, size = struct.unpack(">BBH4x", self._read(8))
            data += self._read(size - 8)
            if status & LAST_PACKET:
                return kind, data

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._end.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _send(self, data: bytes) -> None:
        # What a test answers with fits into one packet.
        self._end.sendall(
            struct.pack(">BBHHBB", ANSWER, LAST_PACKET, len(data) + 8, 0, 1, 0) + data
        )


class Reader:
    """Reads a request, past the headers that it begins with."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = int.from_bytes(data[:4], "little")

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def rest(self) -> bytes:
        return self._data[self._at :]

    def procedure(self) -> str:
        size = self.number(2)
        name = (
            PROCEDURES.get(number := self.number(2), str(number))
            if size == 0xFFFF
            else self._take(2 * size).decode("utf-16-le")
        )
        self.number(2)  # flags
        return name

    def integer(self) -> int:
        """A parameter that is an integer."""
        assert self._kind() == INTEGER
        self.number(1)  # the size of its type; that of its value follows
        return self.number(self.number(1))

    def text(self) -> str:
        """A parameter that is a text."""
        kind = self._kind()
        assert kind in (NTEXT, NVARCHAR), f"no text but {kind:#x}"
        limit = self.number(4 if kind == NTEXT else 2)
        self._take(len(COLLATION))
        if kind == NTEXT:
            data = self._take(self.number(4))
        elif limit < 0xFFFF:
            data = self._take(self.number(2))
        else:  # nvarchar(max) comes in chunks, an empty one last
            data, _ = b"", self.number(8)
            while size := self.number(4):
                data += self._take(size)
        return data.decode("utf-16-le")

    def _kind(self) -> int:
        """Past a parameter's name and flags; its type."""
        self._take(2 * self.number(1) + 1)
        return self.number(1)

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]


def read_login(data: bytes) -> Login:
    """The texts of a LOGIN7 packet; the password comes with its bits swapped."""
    places = struct.unpack_from("<18H", data, 36)
    found = [data[at : at + 2 * size] for at, size in zip(places[::2], places[1::2], strict=True)]
    found[2] = bytes(((byte ^ 0xA5) << 4 | (byte ^ 0xA5) >> 4) & 0xFF for byte in found[2])
    return Login(*(text.decode("utf-16-le") for text in (*found[:5], found[8])))


def prelogin() -> bytes:
    version, no_encryption, instance, thread, mars = (
        bytes([16, 0, 0, 0, 0, 0]),
        b"\2",
        b"\0",
        b"",
        b"\0",
    )
    values = (version, no_encryption, instance, thread, mars)
    at, options = 5 * len(values) + 1, b""
    for number, value in enumerate(values):
        options += struct.pack(">BHH", number, at, len(value))
        at += len(value)
    return options + b"\xff" + b"".join(values)


def counted(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def notice(kind: int, new: bytes, old: bytes) -> bytes:
    data = bytes([kind]) + new + old
    return struct.pack("<BH", 0xE3, len(data)) + data


def login_ack() -> bytes:
    data = (
        b"\x01" + bytes.fromhex("74000004") + counted("Microsoft SQL Server") + bytes([16, 0, 0, 0])
    )
    return struct.pack("<BH", 0xAD, len(data)) + data


def error(refusal: Refusal) -> bytes:
    text = struct.pack("<H", len(refusal.text)) + refusal.text.encode("utf-16-le")
    data = struct.pack("<IBB", refusal.number, 1, refusal.severity) + text
    data += counted("stand-in") + counted("") + struct.pack("<I", 1)
    return struct.pack("<BH", 0xAA, len(data)) + data + done(ENDED_WITH_ERROR)


def done(status: int = 0, count: int = 0) -> bytes:
    return struct.pack("<BHHQ", 0xFD, status, 0, count)


def returned(handle: int) -> bytes:
    """The handle of a prepared statement, as a procedure's integer that comes back."""
    return struct.pack("<BHBBIHBBBi", 0xAC, 0, 0, 1, 0, 0, INTEGER, 4, 4, handle)


def table(result: Rows) -> bytes:
    first = result.rows[0] if result.rows else result.like
    if not first:
        return b""
    nullable = struct.pack("<IH", 0, 1)
    columns = b"".join(nullable + column(value) + counted("") for value in first)
    rows = b"".join(b"\xd1" + b"".join(map(cell, row)) for row in result.rows)
    return struct.pack("<BH", 0x81, len(first)) + columns + rows


def column(value: Value) -> bytes:
    match value:
        case int():
            return bytes([INTEGER, 8])
        case str():
            return bytes([NVARCHAR]) + struct.pack("<H", 8000) + COLLATION
        case datetime():
            return bytes([MOMENT, 7])


def cell(value: Value) -> bytes:
    match value:
        case int():
            return struct.pack("<Bq", 8, value)
        case str():
            data = value.encode("utf-16-le")
            return struct.pack("<H", len(data)) + data
        case datetime():
            moment = value.astimezone(UTC)
            since_midnight = moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)
            ticks = since_midnight.seconds * 10**7 + since_midnight.microseconds * 10
            days = moment.toordinal() - 1
            return b"\x0a" + ticks.to_bytes(5, "little") + days.to_bytes(3, "little") + b"\0\0"
