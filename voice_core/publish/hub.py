"""A dataset repository at a Hugging Face hub: the few calls that publishing makes, with patience and named errors.

The token comes from HF_TOKEN or the stored login, the server from HF_ENDPOINT, as everywhere in huggingface_hub.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import LFSFileInfo, RepoFile
from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info
from huggingface_hub.utils import disable_progress_bars

from voice_core.publish.difference import LocalFile, RemoteFile
from voice_core.publish.errors import HubAccessError, HubError, redact_client_logs
from voice_core.publish.retries import RetryingCaller

_REPO_TYPE = "dataset"
_MAX_FILES_PER_REQUEST = 256  # large files asked for at a time


@dataclass(frozen=True, slots=True)
class BranchHead:
    """A branch as it is now. `revision` is the commit's hash; empty where the branch is still to be made."""

    revision: str
    private: bool


class HubRepo:
    """One branch of one dataset repository. To be used as a context: inside, the client's logs hold no secret."""

    def __init__(self, repo_id: str, branch: str, *, wait_sec: float = 1.0) -> None:
        token = get_token()
        if not token:
            raise HubAccessError(f"there is no token to reach {repo_id} with: set HF_TOKEN, or run `hf auth login`")
        endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
        self.repo_id, self.branch = repo_id, branch
        self.endpoint = _public_url(endpoint)
        self._token = token
        self._calls = RetryingCaller(f"{repo_id} at {self.endpoint}", token, wait_sec)
        self._api = HfApi(endpoint=endpoint.rstrip("/"), token=token, library_name="voice-data-factory")
        self._logs = ExitStack()

    def __repr__(self) -> str:
        return f"HubRepo({self.repo_id!r}, {self.branch!r})"

    def __enter__(self) -> "HubRepo":
        disable_progress_bars()
        self._logs.enter_context(redact_client_logs(self._token))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logs.close()

    @property
    def url(self) -> str:
        return f"{self.endpoint}/datasets/{self.repo_id}"

    def head(self) -> BranchHead | None:
        """The branch now, or None where there is no such repository (or none that the token may see)."""
        try:
            info = self._calls(
                "look at it",
                lambda: self._info(self.branch),
                reraise=(RepositoryNotFoundError, RevisionNotFoundError),
            )
            return BranchHead(info.sha or "", bool(info.private))
        except RevisionNotFoundError:
            info = self._calls("look at it", lambda: self._info(None))
            return BranchHead("", bool(info.private))
        except RepositoryNotFoundError:
            # A wrong token makes the hub say that there is no such repository: find out which it is.
            self._calls("log in", lambda: self._api.whoami())
            return None

    def _info(self, revision: str | None) -> Any:
        return self._api.repo_info(self.repo_id, repo_type=_REPO_TYPE, revision=revision)

    def create_repository(self, *, private: bool) -> None:
        self._calls(
            "create the repository",
            lambda: self._api.create_repo(self.repo_id, repo_type=_REPO_TYPE, private=private, exist_ok=True),
        )

    def create_branch(self) -> None:
        """From where the main branch is now."""
        self._calls(
            f"create the branch {self.branch}",
            lambda: self._api.create_branch(self.repo_id, branch=self.branch, repo_type=_REPO_TYPE, exist_ok=True),
        )

    def list_files(self, revision: str) -> dict[str, RemoteFile]:
        """Every file of a revision by its path."""

        def look() -> dict[str, RemoteFile]:
            listing = self._api.list_repo_tree(self.repo_id, recursive=True, revision=revision, repo_type=_REPO_TYPE)
            return {
                item.path: RemoteFile(item.path, item.size, item.blob_id, item.lfs.sha256 if item.lfs else "")
                for item in listing
                if isinstance(item, RepoFile)
            }

        return self._calls("list its files", look)

    def read_file(self, path: str, revision: str) -> bytes | None:
        """A small file of a revision, or None where it has none of that name."""
        with tempfile.TemporaryDirectory(prefix="voice-") as folder:
            try:
                found = self._calls(
                    f"read {path}",
                    lambda: self._api.hf_hub_download(
                        self.repo_id, path, repo_type=_REPO_TYPE, revision=revision, local_dir=folder
                    ),
                    reraise=(RemoteEntryNotFoundError,),
                )
            except RemoteEntryNotFoundError:
                return None
            return Path(found).read_bytes()

    def find_uploaded(self, files: Sequence[LocalFile]) -> set[str]:
        """The SHA-256 of those large files that the hub holds, whatever commit or broken off upload brought them."""
        there: set[str] = set()
        for start in range(0, len(files), _MAX_FILES_PER_REQUEST):
            infos = [
                UploadInfo(size=file.size, sample=b"", sha256=bytes.fromhex(file.sha256))
                for file in files[start : start + _MAX_FILES_PER_REQUEST]
            ]
            found = self._calls(
                "ask for large files",
                lambda infos=infos: post_lfs_batch_info(  # type: ignore[misc]
                    upload_infos=infos,
                    token=self._token,
                    repo_type=_REPO_TYPE,
                    repo_id=self.repo_id,
                    revision=self.branch,
                    endpoint=self._api.endpoint,
                ),
                max_attempts=1,  # the client itself is patient here
            )
            there |= {item["oid"] for item in found[0] if item.get("actions") is None}
        return there

    def upload(self, files: Mapping[Path, LocalFile]) -> None:
        """Send large files, several at a time. They belong to no commit until `commit` names them."""
        additions = []
        for path, file in files.items():
            addition = CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=path)
            addition.upload_info.sha256 = bytes.fromhex(file.sha256)  # so that it is not computed again
            additions.append(addition)
        self._calls(
            f"upload {additions[0].path_in_repo}" + (f" and {len(additions) - 1} more" if len(additions) > 1 else ""),
            lambda: self._api.preupload_lfs_files(
                self.repo_id, additions=additions, repo_type=_REPO_TYPE, revision=self.branch, free_memory=False
            ),
            max_attempts=1,
        )
        for addition in additions:
            if addition._upload_mode != "lfs":
                raise HubError(
                    f"{self.repo_id} would keep {addition.path_in_repo} in git itself: its .gitattributes lacks the "
                    "line `*.parquet filter=lfs diff=lfs merge=lfs -text`"
                )

    def commit(
        self, *, uploads: Iterable[LocalFile], deleted: Iterable[str], parent: str, title: str, description: str
    ) -> str:
        """One commit on top of `parent`; its hash. Large files must have been uploaded.

        Raises:
            HubConflictError: the branch is not at `parent` any more; nothing was committed.
        """
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationDelete(path_in_repo=path, is_folder=False) for path in deleted
        ]
        operations += [_uploaded_operation(file) if file.data is None else _small_operation(file) for file in uploads]
        info = self._calls(
            "commit",
            lambda: self._api.create_commit(
                self.repo_id,
                operations,
                commit_message=title,
                commit_description=description,
                repo_type=_REPO_TYPE,
                revision=self.branch,
                parent_commit=parent,
            ),
        )
        return str(info.oid)

    def refs(self) -> dict[str, str]:
        """Every other name under which a revision can be asked for (refs/tags/…, refs/heads/…) → commit."""
        found = self._calls(
            "list its branches and tags",
            lambda: self._api.list_repo_refs(self.repo_id, repo_type=_REPO_TYPE, include_pull_requests=True),
        )
        groups = (found.branches, found.tags, found.converts, found.pull_requests or [])
        own = f"refs/heads/{self.branch}"
        return {item.ref: item.target_commit for group in groups for item in group if item.ref != own}

    def squash(self, title: str) -> None:
        """Make the branch one commit that has no past."""
        self._calls(
            "squash its history",
            lambda: self._api.super_squash_history(
                self.repo_id, branch=self.branch, commit_message=title, repo_type=_REPO_TYPE
            ),
        )

    def large_files(self) -> list[LFSFileInfo]:
        """All large files that the hub keeps for the repository, used by a revision or not."""
        return self._calls(
            "list its large files", lambda: list(self._api.list_lfs_files(self.repo_id, repo_type=_REPO_TYPE))
        )

    def delete_large_files(self, files: Sequence[LFSFileInfo]) -> None:
        """Remove large files for good, from every revision."""
        self._calls(
            "delete large files",
            lambda: self._api.permanently_delete_lfs_files(
                self.repo_id, files, rewrite_history=True, repo_type=_REPO_TYPE
            ),
        )


def _uploaded_operation(file: LocalFile) -> CommitOperationAdd:
    """What preupload_lfs_files leaves of an addition: its name, size and hash, for the file need not be here."""
    addition = CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=b"")
    addition.upload_info = UploadInfo(size=file.size, sample=b"", sha256=bytes.fromhex(file.sha256))
    addition._upload_mode = "lfs"
    addition._is_uploaded = True
    return addition


def _small_operation(file: LocalFile) -> CommitOperationAdd:
    assert file.data is not None
    return CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.data)


def _public_url(endpoint: str) -> str:
    """
    >>> _public_url("https://user:secret@hub.example:8443/mirror/")
    'https://hub.example:8443/mirror'
    """
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
