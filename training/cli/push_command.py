"""``varda-train push``: a checkpoint to a Hugging Face hub, with the code of its model, its card and its licence."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from training.model_card_metadata import CARD, LICENCE, read_card
from varda_chat.errors import CheckpointError, VardaError
from varda_chat.models.adapters import KNOWN_REPLIES, MEMORY, base_needed
from varda_chat.models.checkpoint import WEIGHTS
from varda_chat.models.export import export

_OF_ADAPTER = ("adapter_*", MEMORY, KNOWN_REPLIES, "*config.json", "tokenizer.json", "*.jinja", CARD, f"{LICENCE}*")


def push(directory: Path, repository: str, *, private: bool | None, message: str | None) -> tuple[str, tuple[str, ...]]:
    """Commit the checkpoint in ``directory`` to ``repository``, made where there is none; returns the commit's address
    and the names of the files. A complete model is pushed with its code; an adapter is pushed as it is.

    private: of a new repository; None for the hub's default. Raises VardaError, OSError.
    """
    check(directory)
    with tempfile.TemporaryDirectory(prefix="varda-push-") as scratch:
        staged = Path(scratch) / "model"
        files = _stage(directory, staged)
        return _commit(staged, repository, private, message or f"Upload {directory.resolve().name}"), files


def check(directory: Path) -> None:
    """Raise VardaError where ``directory`` holds no checkpoint of ours, or one without weights, card or licence."""
    weights = WEIGHTS if base_needed(directory) is None else MEMORY
    if not (directory / weights).is_file():
        raise CheckpointError(f"{directory} holds no finished checkpoint: {weights} is missing.")
    data = read_card(directory).data
    if not data.license:
        raise VardaError(f"The model card of {directory} names no license.")
    if data.license == "other" and not (data.license_name and data.license_link):
        raise VardaError(f"The model card of {directory} has license: other, without license_name and license_link.")
    if data.license_link in (LICENCE, f"{LICENCE}.md") and not (directory / data.license_link).is_file():
        raise VardaError(f"The model card of {directory} names a license file that is missing: {data.license_link}.")


def _stage(directory: Path, staged: Path) -> tuple[str, ...]:
    if base_needed(directory) is None:
        return export(directory, staged)
    staged.mkdir()
    for pattern in _OF_ADAPTER:
        for file in directory.glob(pattern):
            shutil.copyfile(file, staged / file.name)
    return tuple(sorted(each.name for each in staged.iterdir()))


def _commit(staged: Path, repository: str, private: bool | None, message: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.errors import HTTPError as RequestError  # type: ignore[attr-defined]  # of its HTTP library

    api = HfApi()
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        done: Any = api.upload_folder(repo_id=made.repo_id, folder_path=staged, commit_message=message)
    except HFValidationError as error:
        raise VardaError(f"{repository} is no name of a repository: OWNER/NAME is.") from error
    except OfflineModeIsEnabled as error:
        raise VardaError("The hub is not asked while HF_HUB_OFFLINE is set.") from error
    except HfHubHTTPError as error:
        raise VardaError(_refused(api.endpoint, repository, error.response.status_code, str(error))) from error
    except RequestError as error:
        raise VardaError(f"The hub at {api.endpoint} cannot be reached: {error}.") from error
    except ValueError as error:  # metadata that the hub does not accept
        raise VardaError(" ".join(str(error).split())) from error
    return str(done.commit_url)


def _refused(hub: str, repository: str, status: int, said: str) -> str:
    if status == 401:
        return f"{hub} asks who you are: log in with `hf auth login`, or set HF_TOKEN to a token that may write."
    if status == 403:
        return f"{hub} does not let this token write to {repository}."
    return f"{hub} refused {repository}: {' '.join(said.split())[:300]}"
