"""A hub on this machine, as far as pushing a model to it goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as an upload of small files asks for."""

    asked: list[tuple[str, str]]
    commits: list[list[dict[str, object]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(("POST", self.path))
        if self.path == "/api/repos/create":
            self._answer({"url": f"http://{self.headers['Host']}/someone/varda", "id": "someone/varda"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif self.path.startswith("/api/models/someone/varda/preupload"):
            files = json.loads(body)["files"]
            kinds = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in files]
            self._answer({"files": kinds})
        elif self.path.startswith("/api/models/someone/varda/commit"):
            self.commits.append([json.loads(line) for line in body.splitlines()])
            url = f"http://{self.headers['Host']}/someone/varda/commit/1"
            self._answer({"success": True, "commitOid": "0" * 40, "commitUrl": url, "hookOutput": ""})
        else:
            self._answer({}, 404)

    def do_GET(self) -> None:
        self.asked.append(("GET", self.path))
        self._answer({"id": "someone/varda", "sha": "0" * 40, "siblings": []}, 404 if "/resolve/" in self.path else 200)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, answer: dict[str, object], status: int = 200) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def serving(hub: type[Hub]) -> Iterator[tuple[str, type[Hub]]]:
    """The address on this machine of a hub of that kind, and what it was asked."""
    handler = type("OneHub", (hub,), {"asked": [], "commits": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
