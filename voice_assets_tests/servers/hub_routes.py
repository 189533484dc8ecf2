"""The routes of the small hub, as the real client calls them."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from voice_assets_tests.servers.hub import PAGE, Entry, HubServer, Repo, RequestRefused
from voice_assets_tests.servers.hub_http import Request, Response, error_response

Route = Callable[..., Response]
_REPO = r"(?P<repo_id>[^/]+/[^/]+?)"
_REV = r"(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+)"
_DATE = "2030-01-01T00:00:00.000Z"
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    def add(function: Route) -> Route:
        ROUTES.append((method, re.compile(pattern, re.DOTALL), function))
        return function

    return add


def _page(hub: HubServer, request: Request, items: Sequence[Any]) -> Response:
    start = int(request.query.get("cursor", ["0"])[0])
    headers = {}
    if start + PAGE < len(items):
        kept = "&".join(f"{name}={value[0]}" for name, value in request.query.items() if name != "cursor")
        headers["Link"] = f'<{hub.url}{request.path}?{kept}&cursor={start + PAGE}>; rel="next"'
    return Response(200, list(items[start : start + PAGE]), headers)


@route("GET", r"/api/whoami-v2")
def whoami(hub: HubServer, request: Request) -> Response:
    role = hub.role(request)
    token = {"accessToken": {"role": role}}
    return (
        Response(200, {"name": "somebody", "auth": token})
        if role
        else error_response(401, "Invalid username or password.")
    )


@route("POST", r"/api/validate-yaml")
def validate_yaml(hub: HubServer, request: Request) -> Response:
    return Response(200, {"errors": [], "warnings": []})


@route("POST", r"/api/repos/create")
def create(hub: HubServer, request: Request) -> Response:
    if hub.role(request) != "write":
        return error_response(403, "you have no right to create a repository here")
    wanted = request.json()
    repo_id = f"{wanted['organization']}/{wanted['name']}"
    if repo_id in hub.repos:
        return error_response(409, "You already created this dataset repo")
    hub.create(repo_id, wanted.get("visibility") == "private" or bool(wanted.get("private")))
    return Response(200, {"url": f"{hub.url}/datasets/{repo_id}"})


@route("GET", rf"/api/datasets/{_REPO}(?:/revision/{_REV})?")
def info(hub: HubServer, request: Request, repo_id: str, revision: str | None) -> Response:
    repo = hub.repo(request, repo_id)
    commit = hub.resolve(repo, revision or "main")
    sha = hub.sha(repo, revision or "main")
    siblings = [{"rfilename": path} for path in commit.files]
    return Response(
        200,
        {"id": repo_id, "sha": sha, "private": repo.private, "siblings": siblings, "tags": [], "lastModified": _DATE},
    )


@route("GET", rf"/api/datasets/{_REPO}/refs")
def refs(hub: HubServer, request: Request, repo_id: str) -> Response:
    repo = hub.repo(request, repo_id)

    def of(prefix: str) -> list[dict[str, str]]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": sha}
            for ref, sha in repo.refs.items()
            if ref.startswith(prefix)
        ]

    value = {"branches": of("refs/heads/"), "tags": of("refs/tags/"), "converts": of("refs/convert/")}
    return Response(200, value | {"pullRequests": of("refs/pr/")})


@route("POST", rf"/api/datasets/{_REPO}/(?P<kind>branch|tag)/(?P<name>.+)")
def make_ref(hub: HubServer, request: Request, repo_id: str, kind: str, name: str) -> Response:
    repo = hub.repo(request, repo_id, write=True)
    if kind == "tag":  # here the address names what is tagged
        repo.refs[f"refs/tags/{request.json()['tag']}"] = hub.sha(repo, name)
        return Response(200, {})
    if f"refs/heads/{name}" in repo.refs:
        return error_response(409, "Reference already exists")
    repo.refs[f"refs/heads/{name}"] = hub.sha(repo, request.json().get("startingPoint", "main"))
    return Response(200, {})


@route("GET", rf"/api/datasets/{_REPO}/commits/{_REV}")
def commits(hub: HubServer, request: Request, repo_id: str, revision: str) -> Response:
    repo = hub.repo(request, repo_id)
    shas = hub.history(repo, revision)
    items = [
        {"id": sha, "title": repo.commits[sha].title, "message": "", "authors": [{"user": "somebody"}], "date": _DATE}
        for sha in shas
    ]
    return _page(hub, request, items)


@route("GET", rf"/api/datasets/{_REPO}/tree/{_REV}(?:/(?P<folder>.*))?")
def tree(hub: HubServer, request: Request, repo_id: str, revision: str, folder: str | None) -> Response:
    files = hub.resolve(hub.repo(request, repo_id), revision).files
    prefix = f"{folder}/" if folder else ""
    inside = {path: entry for path, entry in files.items() if path.startswith(prefix)}
    if folder and not inside:
        return error_response(404, f"{folder} does not exist", "EntryNotFound")
    recursive = request.query.get("recursive", ["false"])[0].lower() == "true"
    return _page(hub, request, _listing(inside, prefix, recursive))


def _listing(files: Mapping[str, Entry], prefix: str, recursive: bool) -> list[dict[str, object]]:
    folders = {path[: i + len(prefix)] for path in files for i, c in enumerate(path[len(prefix) :]) if c == "/"}
    if not recursive:
        folders = {folder for folder in folders if "/" not in folder[len(prefix) :]}
        files = {path: entry for path, entry in files.items() if "/" not in path[len(prefix) :]}
    found = [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in folders]
    return sorted([*found, *(entry.as_json(path) for path, entry in files.items())], key=lambda item: str(item["path"]))


@route("POST", rf"/api/datasets/{_REPO}/paths-info/{_REV}")
def paths_info(hub: HubServer, request: Request, repo_id: str, revision: str) -> Response:
    files = hub.resolve(hub.repo(request, repo_id), revision).files
    every = _listing(files, "", True)
    return Response(200, [item for item in every if item["path"] in request.form().get("paths", [])])


@route("POST", rf"/api/datasets/{_REPO}/preupload/{_REV}")
def preupload(hub: HubServer, request: Request, repo_id: str, revision: str) -> Response:
    repo = hub.repo(request, repo_id, write=True)
    files = hub.resolve(repo, revision).files
    answers = []
    for item in request.json()["files"]:
        entry = files.get(item["path"])
        answer = {"path": item["path"], "uploadMode": hub.upload_mode(item["path"], item["size"])}
        answers.append({**answer, "shouldIgnore": False, "oid": (entry.lfs or entry.blob_id) if entry else None})
    return Response(200, {"files": answers})


@route("POST", rf"/datasets/{_REPO}\.git/info/lfs/objects/batch")
def lfs_batch(hub: HubServer, request: Request, repo_id: str) -> Response:
    repo = hub.repo(request, repo_id, write=True)
    return Response(200, {"transfer": "basic", "objects": [_lfs_actions(hub, repo, repo_id, item)
                                                        for item in request.json()["objects"]]})  # fmt: skip


def _lfs_actions(hub: HubServer, repo: Repo, repo_id: str, item: dict[str, Any]) -> dict[str, Any]:
    oid, size = item["oid"], item["size"]
    if oid in repo.objects:
        return item
    place, signed = f"{hub.url}/storage/{repo_id}/{oid}", f"?X-Amz-Signature={hub.signature}"
    upload: dict[str, Any] = {"href": place + signed}
    if hub.part_bytes and size > hub.part_bytes:
        count = -(-size // hub.part_bytes)
        upload = {"href": f"{place}/complete{signed}", "header": {"chunk_size": str(hub.part_bytes)}}
        upload["header"] |= {f"{number:05d}": f"{place}/{number}{signed}" for number in range(1, count + 1)}
    verify = {"href": f"{hub.url}/verify/{repo_id}"}
    return {**item, "actions": {"upload": upload, "verify": verify}}


def _signed(hub: HubServer, request: Request) -> None:
    if request.query.get("X-Amz-Signature") != [hub.signature]:
        raise RequestRefused(error_response(403, "this address is not signed"))


@route("PUT", rf"/storage/{_REPO}/(?P<oid>[0-9a-f]{{64}})(?:/(?P<number>\d+))?")
def put_large(hub: HubServer, request: Request, repo_id: str, oid: str, number: str | None) -> Response:
    _signed(hub, request)
    if number is not None:
        return Response(200, b"", {"ETag": hub.part(oid, int(number), request.body)})
    good = hub.store(hub.repos[repo_id], oid, request.body)
    return Response() if good else error_response(400, "the content has another checksum")


@route("POST", rf"/storage/{_REPO}/(?P<oid>[0-9a-f]{{64}})/complete")
def complete(hub: HubServer, request: Request, repo_id: str, oid: str) -> Response:
    _signed(hub, request)
    data = hub.join_parts(oid, len(request.json()["parts"]))
    return (
        Response(200, {})
        if hub.store(hub.repos[repo_id], oid, data)
        else error_response(400, "the content has another checksum")
    )


@route("POST", rf"/verify/{_REPO}")
def verify(hub: HubServer, request: Request, repo_id: str) -> Response:
    repo, wanted = hub.repo(request, repo_id, write=True), request.json()
    there = len(repo.objects.get(wanted["oid"], b"")) == wanted["size"]
    return Response(200, {}) if there else error_response(400, "there is no such large file")


@route("POST", rf"/api/datasets/{_REPO}/commit/{_REV}")
def commit(hub: HubServer, request: Request, repo_id: str, revision: str) -> Response:
    repo = hub.repo(request, repo_id, write=True)
    ref = hub.ref(repo, revision)
    header, *operations = (json.loads(line) for line in request.body.splitlines())
    parent = header["value"].get("parentCommit")
    if parent is not None and parent != repo.refs[ref]:
        return error_response(412, "A commit has happened since. Please refresh and try again.")
    files = dict(repo.commits[repo.refs[ref]].files)
    for operation in operations:
        hub.apply(files, repo, operation)
    sha = repo.commit(ref, header["value"]["summary"], files)
    url = f"{hub.url}/datasets/{repo_id}/commit/{sha}"
    return Response(200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})


@route("POST", rf"/api/datasets/{_REPO}/super-squash/{_REV}")
def squash(hub: HubServer, request: Request, repo_id: str, revision: str) -> Response:
    """The branch gets one commit without a parent. Who knows an old commit's hash can still ask for it."""
    repo = hub.repo(request, repo_id, write=True)
    ref = hub.ref(repo, revision)
    files = repo.commits[repo.refs.pop(ref)].files
    repo.commit(ref, request.json()["message"], files)
    return Response(200, {})


@route("GET", rf"/api/datasets/{_REPO}/lfs-files")
def lfs_files(hub: HubServer, request: Request, repo_id: str) -> Response:
    repo = hub.repo(request, repo_id, write=True)
    items = []
    for oid, data in sorted(repo.objects.items()):
        name, ref = repo.names.get(oid, ("", None))
        items.append({"fileOid": _file_oid(oid), "filename": name, "oid": oid, "pushedAt": _DATE, "ref": ref,
                      "size": len(data)})  # fmt: skip
    return _page(hub, request, items)


def _file_oid(oid: str) -> str:
    return hashlib.sha1(oid.encode()).hexdigest()


@route("POST", rf"/api/datasets/{_REPO}/lfs-files/batch")
def delete_large(hub: HubServer, request: Request, repo_id: str) -> Response:
    repo = hub.repo(request, repo_id, write=True)
    wanted = request.json()["deletions"]
    gone = {oid for oid in repo.objects if _file_oid(oid) in wanted["sha"]}
    for oid in gone:
        del repo.objects[oid]
    if wanted["rewriteHistory"]:
        for item in repo.commits.values():
            item.files = {path: entry for path, entry in item.files.items() if entry.lfs not in gone}
    return Response(200, {})


@route("GET HEAD", rf"/datasets/{_REPO}/resolve/{_REV}/(?P<path>.+)")
def resolve(hub: HubServer, request: Request, repo_id: str, revision: str, path: str) -> Response:
    repo = hub.repo(request, repo_id)
    entry = hub.resolve(repo, revision).files.get(path)
    data = hub.read(repo, entry) if entry else None
    if entry is None or data is None:
        return error_response(404, "Entry not found", "EntryNotFound")
    headers = {"ETag": f'"{entry.lfs or entry.blob_id}"', "X-Repo-Commit": hub.sha(repo, revision)}
    if entry.lfs:
        headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(entry.size)}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return Response(200, data, headers)
    start, stop = int(wanted[1]), int(wanted[2] or len(data) - 1) + 1
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(206, data[start:stop], headers)
