"""Trained models on the Hugging Face Hub, through ``huggingface_hub`` where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.cluster.proxies import avoid_proxies
from metaray.platform.common.errors import first_line
from metaray.platform.inference.saved import load_saved
from metaray.platform.run.saved_model_directory import SavedModelDirectory

if TYPE_CHECKING:
    from metaray.platform.inference.adapted_model import AdaptedModel
    from metaray.platform.inference.learner import Learner

_READ = ["*.safetensors", "config.json"]
"""what a model is loaded from: nothing of it can run code"""

_ASKS = {"huggingface_hub", "httpx", "httpx2", "requests"}
"""packages whose errors say that a hub refuses or does not answer; which it is depends on the
version of huggingface_hub"""


def push_to_hub(
    folder: str | Path,
    repo: str,
    *,
    private: bool = True,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Upload a saved model (``mr.export``, ``model.save``) to the Hugging Face Hub.

    Args:
        folder: of the saved model; its ``README.md`` becomes the model card.
        repo: name of the repository, as ``user/name``; it is made where there is none.
        private: whether a new repository can be seen by its owner alone.
        token: of the Hub; None: the one that ``hf auth login`` has stored.
        endpoint: address of another hub.

    Returns:
        The address of the commit.

    Raises:
        InputError: the folder holds no saved model, ``huggingface_hub`` is not installed, or the
            hub refuses or does not answer.
    """
    place = SavedModelDirectory.open(user_path(folder)).path
    with _asking(repo, endpoint) as hub:
        api = hub.HfApi(endpoint=endpoint, token=token)
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=place, commit_message="Model of metaray"
        )
    return str(commit.commit_url)


def from_pretrained(
    repo: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Learner | AdaptedModel:
    """A saved model of the Hugging Face Hub; downloaded once, into the cache of the Hub.

    Args:
        repo: name of the repository, as ``user/name``.
        revision: branch, tag or commit; None: the newest. A commit always gives the same model.
        token: of the Hub; None: the one that ``hf auth login`` has stored.
        endpoint: address of another hub.

    Raises:
        InputError: there is no such repository or model in it, ``huggingface_hub`` is not
            installed, or the hub refuses or does not answer.
    """
    with _asking(repo, endpoint) as hub:
        folder = hub.snapshot_download(
            repo, revision=revision, token=token, endpoint=endpoint, allow_patterns=_READ
        )
    if not (Path(folder) / SavedModelDirectory.MARKER).is_file():
        raise InputError(
            f"{repo} holds no model of metaray: mr.push_to_hub uploads one, from a folder that "
            "mr.export wrote"
        )
    return load_saved(Path(folder))


@contextmanager
def _asking(repo: str, endpoint: str | None) -> Iterator[Any]:
    """The package ``huggingface_hub``; what it raises becomes a sentence."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise InputError(
            "models on the Hugging Face Hub need another package: pip install 'metaray[hub]'"
        ) from None
    if endpoint is not None:
        avoid_proxies(urlsplit(endpoint).hostname)
    try:
        yield huggingface_hub
    except HFValidationError as error:
        raise InputError(f"{repo!r} is no name of a repository ({first_line(error)})") from None
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _ASKS:
            raise
        raise InputError(
            f"the hub does not give or take {repo} ({first_line(error)}): check the name, the "
            "token (hf auth login) and the network"
        ) from None
