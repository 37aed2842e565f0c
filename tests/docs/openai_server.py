"""An OpenAI-compatible server that answers with what it was sent, without any model.

It speaks Chat Completions and Responses.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def completion(asked: Any) -> Any:
    message = {"role": "assistant", "content": answer_to(asked["messages"])}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def response(asked: Any) -> Any:
    text = {"type": "output_text", "text": answer_to(asked["input"]), "annotations": []}
    message = {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": asked["model"],
        "output": [message],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }


def answer_to(messages: Any) -> str:
    first = messages[0]["content"]
    text = first if isinstance(first, str) else first[0]["text"]
    return f"{len(messages)} messages, first: {text}"


class Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"/v1/chat/completions": completion, "/v1/responses": response}[self.path]
        body = json.dumps(answer(asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test says what it saw."""


@contextmanager
def openai_server() -> Iterator[str]:
    """Its address, host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
