"""Base model of all tables of a policy. Used by `model` and `permissions`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from phasegate.infra.described import DescribedModel
from phasegate.infra.documents.globs import require_glob
from phasegate.infra.policy.units import parse_duration, parse_size

Path = tuple[str | int, ...]
"""Place of a key: names, and positions in arrays."""
Problem = tuple[Path, str]
"""The key to change, and what is wrong with it."""
Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0))]
ByteSize = Annotated[int, BeforeValidator(parse_size), Field(ge=1)]
SizeOrNone = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
"""As `ByteSize`, with 0 for no limit."""


def _url_path(path: str) -> str:
    if not path.startswith("/") or any(character.isspace() or character == "#" for character in path):
        raise ValueError("must be a path like /healthz: a slash first, no spaces, no #")
    return path


UrlPath = Annotated[str, AfterValidator(_url_path)]


def _repository_path(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("must be a path inside the repository")
    return path


RepositoryPath = Annotated[str, AfterValidator(_repository_path)]
GlobPattern = Annotated[str, AfterValidator(require_glob)]
"""Pattern of files, relative to the repository's root."""


class PolicyModel(DescribedModel):
    """A table of `phasegate.toml`: no unknown keys, every attribute's docstring in the schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
