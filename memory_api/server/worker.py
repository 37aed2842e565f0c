"""gunicorn's worker: the loop accepts and reads, and threads serve whole requests."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from django.conf import settings
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from convstore.request_log import request_id_for
from memory_api import http_metrics
from memory_api.server import refusals
from memory_api.server.connection import Connection
from memory_api.server.connections import Connections, raise_file_limit
from memory_api.server.incoming import sent_request_id
from memory_api.server.loop import Loop
from memory_api.server.queue import Job, RequestQueue
from memory_api.server.replies import NoStreamLeft, ReplySocket
from memory_api.server.shares import group_of, is_health

SWEEP_SECONDS = 0.5
EVENTS_AT_ONCE = 64  # gunicorn ends a worker whose loop gives no sign of life for long


class GunicornConnection(NamedTuple):
    """What gunicorn's `handle_request` takes for a connection."""

    sock: ReplySocket
    client: Any
    server: Any


class BufferingWorker(ThreadWorker):
    """gunicorn's gthread with another loop; how a request is handled is gunicorn's."""

    def init_process(self) -> None:
        limit = raise_file_limit(self.worker_connections)
        if limit < self.worker_connections:
            self.log.warning("The limit on open files allows only %d connections.", limit)
        self.connections = Connections(limit, settings.MAX_BUFFERED_BYTES)
        self.queue = RequestQueue(self.cfg.threads, settings.QUEUE_TIMEOUT)
        self.health_queue = RequestQueue(1, settings.QUEUE_TIMEOUT)
        self.streams = threading.BoundedSemaphore(max(1, self.cfg.threads // 4))
        self.next_sweep = 0.0
        self.pipelined: deque[Connection] = deque()
        self.resting: list[socket.socket] = []  # listeners, until the next sweep
        self.loop = Loop(self.cfg, self.log, self.connections, self)
        super().init_process()

    def get_thread_pool(self) -> None:
        """gthread's own is not used."""

    def handle_quit(self, sig: int, frame: Any) -> None:
        Worker.handle_quit(self, sig, frame)

    def handle_exit(self, sig: int, frame: Any) -> None:
        Worker.handle_exit(self, sig, frame)  # the signal itself wakes the loop

    # --- The loop --------------------------------------------------------------------

    def run(self) -> None:
        epoll = self.connections.epoll
        listeners = {listener.fileno(): listener for listener in self.sockets}
        for listener in self.sockets:
            listener.setblocking(False)
            self.listen(listener)
        epoll.register(self.PIPE[0], select.EPOLLIN)
        self.start_threads()
        while self.alive and self.is_parent_alive():
            self.turn(listeners)
        for listener in self.sockets:
            if listener not in self.resting:
                epoll.unregister(listener)  # other processes have the same socket
            while self.accept(listener):
                pass  # whoever connected in time
            # Otherwise the system would go on to accept, and nobody would answer.
            listener.close()
        self.finish()

    def listen(self, listener: socket.socket) -> None:
        self.connections.epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def start_threads(self) -> None:
        for queue, count in ((self.queue, self.cfg.threads), (self.health_queue, 1)):
            for _ in range(count):
                threading.Thread(target=self.serve_forever, args=(queue,), daemon=True).start()

    def finish(self) -> None:
        """Answer what has come, while nothing else is accepted."""
        self.resting.clear()
        now = time.monotonic()
        self.loop.stop(now)
        while self.connections and time.monotonic() < now + self.cfg.graceful_timeout:
            self.turn({})

    def turn(self, listeners: dict[int, socket.socket]) -> None:
        refusals = self.loop.refusals
        pause = refusals.seconds_left(time.monotonic(), SWEEP_SECONDS)
        for number, _ in self.connections.epoll.poll(pause, EVENTS_AT_ONCE):
            if number in listeners:
                self.accept(listeners[number])
            elif number == self.PIPE[0]:
                os.read(number, 4096)
            elif connection := self.connections.get(number):
                self.try_to(self.loop.go_on, connection)
        for _ in range(len(self.pipelined)):
            self.try_to(self.loop.feed_left_over, self.pipelined.popleft())
        self.loop.shed()
        now = time.monotonic()
        for connection in refusals.due(now, self.nr):
            self.try_to(self.loop.refuse_overload, connection)
        if now >= self.next_sweep:
            self.sweep(now)

    def sweep(self, now: float) -> None:
        self.next_sweep = now + SWEEP_SECONDS
        self.notify()
        self.loop.sweep(now)
        self.note_load()
        for job in self.queue.take_expired(now) + self.health_queue.take_expired(now):
            self.try_to(self.loop.refuse_later, job.connection)
        while self.resting:
            self.listen(self.resting.pop())

    def note_load(self) -> None:
        busy, waiting = self.queue.load()
        http_metrics.threads.set(self.cfg.threads)
        http_metrics.threads_busy.set(busy)
        http_metrics.requests_waiting.set(waiting)
        http_metrics.connections_open.set(len(self.connections))

    def try_to(self, go_on: Callable[[Connection], None], connection: Connection) -> None:
        """One connection's bug must not end the others."""
        try:
            go_on(connection)
        except Exception:
            self.log.exception("A connection is closed after an unexpected error.")
            self.connections.close(connection)

    def accept(self, listener: socket.socket) -> bool:
        """Accept a connection; whether there was one."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.log.warning(
                    "The limit on open files is reached: raise it, or lower MAX_CONNECTIONS."
                )
                if not self.connections.evict_idle(time.monotonic()):
                    self.rest(listener)
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                self.log.warning("A connection cannot be accepted: %s", error)
            return False
        self.loop.add(sock, client, listener.getsockname())
        return True

    def rest(self, listener: socket.socket) -> None:
        """Accept nothing until the next sweep: the system would tell of it again at once."""
        if self.alive and listener not in self.resting:
            self.connections.epoll.unregister(listener)
            self.resting.append(listener)

    def go_on_later(self, connection: Connection) -> None:
        self.pipelined.append(connection)
        self.wake()

    def wake(self) -> None:
        with suppress(BlockingIOError):  # full of such bytes: it is awake
            os.write(self.PIPE[1], b"\0")

    # --- The threads -----------------------------------------------------------------

    def is_overloaded(self) -> bool:
        return self.queue.is_overloaded()

    def serve_later(self, connection: Connection) -> bool:
        incoming = connection.incoming
        if incoming is None or is_health(incoming.message):
            return self.health_queue.put(Job(connection))
        return self.queue.put(Job(connection, group_of(incoming, self.cfg.threads)))

    def withdraw(self, connection: Connection) -> bool:
        return self.queue.withdraw(connection) or self.health_queue.withdraw(connection)

    def serve_forever(self, queue: RequestQueue) -> None:
        while True:
            job: Job | None = queue.get()
            while job is not None:
                self.try_to(self.serve, job.connection)
                job = queue.done(job)

    def serve(self, connection: Connection) -> None:
        incoming = connection.incoming
        if incoming is None:
            return
        patience = settings.CLIENT_TIMEOUT
        least = settings.MIN_BYTES_PER_SECOND * patience
        reply = ReplySocket(connection.sock, self.streams, patience, least, connection.since)
        # The loop has sent 100 Continue where it was due.
        incoming.message._expected_100_continue = False
        is_kept = self.handle(
            incoming.message, GunicornConnection(reply, connection.client, connection.server)
        )
        connection.left_over = incoming.rest()
        connection.drop_request()
        connection.request_id = reply.request_id
        connection.set_reply(reply.chunks())
        connection.closes_after_reply = not is_kept
        self.loop.send_reply(connection)
        if not self.alive:
            self.wake()  # this request was the last of `max_requests`

    def handle(self, message: Any, connection: GunicornConnection) -> bool:
        """Have the application make the reply; whether the connection is kept for another."""
        reply = connection.sock
        try:
            return bool(self.handle_request(message, connection))
        except NoStreamLeft:
            self.refuse(message, connection, 503, refusals.TOO_MANY_STREAMS)
        except OSError:
            if reply.is_stream:
                refusals.note_cut(connection.client, reply.request_id, reply.since)
            else:
                self.log.exception("Error handling request %s %s", message.method, message.uri)
                self.refuse(message, connection, 500, refusals.FAILED)
        except StopIteration:  # gunicorn has logged what failed after the head of the reply
            self.refuse(message, connection, 500, refusals.FAILED)
        except Exception:
            self.log.exception("Error handling request %s %s", message.method, message.uri)
            self.refuse(message, connection, 500, refusals.FAILED)
        finally:
            reply.end_stream()
        return False

    def refuse(
        self, message: Any, connection: GunicornConnection, status: int, sentence: str
    ) -> None:
        """Reply in the place of the application, which failed."""
        reply = connection.sock
        reply.request_id = reply.request_id or request_id_for(sent_request_id(message))
        request_id = reply.request_id
        refusals.note_refusal(connection.client, request_id, status, sentence)
        reply.replace(refusals.error_reply(status, sentence, request_id))
