"""Generator files from the Hugging Face Hub: a name with its revision in, a local folder out. And
the other way: a folder to a repository.

    hf:owner/name@revision -> commit -> kept already? -> size -> download -> the folder, unchecked

Three files and no other are fetched, the upscaler where config.json names one, and the
discriminator where training starts from it, over plain HTTPS, and kept where the Hub's library
keeps them (HF_HOME). A commit that is there needs no network. Imported only where such a name is
given: the library comes with the extra `hub`. It gets no token but HF_TOKEN's, and sends no
telemetry.
"""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from model.generator_file import (
    CARD,
    CONFIG,
    DISCRIMINATOR,
    FILES,
    HISTORY,
    HISTORY_SHEET,
    MAX_CONFIG_BYTES,
    MAX_WEIGHT_BYTES,
    WEIGHTS,
    GeneratorFileError,
    read_generator_file,
)
from model.mistakes import install
from model.upscaling.upscaler_file import UPSCALER

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"  # its own client knows neither our time-out nor our bounds

try:
    import huggingface_hub
    from httpx2 import HTTPError
    from huggingface_hub import errors
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # it has them, but lazily
        build_hf_headers,
        hf_raise_for_status,
        tqdm,
    )
except ImportError:
    HAS_HUB = False
else:
    HAS_HUB = True

PREFIX = "hf:"
REPOSITORY = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[\w][\w./+-]{0,127}", re.ASCII)
NAME = re.compile(f"{PREFIX}({REPOSITORY.pattern})@({REVISION.pattern})", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
WANTED = "hf:owner/name@revision is wanted, where the revision is a commit's 40 hex digits or a tag"
TIMEOUT = 10.0  # seconds of silence
LIMITS = {
    CONFIG: MAX_CONFIG_BYTES,
    WEIGHTS: MAX_WEIGHT_BYTES,
    CARD: 2**20,
    DISCRIMINATOR: MAX_WEIGHT_BYTES,
    UPSCALER: MAX_WEIGHT_BYTES,
    HISTORY: 2**20,
    HISTORY_SHEET: 2**20,
}  # bytes
MAX_REFS_BYTES = 2**20


def fetch(name: str, *beside: str) -> Path:
    """Returns where a model folder of the Hub is, downloaded unless it is here already, with
    the files `beside` where it has them.

    Raises:
        GeneratorFileError: the name is malformed, the extra is not installed, the Hub does not
        answer, or it has no such repository, revision or file, or one that is too large.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise GeneratorFileError(f"{ascii(name)[1:-1][:200]}: {WANTED}")
    return _fetch(name, match[1], match[2], branches=False, beside=beside)


def fetch_newest(repository: str, revision: str = "main") -> Path:
    """Fetches, in the same way, what a commit, a tag or a branch names now.

    Raises:
        GeneratorFileError: as `fetch`.
    """
    if not (REPOSITORY.fullmatch(repository) and REVISION.fullmatch(revision)):
        raise GeneratorFileError(
            f"{ascii(repository)[1:-1][:200]}: owner/name is wanted, "
            "and for the revision a commit, a tag or a branch"
        )
    return _fetch(repository, repository, revision, branches=True)


def push(
    folder: Path,
    repository: str,
    *,
    private: bool = False,
    token: str | None = None,
    message: str | None = None,
) -> str:
    """Uploads a model folder, as it is, to a repository, which is made where there is none;
    returns the commit's address. Without a token, the one of HF_TOKEN or `hf auth login` is used.

    Raises:
        GeneratorFileError: the file is not sound, the extra is not installed, the Hub does not
        answer, or it refuses.
    """
    if not REPOSITORY.fullmatch(repository):
        raise GeneratorFileError(f"{ascii(repository)[1:-1][:200]}: owner/name is wanted")
    config = read_generator_file(folder).config
    _check_installed(repository)
    api = huggingface_hub.HfApi(token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message=message or f"Upload {config.id}",
        )
    except (HTTPError, OSError, ValueError) as error:
        raise GeneratorFileError(
            f"{repository}: cannot be uploaded ({_reason(error)}); a token that may write there is "
            "wanted, as HF_TOKEN or by `hf auth login`"
        ) from None
    return str(commit.commit_url)


def _check_installed(name: str) -> None:
    if not HAS_HUB:
        raise GeneratorFileError(f"{name}: needs the extra 'hub': {install('hub')}")


def _fetch(
    name: str, repository: str, revision: str, *, branches: bool, beside: tuple[str, ...] = ()
) -> Path:
    _check_installed(name)
    try:
        known = COMMIT.fullmatch(revision) is not None
        commit = revision if known else _commit(repository, revision, branches)
        for file in (CONFIG, WEIGHTS):
            path = _file(repository, commit, file)
        if _names_upscaler(path.parent / CONFIG):
            _file(repository, commit, UPSCALER)
        for file in (CARD, *beside):
            with suppress(errors.EntryNotFoundError):  # serving needs neither
                _file(repository, commit, file)
    except errors.RepositoryNotFoundError:
        raise GeneratorFileError(
            f"{name}: the Hub has no such repository, or shows it only to some (HF_TOKEN)"
        ) from None
    except errors.RevisionNotFoundError:
        raise GeneratorFileError(f"{name}: no such revision; {WANTED}") from None
    except errors.EntryNotFoundError as error:
        missing = next((file for file in LIMITS if file in str(error)), "a file")
        raise GeneratorFileError(f"{name}: {missing} is not in the repository") from None
    except _RefusedError as error:
        raise GeneratorFileError(f"{name}: {error}") from None
    except (HTTPError, OSError, ValueError) as error:
        raise GeneratorFileError(f"{name}: cannot be downloaded ({_reason(error)})") from None
    return path.parent


def _names_upscaler(path: Path) -> bool:
    """Tells whether a config names an upscaler; of one that is not valid, reading it will tell."""
    try:
        return json.loads(path.read_bytes())["upscaler"] is not None
    except (ValueError, KeyError, TypeError):
        return False


class _RefusedError(Exception):
    """What the Hub offers is not taken; the message says why."""


def _commit(repository: str, name: str, branches: bool) -> str:
    """Looks up the commit that a tag, or a branch where `branches` allows one, names now."""
    content = bytearray()
    address = f"{huggingface_hub.constants.ENDPOINT}/api/models/{repository}/refs"
    session = huggingface_hub.get_session()
    headers = build_hf_headers(token=_token())
    with session.stream("GET", address, headers=headers, timeout=TIMEOUT) as answer:
        if answer.status_code >= 400:
            answer.read()
        hf_raise_for_status(answer)
        for part in answer.iter_bytes():
            content += part
            if len(content) > MAX_REFS_BYTES:
                raise _RefusedError("its list of tags is too long; name a commit")
    try:
        refs = json.loads(content)
        known = {ref["name"]: ref["targetCommit"] for ref in refs["tags"]}
        if branches:
            known = {ref["name"]: ref["targetCommit"] for ref in refs["branches"]} | known
    except (KeyError, TypeError) as error:
        raise ValueError("its list of tags cannot be read") from error
    commit = known.get(name)
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        if branches:
            raise _RefusedError(f"it has neither a tag nor a branch {name}")
        raise _RefusedError(f"it has no tag {name}; {WANTED}, never a branch")
    return commit


def _file(repository: str, commit: str, file: str) -> Path:
    kept = huggingface_hub.try_to_load_from_cache(repository, file, revision=commit)
    if isinstance(kept, str):
        return Path(kept)
    address = huggingface_hub.hf_hub_url(repository, file, revision=commit)
    told = huggingface_hub.get_hf_file_metadata(address, token=_token(), timeout=TIMEOUT)
    if told.commit_hash != commit or told.size is None:
        raise _RefusedError(f"the Hub does not tell the commit and size of {file}")
    if told.size > LIMITS[file]:
        raise _RefusedError(
            f"{file} has {told.size:,} bytes, more than the {LIMITS[file]:,} allowed"
        )
    path = huggingface_hub.hf_hub_download(
        repository,
        file,
        revision=commit,
        token=_token(),
        etag_timeout=TIMEOUT,
        tqdm_class=_Bounded,
    )
    return Path(path)


def _token() -> str | bool:
    return os.environ.get("HF_TOKEN") or False  # none, not even one that the library has stored


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    status = f" {response.status_code}" if response is not None else ""
    return f"{type(error).__name__}{status}"


if HAS_HUB:

    class _Bounded(tqdm):
        """A progress bar that is not shown: it stops a download that exceeds the limit."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options | {"disable": True})  # type: ignore[no-untyped-call]
            self._room = MAX_WEIGHT_BYTES

        def update(self, n: float | None = 1) -> bool | None:
            self._room -= int(n or 0)
            if self._room < 0:
                raise _RefusedError("a file is longer than the Hub has told, and than is allowed")
            return None
