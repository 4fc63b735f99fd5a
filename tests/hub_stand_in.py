"""A hub on the loopback address: what huggingface_hub asks for a file, answered as the hub does."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple
from urllib.parse import unquote


class Hub(NamedTuple):
    """endpoint: the value of HF_ENDPOINT; asked: `METHOD path` of every request so far."""

    endpoint: str
    asked: list[str]


@contextmanager
def serve(repos: Mapping[str, Mapping[str, Mapping[str, bytes]]]) -> Iterator[Hub]:
    """Serves `repos[repo][revision][file]`; those named "secret/..." want consent.

    Files with "large" in their name are redirected to another host, as the hub does.
    """
    asked: list[str] = []
    blobs = {
        hashlib.sha256(data).hexdigest(): data
        for revisions in repos.values()
        for files in revisions.values()
        for data in files.values()
    }

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(False)

        def do_GET(self) -> None:
            self._answer(True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, body: bool) -> None:
            asked.append(f"{self.command} {self.path}")
            if self.path.startswith("/elsewhere/"):
                return self._send(200, {}, blobs[self.path.removeprefix("/elsewhere/")], body)
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
            if match is None:
                return self._send(404, {})
            repo, revision, file = match[1], unquote(match[2]), unquote(match[3])
            if repo.startswith("secret/"):
                return self._send(403, {"X-Error-Code": "GatedRepo"})
            if repo not in repos:
                return self._send(401, {"X-Error-Code": "RepoNotFound"})
            if revision not in repos[repo]:
                return self._send(404, {"X-Error-Code": "RevisionNotFound"})
            commit = hashlib.sha1(f"{repo} {revision}".encode()).hexdigest()
            if file not in repos[repo][revision]:
                missing = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
                return self._send(404, missing)
            data = repos[repo][revision][file]
            headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
            if "large" not in file:
                return self._send(200, headers, data, body)
            digest = hashlib.sha256(data).hexdigest()
            headers |= {
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(data)),
                "Location": f"http://localhost:{server.server_port}/elsewhere/{digest}",
            }
            return self._send(302, headers)

        def _send(
            self, code: int, headers: Mapping[str, str], data: bytes = b"", body: bool = False
        ) -> None:
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data if body else b"")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Hub(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
