"""A network of one millisecond: a TCP relay that holds back what clients send.

`python -m benchmarks.relay PORT` prints the port on which it stands for 127.0.0.1:PORT.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

SECONDS = 0.001


def main() -> None:
    port = int(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for ends in ((client, server, SECONDS), (server, client, 0)):
                threading.Thread(target=carry, args=ends, daemon=True).start()


def carry(source: socket.socket, target: socket.socket, seconds: float) -> None:
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while some := source.recv(1 << 18):
        time.sleep(seconds)
        target.sendall(some)
    target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
