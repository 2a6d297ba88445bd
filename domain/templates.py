"""Define template versions as values, and which version a rollback publishes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.channels import Channel


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateVersion:
    """Hold an immutable version: a change is a new version with a new id."""

    id: UUID
    name: str
    channel: Channel
    language: str
    version: int
    subject_template: str | None = None
    body_template: str
    text_template: str | None = None
    push: dict[str, Any] | None = None
    variables_schema: dict[str, Any] = field(default_factory=dict)


def version_before(published: Iterable[int]) -> int | None:
    """Return the version to roll back to, given all published ones, oldest first; None if there is none.

    A rollback undoes a publication, so that two rollbacks go back two versions.
    """
    history: list[int] = []
    for version in published:
        if history[-2:-1] == [version]:
            history.pop()
        elif history[-1:] != [version]:
            history.append(version)
    return history[-2] if len(history) > 1 else None
