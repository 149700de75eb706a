"""A server on this machine that answers huggingface_hub as the real hub does, from folders."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

_INFORMATION = re.compile(r"/api/models/(?P<repository>.+)/revision/(?P<revision>[^/]+)")
_FILE = re.compile(r"/(?P<repository>.+)/resolve/(?P<commit>[0-9a-f]{40})/(?P<name>.+)")


class StandInHub:
    """Repositories by name and revision, each a folder; faults to make; and what was asked.

    `faults` has for an expression on "METHOD path" what to do at each request that it matches, in
    turn: an HTTP status, or "truncate" to close the connection in the middle of a file.
    """

    def __init__(self) -> None:
        self.folders: dict[tuple[str, str], Path] = {}
        self.gated: set[str] = set()
        self.faults: dict[str, list[int | str]] = {}
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()
        self.endpoint = ""
        self._held: str | None = None
        self._let_go = threading.Event()
        self.lock = threading.Lock()

    def add(self, repository: str, revision: str, folder: Path) -> None:
        self.folders[repository, revision] = folder

    def commit(self, repository: str, revision: str) -> str:
        return hashlib.sha1(f"{repository} {revision}".encode()).hexdigest()

    def folder_of(self, repository: str, commit: str) -> Path | None:
        return next(
            (
                folder
                for (name, revision), folder in self.folders.items()
                if name == repository and self.commit(name, revision) == commit
            ),
            None,
        )

    def fault(self, asked: str) -> int | str | None:
        """Note a request, and say what is to go wrong with it."""
        with self.lock:
            self.requests.append(asked)
            for pattern, faults in self.faults.items():
                if faults and re.search(pattern, asked):
                    return faults.pop(0)
        return None

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let downloads of this process come from here, with short pauses from try to try."""
        import huggingface_hub.constants as constants

        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, self.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", self.endpoint)
        monkeypatch.setattr("training_maps.hub.download.PAUSES", (0.01, 0.02, 0.03))
        # The library's own tries at a server that is out of order have pauses of seconds.
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)

    def hold(self, text: str) -> None:
        """Do not answer questions for a file whose path has `text` in it, until released."""
        self._held = text

    def release(self) -> None:
        """Answer all questions again."""
        self._held = None
        self._let_go.set()

    def wait_if_held(self, path: str) -> None:
        if self._held is not None and self._held in path:
            self._let_go.wait(60)

    def downloads(self) -> list[str]:
        """The files that were sent, or begun to be."""
        return [asked for asked in self.requests if re.match("GET .*/resolve/", asked)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandInHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.tokens.add(self.headers.get("Authorization"))
        fault = self.hub.fault(f"{self.command} {path}")
        self.hub.wait_if_held(path)
        if isinstance(fault, int):
            self._send(fault, b'{"error": "made to fail"}')
        elif match := _INFORMATION.fullmatch(path):
            self._information(**match.groupdict())
        elif match := _FILE.fullmatch(path):
            self._file(**match.groupdict(), truncate=fault == "truncate")
        else:
            self._send(404)

    def _information(self, repository: str, revision: str) -> None:
        if repository in self.hub.gated:
            self._send(403, error="GatedRepo")
        elif (repository, revision) in self.hub.folders:
            folder = self.hub.folders[repository, revision]
            answer = {
                "id": repository,
                "sha": self.hub.commit(repository, revision),
                "siblings": [_sibling(file) for file in sorted(folder.iterdir())],
            }
            self._send(200, json.dumps(answer).encode())
        elif any(name == repository for name, _ in self.hub.folders):
            self._send(404, error="RevisionNotFound")
        else:
            # So does the hub, lest it tell strangers which private repositories there are.
            self._send(401, error="RepoNotFound")

    def _file(self, repository: str, commit: str, name: str, truncate: bool) -> None:
        folder = self.hub.folder_of(repository, commit)
        if folder is None or not (folder / name).is_file():
            self._send(404, error="EntryNotFound")
            return
        content = (folder / name).read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        status, sent = 200, content
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked[1])
            status, sent = 206, content[start:]
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(status, sent, headers=headers, truncate=truncate)

    def _send(
        self,
        status: int,
        content: bytes = b"",
        error: str | None = None,
        headers: dict[str, str] | None = None,
        truncate: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if error:
            self.send_header("X-Error-Code", error)
            self.send_header("X-Error-Message", f"{error} (stand-in)")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if truncate:
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(content)


def _sibling(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    sibling: dict[str, Any] = {"rfilename": file.name, "size": len(content)}
    if file.suffix != ".json":
        digest = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
    return sibling


@contextmanager
def stand_in_hub():
    """A hub that is empty at first, for as long as the context lasts."""
    hub = StandInHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
