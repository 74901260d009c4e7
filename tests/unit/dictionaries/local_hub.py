"""A Hugging Face hub on this machine: what huggingface_hub asks for of one, and a few ways to misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Repo:
    """A repository: its files, and what is at its other revisions."""

    files: dict[str, bytes]
    gated: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commits(self) -> dict[str, dict[str, bytes]]:
        """Files by branch and by commit."""
        named = {"main": self.files, **self.branches}
        return {**named, **{commit_of(files): files for files in named.values()}}


@dataclass
class Hub:
    """The server. `breaks` says after how many bytes the next download of a file is cut off."""

    repos: dict[str, Repo] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    failing: bool = False
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, range

    def __enter__(self) -> Hub:
        hub = self

        class Handler(_Handler):
            served = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def downloads(self) -> list[str]:
        """Paths of files whose contents were asked for."""
        return [path.split("/", 5)[5] for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.served.requests.append((self.command, path, self.headers["Range"]))
        if self.served.failing:
            self._send(503, b"", with_body)
        elif path.startswith("/api/models/"):
            repo, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self._info(repo, revision or "main", with_body)
        else:
            repo, _, rest = path.removeprefix("/").partition("/resolve/")
            self._file(repo, *rest.split("/", 1), with_body)

    def _info(self, name: str, revision: str, with_body: bool) -> None:
        repo = self.served.repos.get(name)
        if repo is None:
            return self._send(401, b"", with_body, {"X-Error-Code": "RepoNotFound"})
        files = repo.commits().get(revision)
        if files is None:
            return self._send(404, b"", with_body, {"X-Error-Code": "RevisionNotFound"})
        info = {"id": name, "sha": commit_of(files), "siblings": [{"rfilename": file} for file in files]}
        self._send(200, json.dumps(info).encode(), with_body)

    def _file(self, name: str, revision: str, path: str, with_body: bool) -> None:
        repo = self.served.repos[name]
        files = repo.commits()[revision]
        commit = {"X-Repo-Commit": commit_of(files)}
        if repo.gated and self.headers["Authorization"] is None:
            return self._send(401, b"", with_body, {"X-Error-Code": "GatedRepo"})
        if repo.gated:
            return self._send(403, b"", with_body, {"X-Error-Code": "GatedRepo"})
        if path not in files:
            return self._send(404, b"", with_body, {"X-Error-Code": "EntryNotFound", **commit})
        content, start = files[path], 0
        if self.headers["Range"]:
            start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes", **commit}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        stop = self.served.breaks.pop(path, None) if with_body else None
        self._send(206 if start else 200, content[start:], with_body, headers, stop)

    def _send(self, status: int, body: bytes, with_body: bool, headers=None, stop: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body[:stop])
        if stop is not None:
            self.close_connection = True


def commit_of(files: dict[str, bytes]) -> str:
    """A commit's hash, by what is in it."""
    digest = hashlib.sha1()
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + files[path])
    return digest.hexdigest()
