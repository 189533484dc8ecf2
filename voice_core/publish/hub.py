"""A dataset repository at a Hugging Face hub: the calls that publishing makes, with retries and named errors.

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

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import LFSFileInfo, RepoFile
from huggingface_hub.utils import disable_progress_bars

from voice_core.publish.difference import Copies, LocalFile, RemoteFile
from voice_core.publish.errors import HubAccessError, HubError, redact_client_logs
from voice_core.publish.retries import RetryingCaller

_REPO_TYPE = "dataset"


@dataclass(frozen=True, slots=True)
class BranchHead:
    """A branch now. `revision` is the hash of its commit, empty if the branch does not exist yet."""

    revision: str
    private: bool


class HubRepo:
    """One branch of a dataset repository. Used as a context manager: inside, the client's logs contain no secret."""

    def __init__(self, repo_id: str, branch: str, *, wait_sec: float = 1.0) -> None:
        token = get_token()
        if not token:
            raise HubAccessError(f"there is no token for {repo_id}: set HF_TOKEN, or run `hf auth login`")
        endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
        self.repo_id, self.branch = repo_id, branch
        self.endpoint = _public_url(endpoint)
        self._token = token
        self._calls = RetryingCaller(f"{repo_id} at {self.endpoint}", token, wait_sec)
        self._api = HfApi(endpoint=endpoint.rstrip("/"), token=token, library_name="voice-data-factory")
        self._logs = ExitStack()
        self._uploaded: dict[tuple[str, str], CommitOperationAdd] = {}  # by path and SHA-256

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
        """The branch now, or None if the repository does not exist or is not visible to the token."""
        try:
            info = self._calls(
                "read its state",
                lambda: self._info(self.branch),
                reraise=(RepositoryNotFoundError, RevisionNotFoundError),
            )
            return BranchHead(info.sha or "", bool(info.private))
        except RevisionNotFoundError:
            info = self._calls("read its state", lambda: self._info(None))
            return BranchHead("", bool(info.private))
        except RepositoryNotFoundError:
            # The hub reports an unknown repository for a wrong token, too: `whoami` tells them apart.
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
        """Create the branch from the main branch."""
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
        """A small file of a revision, or None if it does not exist."""
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

    def find_stored(self) -> set[str]:
        """The SHA-256 of all large files of the repository, including those of an interrupted upload.

        Empty if the token has no permission to list them.
        """
        try:
            return {item.oid for item in self.large_files()}
        except HubAccessError:
            return set()

    def is_uploaded(self, file: LocalFile) -> bool:
        """Whether `upload` was called for the file."""
        return (file.path, file.sha256) in self._uploaded

    def upload(self, files: Mapping[Path, LocalFile]) -> None:
        """Upload large files, several at a time; the client skips those that the hub has.

        They belong to no commit until `commit` names them; the local files are not needed for that.
        """
        additions = [CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=path) for path, file in files.items()]
        self._calls(
            f"upload {additions[0].path_in_repo}" + (f" and {len(additions) - 1} more" if len(additions) > 1 else ""),
            lambda: self._api.preupload_lfs_files(
                self.repo_id, additions=additions, repo_type=_REPO_TYPE, revision=self.branch, free_memory=True
            ),
            max_attempts=1,  # the client retries uploads itself
        )
        for addition, file in zip(additions, files.values(), strict=True):
            if addition.path_or_fileobj != b"":  # `free_memory` empties those that were uploaded as large files
                raise HubError(
                    f"{self.repo_id} would store {file.path} in git itself: add the line "
                    "`*.parquet filter=lfs diff=lfs merge=lfs -text` to its .gitattributes"
                )
            self._uploaded[file.path, file.sha256] = addition

    def commit(
        self,
        *,
        uploads: Iterable[LocalFile],
        copies: Copies,
        deleted: Iterable[str],
        parent: str,
        message: str,
    ) -> str:
        """Make one commit on top of `parent` and return its hash.

        The hub copies large files that have an entry in `copies`; the others must have been uploaded with `upload`.

        Raises:
            HubConflictError: the branch is no longer at `parent`; nothing was committed.
        """
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            CommitOperationDelete(path_in_repo=path, is_folder=False) for path in deleted
        ]
        operations += [self._add_operation(file, copies) for file in uploads]
        info = self._calls(
            "commit",
            lambda: self._api.create_commit(
                self.repo_id,
                operations,
                commit_message=message,
                repo_type=_REPO_TYPE,
                revision=self.branch,
                parent_commit=parent,
            ),
        )
        return str(info.oid)

    def _add_operation(self, file: LocalFile, copies: Copies) -> CommitOperationAdd | CommitOperationCopy:
        if file.data is not None:
            return CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.data)
        if (source := copies.get(file.sha256)) is not None:
            return CommitOperationCopy(source.path, file.path, src_revision=source.revision)
        return self._uploaded[file.path, file.sha256]

    def other_branches(self) -> dict[str, str]:
        """Commits by name of all other branches."""
        heads = "refs/heads/"
        return {ref.removeprefix(heads): commit for ref, commit in self.refs().items() if ref.startswith(heads)}

    def refs(self) -> dict[str, str]:
        """Commits by name of all other branches, tags and pull requests (refs/heads/…, refs/tags/…)."""
        found = self._calls(
            "list its branches and tags",
            lambda: self._api.list_repo_refs(self.repo_id, repo_type=_REPO_TYPE, include_pull_requests=True),
        )
        groups = (found.branches, found.tags, found.converts, found.pull_requests or [])
        own = f"refs/heads/{self.branch}"
        return {item.ref: item.target_commit for group in groups for item in group if item.ref != own}

    def squash(self, message: str) -> None:
        """Replace the history of the branch by one commit."""
        self._calls(
            "squash its history",
            lambda: self._api.super_squash_history(
                self.repo_id, branch=self.branch, commit_message=message, repo_type=_REPO_TYPE
            ),
        )

    def large_files(self) -> list[LFSFileInfo]:
        """All large files of the repository, used by a revision or not."""
        return self._calls(
            "list its large files", lambda: list(self._api.list_lfs_files(self.repo_id, repo_type=_REPO_TYPE))
        )

    def delete_large_files(self, files: Sequence[LFSFileInfo]) -> None:
        """Delete large files permanently from every revision."""
        self._calls(
            "delete large files",
            lambda: self._api.permanently_delete_lfs_files(
                self.repo_id, files, rewrite_history=True, repo_type=_REPO_TYPE
            ),
        )


def _public_url(endpoint: str) -> str:
    """
    >>> _public_url("https://user:secret@hub.example:8443/mirror/")
    'https://hub.example:8443/mirror'
    """
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
