"""A hub on this machine: the Hugging Face hub's HTTP protocol, served from a folder.

    with HubServer(folder) as hub:
        run_something(environment=hub.environment(home))

`folder` holds `models/ORGANISATION/NAME/…` and `datasets/ORGANISATION/NAME/…`; a second folder
`NAME@v1` is the branch or tag `v1` of `NAME`. As on the real hub, large files are answered with a
redirect to storage on another origin (another port here), which must never see a token. Faults
are scripted by a pattern on `METHOD /path`; `hub.requests` is what was asked, in order.

What it answers was read from huggingface_hub's own client code and documentation, and is enough
for `snapshot_download`, `HfFileSystem` and `datasets.load_dataset`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

STORAGE = "/storage"
"""Paths begin with this at the storage's port, so that a pattern can tell both requests apart."""

LARGE = (".safetensors", ".bin", ".gguf", ".parquet", ".arrow", ".pt", ".model")

_API = re.compile(
    r"/api/(models|datasets)/([^/]+(?:/[^/]+)?)"
    r"(?:/(revision|tree|paths-info|refs)(?:/([^/]+)(?:/(.+))?)?)?$"
)
_RESOLVE = re.compile(r"/(datasets/)?([^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)$")
_KINDS = "revision|tree|paths-info|refs"


@dataclass(frozen=True)
class Seen:
    """One request as it arrived. `storage`: at the storage's port, not at the hub's."""

    method: str
    path: str
    headers: dict[str, str]
    storage: bool

    @property
    def token(self) -> str | None:
        """The bearer token that was sent."""
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass
class Fault:
    """What happens, instead of the right answer, to the next `times` requests that match."""

    pattern: re.Pattern[str]
    times: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    stall_after: int | None = None
    change: Callable[[bytes], bytes] | None = None
    until: threading.Event | None = None


class HubServer:
    """The server; a context manager that stops it. All attributes may be changed while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self.tokens: set[str] = set()
        """Tokens that the hub knows; others are answered 401."""
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.granted: set[str] = set()
        """Tokens whose account may read gated and private repositories."""
        self.sizes: dict[str, int] = {}
        """File name to the size that is claimed for it."""
        self.page = 1000
        """Entries of a listing that fit on a page."""
        self.ranges = True
        """Whether a part of a file can be asked for."""
        self._mutex = threading.Lock()
        self._read: dict[Path, tuple[tuple[int, int], bytes]] = {}
        self._over = threading.Event()
        self._hub = self._listen(storage=False)
        self._storage = self._listen(storage=True)
        self.endpoint = f"http://127.0.0.1:{self._hub.server_port}"
        self.storage = f"http://127.0.0.1:{self._storage.server_port}"

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for server in (self._hub, self._storage):
            server.shutdown()
            server.server_close()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Variables for a process that is to use this hub, with its cache in `home`."""
        found = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        return found | ({"HF_TOKEN": token} if token else {})

    def answer(
        self,
        pattern: str,
        status: int,
        *,
        times: int = 1,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        """Answer matching requests with `status`: 429 with Retry-After, 500, a login page."""
        self.faults.append(
            Fault(re.compile(pattern), times, status=status, headers=headers or {}, body=body)
        )

    def cut(self, pattern: str, *, after: int, times: int = 1) -> None:
        """Close the connection after `after` bytes of the body."""
        self.faults.append(Fault(re.compile(pattern), times, cut_after=after))

    def stall(self, pattern: str, *, after: int, times: int = 1) -> None:
        """Send `after` bytes of the body, then nothing, until the server ends."""
        self.faults.append(Fault(re.compile(pattern), times, stall_after=after))

    def hold(self, pattern: str, *, times: int = 1) -> threading.Event:
        """Answer only when the event that this returns is set."""
        until = threading.Event()
        self.faults.append(Fault(re.compile(pattern), times, until=until))
        return until

    def corrupt(self, pattern: str, *, times: int = 1) -> None:
        """Send a body of the right length whose last byte is wrong."""
        self.faults.append(Fault(re.compile(pattern), times, change=_last_byte_wrong))

    def count(self, pattern: str) -> int:
        """How many requests so far match."""
        return len(self.seen(pattern))

    def seen(self, pattern: str) -> list[Seen]:
        """Requests so far that match, in order."""
        with self._mutex:
            return [s for s in self.requests if re.search(pattern, f"{s.method} {s.path}")]

    def commit(self, kind: str, name: str, revision: str = "main") -> str:
        """The commit that `revision` of repository `name` is at: changes when a file does."""
        digest = hashlib.sha1()
        for path, data in sorted(self._files(kind, name, revision).items()):
            digest.update(path.encode() + b"\0" + _hash("sha256", data).encode())
        return digest.hexdigest()

    def _listen(self, *, storage: bool) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self, "storage": storage})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _note(self, seen: Seen) -> Fault | None:
        """Record a request; returns the fault that it meets."""
        with self._mutex:
            self.requests.append(seen)
            for fault in self.faults:
                if fault.times > 0 and fault.pattern.search(f"{seen.method} {seen.path}"):
                    fault.times -= 1
                    return fault
        return None

    def _find(self, kind: str, name: str, revision: str) -> Path | None:
        """The folder of a repository at a revision (a branch's name or a commit)."""
        if ".." in name or ".." in revision:
            return None
        plain = self.folder / kind / name
        if revision == "main":
            return plain if plain.is_dir() else None
        named = plain.with_name(f"{plain.name}@{revision}")
        if named.is_dir():
            return named
        for folder in [plain, *plain.parent.glob(f"{plain.name}@*")]:
            branch = folder.name.partition("@")[2] or "main"
            if folder.is_dir() and self.commit(kind, name, branch) == revision:
                return folder
        return None

    def _files(self, kind: str, name: str, revision: str) -> dict[str, bytes]:
        folder = self._find(kind, name, revision)
        if folder is None:
            return {}
        return {
            path.relative_to(folder).as_posix(): self._content(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def _content(self, path: Path) -> bytes:
        """The same object for as long as the file does not change, so that its hash is kept."""
        now = (path.stat().st_mtime_ns, path.stat().st_size)
        if self._read.get(path, (None,))[0] != now:
            self._read[path] = (now, path.read_bytes())
        return self._read[path][1]

    def _entry(self, path: str, data: bytes) -> dict[str, Any]:
        """A file as a listing shows it."""
        size = self.sizes.get(path, len(data))
        blob = _hash("git", data)
        entry: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": blob}
        if path.endswith(LARGE):
            entry["lfs"] = {"oid": _hash("sha256", data), "size": size, "pointerSize": 134}
        return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer
    storage: bool

    def log_message(self, *_: object) -> None:
        """Silent: tests look at `hub.requests`."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.query = parse_qs(urlsplit(self.path).query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, self.storage)
        self.fault = self.hub._note(seen)
        if self.fault is not None and self.fault.until is not None:
            while not (self.fault.until.wait(0.05) or self.hub._over.is_set()):
                pass
        if self.fault is not None and self.fault.status:
            self._send(self.fault.status, self.fault.body, self.fault.headers)
            return
        path = urlsplit(self.path).path.removeprefix(STORAGE if self.storage else "")
        if not self.storage and seen.token and seen.token not in self.hub.tokens:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif path == "/api/whoami-v2":
            self._json({"name": "tester", "type": "user"} if seen.token else {"error": "anonymous"})
        elif found := _API.match(path):
            kind, name, what, revision, rest = found.groups()
            if what is None and re.fullmatch(_KINDS, name.partition("/")[2]):
                name, _, what = name.partition("/")
            self._api(kind, unquote(name), what, unquote(revision or "main"), unquote(rest or ""))
        elif found := _RESOLVE.match(path):
            kind = "datasets" if found[1] else "models"
            self._resolve(kind, unquote(found[2]), unquote(found[3]), unquote(found[4]))
        else:
            self._refuse(404, "", "Not Found")

    def _api(self, kind: str, name: str, what: str | None, revision: str, rest: str) -> None:
        if not self._may_see(kind, name):
            return
        if self.hub._find(kind, name, revision) is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = self.hub._files(kind, name, revision)
        commit = self.hub.commit(kind, name, _branch(self.hub, kind, name, revision))
        if what in (None, "revision"):
            siblings = [{"rfilename": path} for path in files]
            gated = "manual" if name in self.hub.gated else False
            self._json(
                {
                    "_id": "0",
                    "id": name,
                    "sha": commit,
                    "private": name in self.hub.private,
                    "gated": gated,
                    "disabled": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "lastModified": "2026-01-01T00:00:00.000Z",
                    "createdAt": "2026-01-01T00:00:00.000Z",
                    "siblings": siblings,
                }
            )
        elif what == "refs":
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit}
            self._json({"branches": [branch], "converts": [], "tags": []})
        elif what == "tree":
            self._tree(files, rest)
        else:
            asked = parse_qs(self.body.decode()).get("paths", [])
            if self.headers.get("Content-Type", "").startswith("application/json"):
                asked = json.loads(self.body)["paths"]
            entries = _with_folders(self.hub, files)
            self._json([entry for entry in entries if entry["path"] in asked])

    def _tree(self, files: dict[str, bytes], rest: str) -> None:
        recursive = self.query.get("recursive", ["false"])[0].lower() == "true"
        inside = rest + "/" if rest else ""
        entries = [
            entry
            for entry in _with_folders(self.hub, files)
            if entry["path"].startswith(inside)
            and (recursive or "/" not in entry["path"][len(inside) :])
        ]
        if rest and not entries:
            self._refuse(404, "EntryNotFound", f"{rest} does not exist")
            return
        start = int(self.query.get("cursor", ["0"])[0])
        more = {}
        if start + self.hub.page < len(entries):
            url = f"{self.hub.endpoint}{urlsplit(self.path).path}?recursive={recursive}"
            more = {"Link": f'<{url}&cursor={start + self.hub.page}>; rel="next"'}
        self._json(entries[start : start + self.hub.page], more)

    def _resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        if not self.storage and not (self._may_see(kind, name) and self._may_read(name)):
            return
        data = self.hub._files(kind, name, revision).get(path)
        if data is None:
            missing_revision = self.hub._find(kind, name, revision) is None
            code = "RevisionNotFound" if missing_revision else "EntryNotFound"
            self._refuse(404, code, "Entry not found")
            return
        entry = self.hub._entry(path, data)
        commit = self.hub.commit(kind, name, _branch(self.hub, kind, name, revision))
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry["oid"]}"', "Accept-Ranges": "bytes"}
        if "lfs" in entry and not self.storage:
            headers |= {
                "X-Linked-ETag": f'"{entry["lfs"]["oid"]}"',
                "X-Linked-Size": str(entry["size"]),
                "Location": f"{self.hub.storage}{STORAGE}{urlsplit(self.path).path}",
            }
            self._send(302, b"", headers)
            return
        if self.fault is not None and self.fault.change is not None:
            data = self.fault.change(data)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or not self.hub.ranges:
            self._send(200, data, headers)
            return
        first, last = int(wanted[1]), int(wanted[2] or len(data) - 1)
        if first >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        part = data[first : last + 1]
        span = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        self._send(206, part, headers | {"Content-Range": span})

    def _may_see(self, kind: str, name: str) -> bool:
        """As the hub does: what does not exist and what is private look the same."""
        hidden = name in self.hub.private and self._token not in self.hub.granted
        if hidden or self.hub._find(kind, name, "main") is None:
            status = 404 if self._token else 401
            self._refuse(status, "RepoNotFound", "Repository not found")
            return False
        return True

    def _may_read(self, name: str) -> bool:
        if name not in self.hub.gated or self._token in self.hub.granted:
            return True
        words = f"Access to model {name} is restricted."
        self._refuse(403 if self._token else 401, "GatedRepo", words)
        return False

    @property
    def _token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _json(self, value: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self._send(200, body, {"Content-Type": "application/json"} | (headers or {}))

    def _refuse(self, status: int, code: str, words: str) -> None:
        headers = {"X-Error-Message": words, "Content-Type": "application/json"}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": words}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault is not None and self.fault.cut_after is not None:
            self.wfile.write(body[: self.fault.cut_after])
            self.close_connection = True
            return
        if self.fault is not None and self.fault.stall_after is not None:
            self.wfile.write(body[: self.fault.stall_after])
            self.wfile.flush()
            self.hub._over.wait()
            self.close_connection = True
            return
        self.wfile.write(body)


_hashes: dict[tuple[str, int], tuple[bytes, str]] = {}


def _hash(kind: str, data: bytes) -> str:
    """A file's SHA-256, or its name in git; computed once per object."""
    known = _hashes.get((kind, id(data)))
    if known is None or known[0] is not data:
        prefix = b"blob %d\0" % len(data) if kind == "git" else b""
        digest = hashlib.sha1(prefix) if kind == "git" else hashlib.sha256()
        digest.update(data)
        known = _hashes[kind, id(data)] = (data, digest.hexdigest())
    return known[1]


def _branch(hub: HubServer, kind: str, name: str, revision: str) -> str:
    folder = hub._find(kind, name, revision)
    return (folder.name.partition("@")[2] if folder else "") or "main"


def _with_folders(hub: HubServer, files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Files and the folders that they imply, by path."""
    entries = {path: hub._entry(path, data) for path, data in files.items()}
    for path in files:
        for parent in list(Path(path).parents)[:-1]:
            name = parent.as_posix()
            oid = hashlib.sha1(name.encode()).hexdigest()
            entries[name] = {"type": "directory", "path": name, "size": 0, "oid": oid}
    return [entries[path] for path in sorted(entries)]


def _last_byte_wrong(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1]) if data else data
