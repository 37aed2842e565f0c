"""nginx with the very configuration of docs/howto/nginx-tls.md."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path
from shutil import which
from typing import Any

import requests

from testing.processes import free_port
from tests.docs.pages import ROOT, blocks
from tests.machine import SYSTEM_PATH

PAGE = ROOT / "docs/howto/nginx-tls.md"
NGINX = which("nginx", path=SYSTEM_PATH)
SECONDS = 30


def only(language: str) -> str:
    (block,) = [block for block in blocks(PAGE) if block.language == language]
    return block.text


class Nginx:
    """nginx with the page's server, on a free port, and a certificate of its own.

    With a prefix, each location but the last is below it, as the page says.
    """

    def __init__(self, folder: Path, upstream: int, prefix: str = "") -> None:
        self.folder, self.port = folder, free_port()
        self.certificate = folder / "chat.pem"
        key = folder / "chat.key"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-keyout", str(key), "-out", str(self.certificate), "-subj", "/CN=chat.example"),
                *("-addext", "subjectAltName=DNS:chat.example,IP:127.0.0.1"),
            ],
            check=True,
            capture_output=True,
        )
        server = only("nginx")
        for theirs, ours in {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "127.0.0.1:8080": f"127.0.0.1:{upstream}",
            "/etc/ssl/chat.example.pem": str(self.certificate),
            "/etc/ssl/chat.example.key": str(key),
        }.items():
            assert theirs in server
            server = server.replace(theirs, ours)
        server = re.sub(r"(location (?:= )?)(/\w)", rf"\1{prefix}\2", server)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.configuration = folder / "nginx.conf"
        self.configuration.write_text(
            f"daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{temporary}{server}}}\n"
        )

    def __enter__(self) -> Nginx:
        command = [NGINX or "nginx", "-p", str(self.folder), "-c", str(self.configuration)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(self.process.communicate()[1])

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=SECONDS)

    def asked(self, method: str, path: str, **more: Any) -> requests.Response:
        url = f"https://127.0.0.1:{self.port}{path}"
        headers = {"Host": "chat.example", **more.pop("headers", {})}
        return requests.request(
            method,
            url,
            headers=headers,
            verify=str(self.certificate),
            timeout=10,
            allow_redirects=False,
            **more,
        )
