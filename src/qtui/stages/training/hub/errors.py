"""Errors of the hub and its library, put as what happened and what to do next."""

from __future__ import annotations

import errno
import json

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from qtui.errors import ImpossibleError, InputError, NotFoundError, QtuiError
from qtui.stages.training.hub.report import without_token
from qtui.terminal import clean_line

_LOG_IN = "run `hf auth login`, or set HF_TOKEN to a token with read access"
_NO_WRITING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
_KEPT = "what is downloaded is kept"


def explain(error: Exception, model: str, revision: str | None) -> QtuiError:
    """The error a user can act on; never holds a token or a signed address."""
    found = error if isinstance(error, QtuiError) else _translate(error, model, revision)
    return type(found)(
        clean_line(without_token(found.message)), remedy=clean_line(without_token(found.remedy))
    )


def _translate(error: Exception, model: str, revision: str | None) -> QtuiError:
    page = f"{constants.ENDPOINT}/{model}"
    if isinstance(error, HFValidationError):
        return InputError(
            f"{model} is no hub id (ORGANISATION/NAME) and no folder",
            remedy="check model.model_name: a folder must exist, as seen from where qtui was "
            "started; a hub id has one slash",
        )
    if isinstance(error, LocalEntryNotFoundError) and isinstance(
        error.__cause__, FileMetadataError
    ):
        error = error.__cause__
    if isinstance(error, HfHubHTTPError):
        return _answered(error, model, revision, page)
    if isinstance(error, FileMetadataError):
        return QtuiError(
            f"{constants.ENDPOINT} does not speak the hub's protocol (no commit or ETag)",
            remedy="check HF_ENDPOINT, and that no proxy changes headers",
        )
    if isinstance(error, json.JSONDecodeError):
        return QtuiError(
            f"{constants.ENDPOINT} answered with something that is no JSON",
            remedy="a proxy or a login page may stand between; check HF_ENDPOINT and the network",
        )
    if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL):
        return QtuiError(
            f"{constants.ENDPOINT} cannot be asked: {error}", remedy="check HF_ENDPOINT and proxies"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ImpossibleError(
            f"the disk of the hub's cache ({constants.HF_HUB_CACHE}) is full",
            remedy=f"free space or point HF_HOME to a larger disk, and resume: {_KEPT}",
        )
    if isinstance(error, OSError) and error.errno in _NO_WRITING:
        return ImpossibleError(
            f"the hub's cache cannot be written: {error.filename or constants.HF_HUB_CACHE}",
            remedy="point HF_HOME to a folder that you own",
        )
    return QtuiError(
        f"downloading {model} failed: {type(error).__name__}: {error}",
        remedy=f"resume the run to try again: {_KEPT}",
    )


def _answered(error: HfHubHTTPError, model: str, revision: str | None, page: str) -> QtuiError:
    status = error.response.status_code
    token = get_token()
    if isinstance(error, GatedRepoError):
        if token is None:
            return InputError(
                f"{model} is gated, and there is no hub token on this machine",
                remedy=f"ask for access at {page}, then {_LOG_IN}",
            )
        return InputError(
            f"{model} is gated, and the account of this token has no access (yet)",
            remedy=f"ask for access at {page}; a fine-grained token must also allow gated models",
        )
    if isinstance(error, RevisionNotFoundError):
        return NotFoundError(
            f"{model} has no revision {revision}",
            remedy=f"its branches and tags are at {page}/tree/main; leave model.revision out for "
            "the default branch",
        )
    if isinstance(error, DisabledRepoError):
        return InputError(f"the hub has disabled {model}", remedy="choose another model")
    if isinstance(error, RemoteEntryNotFoundError):
        return QtuiError(
            f"a file of {model} vanished from the hub while it was downloaded",
            remedy="start again; model.revision with a commit pins what is downloaded",
        )
    rejected = "credentials" in (error.server_message or "").lower()
    if status == 401 and token is not None and rejected:
        return InputError("the hub does not accept the token of this machine", remedy=_LOG_IN)
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        if token is None:
            return NotFoundError(
                f"the hub has no model {model}; or it is private, and there is no token here",
                remedy=f"check the spelling; a local folder is written ./FOLDER; for a private "
                f"model {_LOG_IN}",
            )
        return NotFoundError(
            f"the hub has no model {model} that the account of this token may see",
            remedy="check the spelling; a local folder is written ./FOLDER",
        )
    said = f": {error.server_message}" if error.server_message else ""
    return QtuiError(
        f"the hub answered {status} for {model}{said}",
        remedy="check the token's permissions" if status == 403 else "resume the run later",
    )
