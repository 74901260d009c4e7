"""From the name of a dictionary to local files: a path, a name in the catalog, or a repository on the hub.

Downloads are huggingface_hub's: its cache, its progress bars, its token, its offline mode. Only the file with the
weights and the configs beside it are fetched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from steerkit import embedded
from steerkit.dictionaries.catalog import lookup, suggestion
from steerkit.dictionaries.files import SUFFIXES
from steerkit.errors import DictionaryError

# The weights of a dictionary that is a folder, by the name its publisher gives them; else the one tensor file there.
WEIGHTS = (
    "params.npz",
    "params.safetensors",
    "sae_weights.safetensors",
    "sae.safetensors",
    "ae.pt",
    "weight.pt",
    "checkpoints/final.safetensors",
)
BESIDE = (
    "cfg.json",
    "config.json",
    "config.yaml",
    "hyperparams.json",
    "lm_config.json",
    "metadata.jsonl",
)
# huggingface_hub's HTTP client has changed, and with it the class that its errors of transport share.
_HTTPError: type[Exception] = HfHubHTTPError.__bases__[0]


@dataclass(frozen=True)
class Located:
    """Local files of a dictionary.

    Attributes:
        path: The file with its weights, or the folder that holds them and their config.
        repo: The repository that it came from; None for local ones.
        revision: The commit of that repository.
        format: Name of its format, if the catalog knows it.
        hints: What its reader has to be told.
    """

    path: Path
    repo: str | None = None
    revision: str | None = None
    format: str | None = None
    hints: dict[str, Any] = field(default_factory=dict)


def locate(name: str | os.PathLike[str], *, revision: str | None = None) -> Located:
    """Find a dictionary, and fetch it if it is not here yet.

    Args:
        name: A file or folder; `storybook/` and a site; a name in the catalog; or a repository on the hub, with or
            without a path in it
            (`org/name/folder`).
        revision: Branch, tag or commit of a repository; its main branch if None.

    Raises:
        DictionaryError: There is none, it may not be had, or its download failed.
    """
    if not isinstance(name, str | os.PathLike):
        raise DictionaryError(
            f"{name!r} is no dictionary. Give a name in the catalog or on the hub, a file or a folder."
        )
    name = os.fspath(name)
    path = embedded.find(name) or Path(name).expanduser()
    if name and path.exists():
        return Located(path)
    if path.is_absolute() or name.startswith((".", "~")):
        raise DictionaryError(f"There is no file or folder '{name}'. Check the path.")
    entry = lookup(name)
    if entry is None:
        repo, inside = _split(name)
        return _fetch(repo, inside, revision)
    if entry.repo.startswith("https://"):
        raise DictionaryError(
            f"'{entry.name}' is not on the Hugging Face hub. Download {entry.source} (with a browser, curl or wget), "
            f"and load that file with format='{entry.format}', site='{entry.site_in}'."
        )
    found = _fetch(entry.repo, entry.path, revision)
    return Located(found.path, found.repo, found.revision, entry.format, entry.hints)


def _split(name: str) -> tuple[str, str]:
    parts = name.removesuffix("/").split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise DictionaryError(f"{name!r} is no name of a dictionary: it may have no empty parts, '.', '..' or '\\'.")
    if len(parts) < 2:
        own = f"{embedded.NAME}/{parts[0]}"
        hint = f"Did you mean {own!r}?" if own in embedded.dictionaries(embedded.NAME) else suggestion(name)
        raise DictionaryError(
            f"{name!r} is no file or folder here, not in the catalog, and no repository (org/name). {hint}"
        )
    return "/".join(parts[:2]), "/".join(parts[2:])


def _fetch(repo: str, inside: str, revision: str | None) -> Located:
    with _explained(repo, inside, revision):
        names = _listing(repo, revision)
        weights, *configs = _wanted(names, repo, inside)
        # The first by the revision's own name, so that the cache knows later, offline, which commit that was.
        file = Path(hf_hub_download(repo, weights, revision=revision))
        root = file.parents[len(PurePosixPath(weights).parts) - 1]
        for config in configs:
            hf_hub_download(repo, config, revision=root.name)
    return Located(root / inside, repo, root.name)


def _listing(repo: str, revision: str | None) -> list[str]:
    """Files of a repository; those in the cache where the hub is not to be reached."""
    try:
        return [file.rfilename for file in HfApi().model_info(repo, revision=revision).siblings or ()]
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        raise
    except (OfflineModeIsEnabled, _HTTPError) as error:
        try:
            root = Path(snapshot_download(repo, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            raise error from None
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def _wanted(names: list[str], repo: str, inside: str) -> list[str]:
    """The file with the weights, then the configs beside it."""
    if inside in names:
        weights, folders = inside, [_parent(inside)]
        if folders[0].endswith("checkpoints"):  # of a run, whose config lies above
            folders.append(_parent(folders[0]))
    else:
        usual = [_join(inside, file) for file in WEIGHTS]
        found = [name for name in usual if name in names]
        found = found or [name for name in names if _parent(name) == inside and name.endswith(SUFFIXES)]
        if not found or (len(found) > 1 and found[0] not in usual):
            raise DictionaryError(_what_is_there(names, repo, inside))
        weights, folders = found[0], [inside]
    configs = [_join(folder, file) for folder in folders for file in BESIDE]
    configs.append(f"{weights.rpartition('.')[0]}_cfg.json")
    if weights.endswith("_weight.pt"):  # of AxBench's runs
        configs.append(f"{weights.removesuffix('weight.pt')}bias.pt")
    return [weights, *(name for name in configs if name in names)]


def _what_is_there(names: list[str], repo: str, inside: str) -> str:
    folder = inside
    while folder and not any(name.startswith(f"{folder}/") for name in names):
        folder = _parent(folder)
    problem = f"{repo} has no '{inside}'" if folder != inside else f"{_join(repo, inside)} is not one dictionary"
    start = f"{folder}/" if folder else ""
    below = [name.removeprefix(start).partition("/") for name in sorted(names) if name.startswith(start)]
    there = list(dict.fromkeys(first + slash for first, slash, _ in below))
    shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    return f"{problem}. {_join(repo, folder)} has: {shown or 'no files'}. Give the path of one dictionary in it."


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _join(*parts: str) -> str:
    return "/".join(filter(None, parts))


@contextmanager
def _explained(repo: str, inside: str, revision: str | None) -> Iterator[None]:
    """Say what to do about each way in which the hub refuses."""
    try:
        yield
    except GatedRepoError as error:
        raise DictionaryError(
            f"{repo} is gated: its publisher wants its licence accepted. Do so at https://huggingface.co/{repo}, run "
            "`hf auth login` once (or set HF_TOKEN), and try again."
        ) from error
    except RevisionNotFoundError as error:
        raise DictionaryError(
            f"{repo} has no revision '{revision}'. Give a branch, a tag or a commit of it."
        ) from error
    except RepositoryNotFoundError as error:
        raise DictionaryError(
            f"There is no repository '{repo}' on the hub, or it is private and `hf auth login` was not run. "
            f"{suggestion(f'{repo}/{inside}')}"
        ) from error
    except HFValidationError as error:
        raise DictionaryError(f"'{repo}' is no name of a repository: {error}") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise DictionaryError(
            f"{_join(repo, inside)} is not in the cache, and the hub cannot be reached or HF_HUB_OFFLINE is set. "
            "Load it once with a connection; after that it works without."
        ) from error
    except EntryNotFoundError as error:
        raise DictionaryError(
            f"{repo} listed a file that it does not give: {_first_line(error)}. Try again."
        ) from error
    except (OSError, _HTTPError) as error:
        raise DictionaryError(
            f"The download of {_join(repo, inside)} failed: {_first_line(error)}. Nothing of it was kept. Try again."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
