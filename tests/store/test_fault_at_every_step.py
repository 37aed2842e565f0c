"""A fault at every step of an exchange: an error, or a dead connection; then the invariants hold.

A step is one statement, those that begin and end a transaction among them. Between a store
and a server stands a `Wire`, which finds the statements in what is sent, several in one
message too, and does harm at one of them; SQLite's are met `InProcess`. Each exchange is
run once unharmed, to see its steps, then once for each step and fault.
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple, NoReturn, Protocol, Self

import pytest
from django.db import Error, connections, transaction
from django.test import override_settings
from psycopg.pq import TransactionStatus
from pymysql.constants.SERVER_STATUS import SERVER_STATUS_AUTOCOMMIT, SERVER_STATUS_IN_TRANS
from sqlalchemy.engine import make_url

from convstore.archive.word_switch import learn
from convstore.database.url import database_alias
from convstore.errors import Unavailable
from convstore.exchange.statements import StoredMessage
from convstore.messages import Message, Part
from convstore.models import Conversation
from convstore.models import Message as Row
from convstore.store import ConversationStore, conversation_key
from memory_api import bodies
from memory_api.contract import infer
from memory_api.memory import Memory
from testing.bodies import append_request
from tests.length import sampled

pytestmark = pytest.mark.soak

SIZE = 4
TIMEOUT = 20
# A short run meets one in so many.
ONE_FAULT_IN = 4
LONG_AGO = "2020-01-01T00:00:00Z"
# A transaction whose client is gone may live on for a moment.
ENDED_SECONDS = 60

Call = Callable[[], list[StoredMessage]]


class End(Enum):
    """How a call may end."""

    ANSWERED = "answered"
    UNAVAILABLE = "unavailable"
    MISTAKEN = "a mistake of our own"


@dataclass(frozen=True)
class Exchange:
    """One request, and the conversation that it comes to."""

    there: int  # messages
    added: int  # messages of the request
    stale: bool = False  # nobody has spoken there for long
    again: bool = False  # the request was answered before


EXCHANGES = {
    "new conversation": Exchange(there=0, added=1),
    "existing conversation": Exchange(there=2, added=1),
    "stale conversation": Exchange(there=2, added=1, stale=True),
    "several messages": Exchange(there=2, added=3),
    "sent again": Exchange(there=2, added=1, again=True),
}
each_exchange = pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)


class Fault(NamedTuple):
    """`name` says what happens where, `end` how the call ends; `harm` is the line's own."""

    name: str
    end: End
    harm: Any


class Line(Protocol):
    """The way from a store to its database, on which one thing at a time goes wrong.

    `errors`, `deaths` and `outages` are the faults that `call` can meet, which is run once
    to see its steps: an error of the database's own, a connection that dies, and one that
    dies with no other to be had.
    """

    store: ConversationStore

    def errors(self, call: Call) -> Sequence[Fault]: ...
    def deaths(self, call: Call) -> Sequence[Fault]: ...
    def outages(self, call: Call) -> Sequence[Fault]: ...

    def harmed(self, fault: Fault) -> AbstractContextManager[None]:
        """In it the next call meets the fault; an outage is over at its end."""


@pytest.fixture
def line(store: ConversationStore, database_url: str) -> Iterator[Line]:
    speech = SPEECHES.get(connections[store.using].vendor)
    if speech is None:
        yield InProcess(store)
        return
    with Wire(database_url, store, speech) as wire:
        yield wire


@each_exchange
def test_an_error_at_each_statement_leaves_all_or_nothing(line, database, exchange):
    faults = line.errors(Trial(line.store, database, exchange).call)
    assert_whole_after_each(faults, line, database, exchange)


@each_exchange
def test_a_connection_that_dies_at_each_statement_leaves_all_or_nothing(line, database, exchange):
    faults = line.deaths(Trial(line.store, database, exchange).call)
    assert_whole_after_each(faults, line, database, exchange)


@each_exchange
def test_a_database_that_is_gone_from_each_statement_on_leaves_all_or_nothing(
    line, database, exchange
):
    faults = line.outages(Trial(line.store, database, exchange).call)
    assert_whole_after_each(faults, line, database, exchange, timeout=0)


def test_a_client_that_sends_its_key_again_after_an_outage_is_answered_with_the_same_bytes(
    line, database
):
    """Also where the answer to COMMIT was lost, and others have spoken before it comes back."""
    memory = Memory(name="m", store=line.store)
    committed = 0
    faults = line.outages(KeyedRequest(memory, database).call)
    for fault in faults:
        request = KeyedRequest(memory, database)
        with line.harmed(fault), override_settings(DATABASE_TIMEOUT=0):
            assert end_of(request.call)[0] is End.UNAVAILABLE, fault.name
        committed += request.is_stored()
        request.assert_answered_alike(fault.name)
    # SQLite's COMMIT answers as long as the file is there.
    assert committed or connections[line.store.using].vendor == "sqlite"
    assert committed < len(faults)


class KeyedRequest:
    """A request with a key, to a conversation of its own that others speak in, too."""

    def __init__(self, memory: Memory, database: str) -> None:
        self.memory = memory
        self.direct = ConversationStore(database)
        self.memory_id = str(uuid.uuid4())
        self.direct.append(self.memory_id, [message_of("before")])
        self.document = append_request(
            self.memory_id, "asked", parameters={"idempotency_key": str(uuid.uuid4())}
        )
        # There is a connection when the fault comes, and a new one, which has prepared nothing.
        connections[memory.store.using].close()
        memory.store.check()
        learn(memory.store.using, False)  # as in Trial

    def call(self) -> Any:
        return bodies.write(infer(self.memory, self.document).document)

    def is_stored(self) -> bool:
        return len(self.direct.window(self.memory_id, SIZE)) == 2

    def assert_answered_alike(self, fault: str) -> None:
        texts = ["before", "asked"] if self.is_stored() else ["before", "later", "asked"]
        self.direct.append(self.memory_id, [message_of("later")])
        again = self.call()
        history = json.loads(again)["outputs"][1]["data"]
        assert history == [message_of(text).to_json() for text in texts], fault
        self.direct.append(self.memory_id, [message_of("last")])
        assert self.call() == again, fault
        bodies = [row.body for row in self.direct.window(self.memory_id, 10)]
        assert bodies.count(message_of("asked").to_json()) == 1, fault
        assert len(bodies) == 4, fault


@pytest.mark.parametrize("name", ["new conversation", "several messages"])
def test_a_conversation_that_another_holds_is_unavailable_and_gets_nothing(
    store, database, database_url, name, settings
):
    settings.DATABASE_TIMEOUT = 1
    impatient = ConversationStore(database_alias(database_url), store.variant)
    with closing(connections[impatient.using]):
        trial = Trial(impatient, database, EXCHANGES[name])
        with transaction.atomic(database):
            hold(database, trial.memory_id)
            assert end_of(trial.call) == (End.UNAVAILABLE, None)
            transaction.set_rollback(True, database)
        trial.assert_whole(None, name)
    assert_no_transaction_is_open(database)


def hold(database: str, memory_id: str) -> None:
    """Lock the conversation's row, or begin to make it."""
    rows = Conversation.objects.using(database)
    key, now = conversation_key(memory_id), datetime.now(UTC)
    if not rows.select_for_update().filter(pk=key):
        rows.create(id=key, memory_id=memory_id, created_at=now, active_at=now)


def assert_whole_after_each(
    faults: Sequence[Fault],
    line: Line,
    database: str,
    exchange: Exchange,
    timeout: int = TIMEOUT,
) -> None:
    """`timeout` is what the call that meets the fault has; all others have enough."""
    assert len(faults) > 1
    for fault in sampled(faults, one_in=ONE_FAULT_IN):
        trial = Trial(line.store, database, exchange)
        with line.harmed(fault), override_settings(DATABASE_TIMEOUT=timeout):
            end, answer = end_of(trial.call)
        assert end is fault.end, fault.name
        trial.assert_whole(answer, fault.name)
    assert_no_transaction_is_open(database)


def end_of(call: Call) -> tuple[End, list[StoredMessage] | None]:
    try:
        return End.ANSWERED, call()
    except Unavailable:
        return End.UNAVAILABLE, None
    except Error:
        return End.MISTAKEN, None


class Trial:
    """A conversation as an exchange finds it, and the request that meets a fault.

    The alias `database` leads past the line.
    """

    def __init__(self, store: ConversationStore, database: str, exchange: Exchange) -> None:
        self.store = store
        self.direct = ConversationStore(database)
        self.memory_id = str(uuid.uuid4())
        self.key = uuid.uuid4()
        self.request = [message_of(f"request {n}") for n in range(exchange.added)]
        self.before = [message_of(f"before {n}") for n in range(exchange.there)]
        if self.before:
            self.direct.append(self.memory_id, self.before)
        if exchange.again:
            self._send(self.direct)
            self.before += self.request
        if exchange.stale:
            row = Conversation.objects.using(database).filter(pk=conversation_key(self.memory_id))
            assert row.update(active_at=LONG_AGO) == 1
        self.after = self.before if exchange.again else self.before + self.request
        # There is a connection when the fault comes, and what it prepares is prepared.
        store.exchange(str(uuid.uuid4()), self.request, SIZE)
        learn(store.using, False)  # or the request would ask for it first, depending on the time

    def call(self) -> list[StoredMessage]:
        return self._send(self.store)

    def assert_whole(self, answer: list[StoredMessage] | None, fault: str) -> None:
        """The request is there once or not at all, sent again it is there, nothing is held."""
        assert_idle(self.store.using, fault)
        allowed = [self.after] if answer else [self.before, self.after]
        assert self._stored() in map(numbered, allowed), fault
        again = self.call()
        assert [(row.position, row.body) for row in again] == numbered(self.after)[-SIZE:], fault
        assert again == (answer or again), fault
        assert self._stored() == numbered(self.after), fault
        assert_idle(self.store.using, fault)
        # By another connection, which would wait for whoever held the conversation.
        assert self.direct.append(self.memory_id, [message_of("next")]) == len(self.after) + 1, (
            fault
        )

    def _send(self, store: ConversationStore) -> list[StoredMessage]:
        return store.exchange(self.memory_id, self.request, SIZE, self.key)

    def _stored(self) -> list[tuple[int, str]]:
        rows = Row.objects.using(self.direct.using)
        ours = rows.filter(conversation_id=conversation_key(self.memory_id))
        return list(ours.order_by("position").values_list("position", "body"))


def message_of(text: str) -> Message:
    return Message("user", (Part("text", text),))


def numbered(messages: Sequence[Message]) -> list[tuple[int, str]]:
    return [(n, message.to_json()) for n, message in enumerate(messages, 1)]


# --- Nothing is held ---------------------------------------------------------------------


def assert_idle(alias: str, fault: str) -> None:
    """The connection, where there still is one, is in no transaction, here and at the server."""
    connection = connections[alias]
    driver: Any = connection.connection
    if driver is None:
        return
    assert not connection.in_atomic_block, fault
    assert connection.get_autocommit(), fault
    if connection.vendor == "postgresql":
        assert driver.info.transaction_status == TransactionStatus.IDLE, fault
    elif connection.vendor == "mysql":
        driver.ping(reconnect=False)
        status = driver.server_status & (SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_IN_TRANS)
        assert status == SERVER_STATUS_AUTOCOMMIT, fault
    elif connection.vendor == "sqlite":
        assert not driver.in_transaction, fault


# Those of other connections to the same database.
OPEN_TRANSACTIONS = {
    "postgresql": "SELECT pid, query FROM pg_stat_activity WHERE xact_start IS NOT NULL"
    " AND datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id, trx_query FROM information_schema.innodb_trx"
    " JOIN information_schema.processlist ON id = trx_mysql_thread_id WHERE db = DATABASE()",
}


def assert_no_transaction_is_open(alias: str) -> None:
    connection = connections[alias]
    if connection.vendor == "sqlite":
        name = connection.settings_dict["NAME"]
        with closing(sqlite3.connect(name, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
    elif connection.vendor in OPEN_TRANSACTIONS:
        deadline = time.monotonic() + ENDED_SECONDS
        while found := rows_of(alias, OPEN_TRANSACTIONS[connection.vendor]):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)  # MariaDB tells what it saw up to a tenth of a second ago


def rows_of(alias: str, statement: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


# --- In this process ---------------------------------------------------------------------

Execute = Callable[..., Any]
Act = Callable[..., Any]


class Meeting(NamedTuple):
    """Statement number `n`, and perhaps every later one, is given to `act`, not to the driver."""

    n: int
    act: Act
    lasting: bool = False


class InProcess:
    """Meets statements where Django hands them to the driver."""

    def __init__(self, store: ConversationStore) -> None:
        self.store = store
        self.connection = connections[store.using]

    def errors(self, call: Call) -> list[Fault]:
        statements = self._statements(call)
        faults = [
            Fault(f"{name} at {statement}", end, Meeting(n, act))
            for n, statement in enumerate(statements)
            for name, (end, act) in FAILING.items()
        ]
        if self.connection.vendor == "sqlite":
            faults += self._errors_of_sqlite(statements)
        return faults

    def _errors_of_sqlite(self, statements: Sequence[str]) -> Iterator[Fault]:
        for n, statement in enumerate(statements):
            for name, (end, act) in FAILING_ON_SQLITE.items():
                yield Fault(f"{name} at {statement}", end, Meeting(n, act))
            if n + 1 == len(statements) or statements[n + 1].startswith("BEGIN"):
                yield Fault(f"COMMIT after {statement}", End.MISTAKEN, Meeting(n, no_commit_after))

    def deaths(self, call: Call) -> list[Fault]:
        return [
            Fault(f"{act.__name__} {statement}", End.ANSWERED, Meeting(n, act))
            for n, statement in enumerate(self._statements(call))
            for act in (closed_before, closed_after)
        ]

    def outages(self, call: Call) -> list[Fault]:
        return [
            Fault(f"closed from {statement} on", End.UNAVAILABLE, Meeting(n, closed_before, True))
            for n, statement in enumerate(self._statements(call))
        ]

    @contextmanager
    def harmed(self, fault: Fault) -> Iterator[None]:
        meeting: Meeting = fault.harm
        numbers = itertools.count()

        def meet(execute: Execute, *statement: Any) -> Any:
            n = next(numbers)
            if n == meeting.n or (meeting.lasting and n > meeting.n):
                return meeting.act(execute, *statement)
            return execute(*statement)

        with self.connection.execute_wrapper(meet):
            yield
        assert next(numbers) > meeting.n, f"never met: {fault.name}"

    def _statements(self, call: Call) -> list[str]:
        heard: list[str] = []

        def hear(execute: Execute, sql: str, *rest: Any) -> Any:
            heard.append(sql)
            return execute(sql, *rest)

        with self.connection.execute_wrapper(hear):
            call()
        return heard


def closed_before(execute: Execute, *statement: Any) -> Any:
    statement[-1]["connection"].connection.close()
    return execute(*statement)


def closed_after(execute: Execute, *statement: Any) -> Any:
    context = statement[-1]
    execute(*statement)
    context["cursor"].close()  # or SQLite would keep the file, and its lock, until it is
    context["connection"].connection.close()


def instead(other: str) -> Act:
    """Another statement, which fails."""

    def act(execute: Execute, sql: str, params: Any, many: bool, context: Any) -> Any:
        return execute(other, None, False, context)

    return act


def raising(number: int, *, ending: bool = False) -> Act:
    """SQLite's error of that number; `ending`: it has rolled the transaction back, as it may."""

    def act(execute: Execute, *statement: Any) -> Any:
        connection = statement[-1]["connection"]
        if ending:
            connection.connection.rollback()
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = number
        with connection.wrap_database_errors:
            raise error

    return act


def no_commit_after(execute: Execute, *statement: Any) -> Any:
    """SQLite is told to refuse the next COMMIT."""
    driver: sqlite3.Connection = statement[-1]["connection"].connection
    refusals = itertools.chain([sqlite3.SQLITE_DENY], itertools.repeat(sqlite3.SQLITE_OK))

    def authorize(action: int, what: str | None, *_: object) -> int:
        commits = action == sqlite3.SQLITE_TRANSACTION and what == "COMMIT"
        return next(refusals) if commits else sqlite3.SQLITE_OK

    driver.set_authorizer(authorize)
    return execute(*statement)


FAILING: Mapping[str, tuple[End, Act]] = {
    "no such table": (End.UNAVAILABLE, instead("SELECT 1 FROM convstore_nothing")),
    "nonsense": (End.MISTAKEN, instead("SELECT FROM WHERE")),
}
FAILING_ON_SQLITE: Mapping[str, tuple[End, Act]] = {
    "busy": (End.ANSWERED, raising(sqlite3.SQLITE_BUSY)),
    "busy, rolled back": (End.ANSWERED, raising(sqlite3.SQLITE_BUSY, ending=True)),
    "full": (End.UNAVAILABLE, raising(sqlite3.SQLITE_FULL)),
    "full, rolled back": (End.UNAVAILABLE, raising(sqlite3.SQLITE_FULL, ending=True)),
}


# --- On the wire -------------------------------------------------------------------------


@dataclass(frozen=True)
class Speech:
    """How a vendor's client and server speak: queries in messages with a head of 5 bytes.

    `length` tells how long a message is that begins so, `text` is what it says, and `message`
    makes one like another of another text, which is followed by `tail`. A statement of `errors`
    fails with the vendor's own number.
    """

    length: Callable[[bytes], int]
    text: Callable[[bytes], bytes]
    message: Callable[[bytes, bytes], bytes]
    tail: bytes
    readable: Mapping[str, str]  # arguments of the URL, by which nothing is encrypted
    errors: Mapping[str, End]
    process: str  # finds who serves a client's port
    end: str


def postgresql_length(data: bytes) -> int:
    """A query is one message. One with parameters is several, of which the last is a Sync."""
    length, kind = 0, data[:1]
    while kind != b"S" and len(data) >= length + 5:
        kind = data[length : length + 1]
        length += 1 + int.from_bytes(data[length + 1 : length + 5], "big")
        if data[:1] not in (b"P", b"B"):
            return length
    return length if kind == b"S" else length + 5


def postgresql_text(message: bytes) -> bytes:
    """A Parse has the statement's name before its text; a Bind has the name alone."""
    name, *text = message[5:].split(b"\0")
    return text[0] if message[:1] == b"P" else name


def postgresql_error(sqlstate: str) -> str:
    return f"DO $$BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{sqlstate}'; END$$"


def mysql_error(number: int) -> str:
    return f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'injected'"


SPEECHES = {
    "postgresql": Speech(
        length=postgresql_length,
        text=postgresql_text,
        message=lambda like, text: b"Q" + (len(text) + 4).to_bytes(4, "big") + text,
        tail=b"\0",
        readable={"sslmode": "disable", "gssencmode": "disable"},
        errors={
            postgresql_error("40P01"): End.ANSWERED,  # deadlock
            postgresql_error("57P01"): End.ANSWERED,  # administrator shut the server down
            postgresql_error("53100"): End.UNAVAILABLE,  # disk full
            postgresql_error("22003"): End.MISTAKEN,  # number out of range
        },
        process="SELECT pid FROM pg_stat_activity WHERE client_port = {}",
        end="SELECT pg_terminate_backend({})",
    ),
    "mysql": Speech(
        length=lambda data: 4 + int.from_bytes(data[:3], "little"),
        text=lambda message: message[5:],
        message=lambda like, text: (len(text) + 1).to_bytes(3, "little") + like[3:5] + text,
        tail=b"",
        readable={"ssl_disabled": "true"},
        errors={
            mysql_error(1205): End.ANSWERED,  # lock timeout
            mysql_error(1053): End.ANSWERED,  # the server is shutting down
            mysql_error(1021): End.UNAVAILABLE,  # disk full
            mysql_error(1264): End.MISTAKEN,  # number out of range
        },
        process="SELECT id FROM information_schema.processlist WHERE host LIKE '%%:{}'",
        end="KILL {}",
    ),
}
# A proxy that waits for longer does so for what will never come.
WIRE_SECONDS = 20
# After which an answer that is a few bytes short is taken for whole.
QUIET_SECONDS = 0.5


@dataclass
class Request:
    """A message as it was heard: its statements, its length, and that of the answer."""

    statements: list[str]
    size: int
    answer: int = 0

    def __str__(self) -> str:
        return ";".join(self.statements)


class Refused(NamedTuple):
    """Message number `n` has an error before its statement number `place`, or in its place.

    `twice`: so has the next message, such as the ROLLBACK, if there is one.
    """

    n: int
    place: int
    error: str
    twice: bool = False


class Death(NamedTuple):
    """At message number `n` the connection dies.

    The server gets `asked` bytes of it; or all of it, and makes an `answer` of so many
    bytes, of which the client gets those `heard`. `killed`: the server ends the connection,
    being told to. `gone`: nor is there another one.
    """

    n: int
    asked: int = 0
    answer: int = 0
    heard: int = 0
    killed: bool = False
    gone: bool = False


class Wire:
    """A TCP proxy before the server, which reads what it hands on, and harms it."""

    def __init__(self, url: str, store: ConversationStore, speech: Speech) -> None:
        server = make_url(url)
        self._server = (server.host or "127.0.0.1", server.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        ours = server.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self._direct = store.using
        readable = ours.update_query_dict(speech.readable)
        alias = database_alias(readable.render_as_string(hide_password=False))
        self.store = ConversationStore(alias, store.variant)
        self._speech = speech
        self._heard: list[Request] | None = None  # while it listens
        self._harm: Refused | Death | None = None  # until it is done
        self._numbers = itertools.count()
        self._gone = False

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        connections[self.store.using].close()
        self._listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
        self._listener.close()
        self._thread.join()

    def errors(self, call: Call) -> list[Fault]:
        return [
            Fault(f"{harm} of {request}", end, harm)
            for n, request in enumerate(self._requests(call))
            # After the last of several the transaction goes on, or its end is reported.
            for place in range(len(request.statements) + (len(request.statements) > 1))
            for number, (error, end) in enumerate(self._speech.errors.items())
            for twice in ([False, True] if number == 0 else [False])
            for harm in [Refused(n, place, error, twice)]
        ]

    def deaths(self, call: Call) -> list[Fault]:
        return [
            Fault(f"{death} of {request}", End.ANSWERED, death)
            for n, request in enumerate(self._requests(call))
            for death in deaths(n, request)
        ]

    def outages(self, call: Call) -> list[Fault]:
        return [
            Fault(f"{death} of {request}", End.UNAVAILABLE, death)
            for n, request in enumerate(self._requests(call))
            for death in (Death(n, gone=True), Death(n, answer=request.answer, gone=True))
        ]

    @contextmanager
    def harmed(self, fault: Fault) -> Iterator[None]:
        self._numbers = itertools.count()
        self._harm = fault.harm
        yield
        assert self._harm is not fault.harm, f"never met: {fault.name}"
        self._harm = None
        self._gone = False

    def _requests(self, call: Call) -> list[Request]:
        heard: list[Request] = []
        self._heard = heard
        call()
        self._heard = None
        return heard

    def _accept(self) -> None:
        links = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            if self._gone:
                client.close()
                continue
            self._harm = None  # which is for the connection that there was
            server = socket.create_connection(self._server, WIRE_SECONDS)
            client.settimeout(WIRE_SECONDS)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            links.append(threading.Thread(target=self._link, args=(client, server)))
            links[-1].start()
        for link in links:
            link.join()

    def _link(self, client: socket.socket, server: socket.socket) -> None:
        """Hand on what either says, until one hangs up or the connection has to die."""
        with client, server, suppress(ConnectionError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if server in ready:
                    answer = received(server)
                    if self._heard:
                        self._heard[-1].answer += len(answer)
                    client.sendall(answer)
                else:
                    self._ask(client, server)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        message = received(client)
        if self._heard is not None or self._harm is not None:
            while len(message) < self._speech.length(message):
                message += received(client)
        if self._heard is not None:
            self._heard.append(Request(self._statements(message), len(message)))
        if self._harm is None or next(self._numbers) < self._harm.n:
            server.sendall(message)
            return
        harm, self._harm = self._harm, None
        if isinstance(harm, Death):
            self._die(harm, message, client, server)
        if harm.twice:
            self._harm = Refused(harm.n + 1, 0, harm.error)
        statements = self._statements(message)
        # In the place of a single one, whose client expects the end of one statement only.
        statements[harm.place : harm.place + (len(statements) == 1)] = [harm.error]
        text = ";".join(statements).encode() + self._speech.tail
        server.sendall(self._speech.message(message, text))

    def _statements(self, message: bytes) -> list[str]:
        return self._speech.text(message).decode().split(";")

    def _die(
        self, death: Death, message: bytes, client: socket.socket, server: socket.socket
    ) -> NoReturn:
        self._gone = death.gone
        server.sendall(message if death.answer else message[: death.asked])
        answer = b""
        # PostgreSQL leaves out the last zeros of a time.
        while len(answer) < death.answer and select.select([server], [], [], QUIET_SECONDS)[0]:
            answer += received(server)
        if death.killed:
            self._kill(server)
        client.sendall(answer[: death.heard])
        raise ConnectionResetError

    def _kill(self, server: socket.socket) -> None:
        """Have the server end the connection, and wait until it has."""
        find = self._speech.process.format(server.getsockname()[1])
        deadline = time.monotonic() + WIRE_SECONDS
        with closing(connections[self._direct]):  # one of this thread's own
            ((process,),) = rows_of(self._direct, find)
            rows_of(self._direct, self._speech.end.format(process))
            while rows_of(self._direct, find):
                assert time.monotonic() < deadline
                time.sleep(0.001)


def received(end: socket.socket) -> bytes:
    data = end.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


def deaths(n: int, request: Request) -> Iterator[Death]:
    """Cut off before the message, within it, and within its answer; killed by the server."""
    cuts = 2 * len(request.statements)
    for asked in cut_points(request.size, cuts):
        yield Death(n, asked)
    for heard in cut_points(request.answer, cuts):
        yield Death(n, answer=request.answer, heard=heard)
    yield Death(n, killed=True)
    yield Death(n, answer=request.answer, killed=True)


def cut_points(size: int, cuts: int) -> list[int]:
    return [size * n // cuts for n in range(cuts)]
