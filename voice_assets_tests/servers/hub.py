"""A small Hugging Face hub over HTTP: the routes that the real client calls for datasets, kept in memory.

Repositories are chains of commits, so that a test can say which files a commit holds. Faults can be asked for:
statuses with headers, connections reset within a body, something that happens just before an answer.

    with Hub() as hub:
        HfApi(endpoint=hub.url, token=hub.token).create_repo("team/voices", repo_type="dataset")
"""

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from voice_assets_tests.servers.hub_http import Handler, Request, Response, error_response

LFS_PATTERN = re.compile(r".*\.(parquet|png|bin)")
LFS_FROM_BYTES = 10_000_000
PAGE = 50  # entries of a listing, so that clients have to follow its pages
GITATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.png filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit: its content, or the SHA-256 and size of a large one."""

    data: bytes = b""
    lfs: str = ""
    size: int = 0

    @property
    def blob_id(self) -> str:
        data = self.data
        if self.lfs:
            data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.lfs}\nsize {self.size}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def as_json(self, path: str) -> dict[str, object]:
        size = self.size if self.lfs else len(self.data)
        value: dict[str, object] = {"type": "file", "path": path, "size": size, "oid": self.blob_id}
        if self.lfs:
            value["lfs"] = {"oid": self.lfs, "size": self.size, "pointerSize": 130}
        return value


@dataclass(slots=True)
class Commit:
    parent: str | None
    title: str
    files: dict[str, Entry]


@dataclass(slots=True)
class Repo:
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # refs/heads/main → commit
    objects: dict[str, bytes] = field(default_factory=dict)  # large files by SHA-256
    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # of large files: path and ref they came with

    def commit(self, ref: str, title: str, files: dict[str, Entry]) -> str:
        sha = secrets.token_hex(20)
        self.commits[sha] = Commit(self.refs.get(ref), title, files)
        self.refs[ref] = sha
        for path, entry in files.items():
            if entry.lfs:
                self.names.setdefault(entry.lfs, (path, ref))
        return sha


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` requests that match: an answer, or the end of the connection."""

    pattern: re.Pattern[str]  # of "PUT /path"
    answer: Response | None
    reset_after_bytes: int = 0
    before: Callable[[], None] | None = None
    unanswered: bool = False
    times: int = 1


class HubServer:
    """The server. `token` may write, `read_token` may only read; `requests` is what was asked, as "PUT /path"."""

    def __init__(self, *, part_bytes: int = 0) -> None:
        self.token, self.read_token = f"hf_{secrets.token_hex(16)}", f"hf_{secrets.token_hex(16)}"
        self.signature = secrets.token_hex(16)  # of the addresses that need no token
        self.part_bytes = part_bytes  # large files are sent in parts of this size; whole if 0
        self.repos: dict[str, Repo] = {}
        self.requests: list[str] = []
        self.uploads: list[str] = []  # SHA-256 of each large file that was received whole
        self._parts: dict[tuple[str, int], bytes] = {}
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # What a test asks for.

    def environment(self, home: Path) -> dict[str, str]:
        """The variables that lead the client here, with `home` for its caches. Xet is another protocol: off."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def fail(
        self, pattern: str, status: int, *, times: int = 1, headers: Mapping[str, str] | None = None, message: str = ""
    ) -> None:
        """Answer the next requests that match, such as "POST .*/commit/", with an error."""
        answer = Response(status, {"error": message or f"asked to fail with {status}"}, dict(headers or {}))
        self._faults.append(Fault(re.compile(pattern), answer, times=times))

    def reset(self, pattern: str, *, after_bytes: int = 0, times: int = 1) -> None:
        """Reset the connection when so much of the request's body has been read."""
        self._faults.append(Fault(re.compile(pattern), None, after_bytes, times=times))

    def drop_response(self, pattern: str, *, times: int = 1) -> None:
        """Do what the next requests that match ask for, and reset the connection instead of answering."""
        self._faults.append(Fault(re.compile(pattern), None, unanswered=True, times=times))

    def before(self, pattern: str, action: Callable[[], None], *, times: int = 1) -> None:
        """Do something just before the next request that matches is answered as usual."""
        self._faults.append(Fault(re.compile(pattern), None, before=action, times=times))

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a revision with their content; one whose large file is gone is left out."""
        repo = self.repos[repo_id]
        found = {path: self.read(repo, entry) for path, entry in self.resolve(repo, revision).files.items()}
        return {path: data for path, data in found.items() if data is not None}

    def commit_titles(self, repo_id: str, branch: str = "main") -> list[str]:
        """Titles of the commits of a branch, newest first."""
        repo = self.repos[repo_id]
        return [repo.commits[sha].title for sha in self._history(repo, repo.refs[f"refs/heads/{branch}"])]

    def changes(self, repo_id: str, revision: str = "main") -> dict[str, str]:
        """What a commit did: path → added, changed or deleted."""
        repo = self.repos[repo_id]
        commit = self.resolve(repo, revision)
        before = repo.commits[commit.parent].files if commit.parent else {}
        verbs = {path: "changed" if path in before else "added" for path in commit.files}
        verbs = {path: verb for path, verb in verbs.items() if before.get(path) != commit.files[path]}
        return verbs | {path: "deleted" for path in before if path not in commit.files}

    def commit_as_other_user(self, repo_id: str, files: Mapping[str, bytes | None], branch: str = "main") -> str:
        """A commit that somebody else makes; None deletes a file."""
        repo = self.repos[repo_id]
        now = dict(self.resolve(repo, branch).files)
        for path, data in files.items():
            now.pop(path, None)
            if data is not None:
                now[path] = self._stored(repo, path, data)
        return repo.commit(f"refs/heads/{branch}", "by somebody", now)

    # What the routes are made of.

    def fault(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.pattern.search(line) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def answer(self, request: Request) -> Response:
        with self._lock:
            from voice_assets_tests.servers.hub_routes import ROUTES

            for method, pattern, route in ROUTES:
                match = pattern.fullmatch(request.path)
                if match and request.method in method.split():
                    return route(self, request, **match.groupdict())
        return error_response(404, "there is no such route")

    def role(self, request: Request) -> str | None:
        """What the request's token may do: "write", "read", None without one. A wrong one is refused."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        roles = {f"Bearer {self.token}": "write", f"Bearer {self.read_token}": "read"}
        if header not in roles:
            # A careless server: it repeats what it was given.
            raise RequestRefused(error_response(401, f"Invalid credentials in Authorization header: {header}"))
        return roles[header]

    def repo(self, request: Request, repo_id: str, *, write: bool = False) -> Repo:
        role = self.role(request)
        if repo_id not in self.repos or (self.repos[repo_id].private and role is None):
            raise RequestRefused(error_response(404 if role else 401, "Repository not found", "RepoNotFound"))
        if write and role != "write":
            raise RequestRefused(error_response(403, "you must have write access to this repository"))
        return self.repos[repo_id]

    def ref(self, repo: Repo, revision: str) -> str:
        """The full name of a branch or tag."""
        names = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        found = next((name for name in names if name in repo.refs), None)
        if found is None:
            raise RequestRefused(error_response(404, f"Invalid rev id: {revision}", "RevisionNotFound"))
        return found

    def resolve(self, repo: Repo, revision: str) -> Commit:
        return repo.commits[self.sha(repo, revision)]

    def sha(self, repo: Repo, revision: str) -> str:
        return revision if revision in repo.commits else repo.refs[self.ref(repo, revision)]

    def read(self, repo: Repo, entry: Entry) -> bytes | None:
        return repo.objects.get(entry.lfs) if entry.lfs else entry.data

    def create(self, repo_id: str, private: bool) -> Repo:
        repo = self.repos[repo_id] = Repo(private)
        repo.commit("refs/heads/main", "initial commit", {".gitattributes": Entry(GITATTRIBUTES)})
        return repo

    def store(self, repo: Repo, oid: str, data: bytes) -> bool:
        """Keep a large file, if it is what its name says."""
        if hashlib.sha256(data).hexdigest() != oid:
            return False
        repo.objects[oid] = data
        self.uploads.append(oid)
        return True

    def part(self, oid: str, number: int, data: bytes) -> str:
        self._parts[oid, number] = data
        return f'"{hashlib.md5(data).hexdigest()}"'

    def join_parts(self, oid: str, count: int) -> bytes:
        return b"".join(self._parts.pop((oid, number)) for number in range(1, count + 1))

    def apply(self, files: dict[str, Entry], repo: Repo, operation: dict[str, dict[str, str]]) -> None:
        """One line of a commit."""
        value = operation["value"]
        path = value.get("path", "")
        match operation["key"]:
            case "file":
                files[path] = Entry(base64.b64decode(value["content"]))
            case "lfsFile":
                if value["oid"] not in repo.objects:
                    raise RequestRefused(error_response(400, f"the large file of {path} was never uploaded"))
                files[path] = Entry(lfs=value["oid"], size=len(repo.objects[value["oid"]]))
            case "deletedFile":
                if files.pop(path, None) is None:
                    raise RequestRefused(
                        error_response(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
                    )

    def upload_mode(self, path: str, size: int) -> str:
        return "lfs" if LFS_PATTERN.fullmatch(path) or size > LFS_FROM_BYTES else "regular"

    def _stored(self, repo: Repo, path: str, data: bytes) -> Entry:
        if self.upload_mode(path, len(data)) == "regular":
            return Entry(data)
        oid = hashlib.sha256(data).hexdigest()
        repo.objects[oid] = data
        return Entry(lfs=oid, size=len(data))

    @staticmethod
    def _history(repo: Repo, sha: str | None) -> list[str]:
        found = []
        while sha is not None:
            found.append(sha)
            sha = repo.commits[sha].parent
        return found

    def history(self, repo: Repo, revision: str) -> list[str]:
        return self._history(repo, self.sha(repo, revision))


class RequestRefused(Exception):  # noqa: N818 (it is an answer)
    """Ends a route early with an answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__(json.dumps(answer.body))
        self.answer = answer
