"""A server on loopback that answers as GitHub's REST API does, and misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handler = Callable[["Request"], None]


@dataclass
class Request:
    """One request and the means to answer it."""

    path: str
    headers: dict[str, str]
    handler: BaseHTTPRequestHandler

    def answer(self, status: int, body: bytes = b"", /, **headers: str) -> None:
        """A whole answer; header names with underscores for hyphens."""
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.handler.send_header("Content-Length", str(len(body)))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def json(self, document: Any, status: int = 200, **headers: str) -> None:
        """A document, with an ETag, or 304 where the client has it."""
        body = json.dumps(document).encode()
        etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
        if status == 200 and self.headers.get("if-none-match") == etag:
            self.answer(304, ETag=etag, **headers)
        else:
            self.answer(status, body, ETag=etag, Content_Type="application/json; charset=utf-8", **headers)


def pull(number: int, **changes: Any) -> dict[str, Any]:
    """A pull request's document, cut down to a size that is still like the real one."""
    document: dict[str, Any] = {
        "number": number,
        "state": "open",
        "title": f"Change {number}",
        "merged": False,
        "merged_at": None,
        "closed_at": None,
        # GitHub sets this on unmerged pull requests too: a trial merge.
        "merge_commit_sha": "f" * 40,
        "head": {"sha": f"{number:040x}", "ref": "branch", "repo": None},
        "base": {"ref": "main"},
        "user": {"login": "somebody"},
        "draft": False,
    }
    return {**document, **changes}


@dataclass
class FakeGitHub:
    """The server.

    Attributes:
        documents: what a path answers with.
        override: answers instead, where it is set.
        requests: everything that was asked.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    override: Handler | None = None
    requests: list[Request] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        outer = self

        class Http(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {k.lower(): v for k, v in self.headers.items()}
                request = Request(self.path, headers, self)
                outer.requests.append(request)
                self.close_connection = True
                if outer.override is not None:
                    outer.override(request)
                elif self.path in outer.documents:
                    request.json(outer.documents[self.path])
                else:
                    request.json({"message": "Not Found"}, 404)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that hang up are part of the tests."""

        self.server = Server(("127.0.0.1", 0), Http)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def api(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def put(self, repository: str, number: int, **changes: Any) -> None:
        """Make a pull request known."""
        self.documents[f"/repos/{repository}/pulls/{number}"] = pull(number, **changes)

    def close(self) -> None:
        """Stop, and let go of whoever is being kept waiting."""
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
