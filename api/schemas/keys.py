"""Models of API keys. Only the response of a creation contains the key itself."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from api.schemas.base import Duration, Id, Model, ShortText, Timestamp
from domain.durations import parse_duration
from domain.json_types import Json

EXAMPLE: Json = {"name": "backend", "scopes": ["send", "read"], "expires_in": "90d"}
ROTATION_EXAMPLE: Json = {"overlap": "1d"}
MAX_OVERLAP = "30d"
EXAMPLE_KEY = "tk_production_Zm9yIHRoZSBkb2N1bWVudGF0aW9uIG9ubHksIG5vIGtleQ"


def _check_unique_scopes(scopes: list[str]) -> list[str]:
    if len(set(scopes)) != len(scopes):
        raise ValueError("names a scope twice")
    return scopes


def _check_overlap(value: str) -> str:
    if parse_duration(value) > parse_duration(MAX_OVERLAP):
        raise ValueError(f"must be at most {MAX_OVERLAP}")
    return value


ScopeName = Literal["send", "read", "manage", "operate"]
Scopes = Annotated[
    list[ScopeName],
    Field(min_length=1, max_length=4, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_check_unique_scopes),
]
KeyLifetime = Annotated[
    Duration | None, Field(description="How long the key is valid. By default until it is revoked.")
]


class KeyStatus(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyBody(Model):
    """A key can have only scopes that the caller's key has, and `operate` only in the installation's own tenant."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    name: Annotated[ShortText, Field(description="Purpose of the key, shown in the list and in the audit log.")]
    scopes: Scopes
    expires_in: KeyLifetime = None


class RotateBody(Model):
    model_config = {"json_schema_extra": {"examples": [ROTATION_EXAMPLE]}}

    overlap: Annotated[
        Duration | None,
        AfterValidator(lambda value: None if value is None else _check_overlap(value)),
        Field(description=f"How long the former key stays valid, at most {MAX_OVERLAP}. Null ends it at once."),
    ] = "1d"
    expires_in: Annotated[
        Duration | None, Field(description="Lifetime of the new key. By default that of the former key.")
    ] = None


class KeyView(Model):
    """`prefix` is the beginning of the key. `last_used_at` is exact to a minute. `replaces` is the key that was rotated
    into this one."""

    id: Id
    name: str
    prefix: str
    scopes: list[str]
    status: KeyStatus
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    revoked_at: Timestamp | None
    replaces: Id | None


class CreatedKey(KeyView):
    key: Annotated[str, Field(description="The key itself. Not shown again.", examples=[EXAMPLE_KEY])]


class RotatedKey(CreatedKey):
    previous_expires_at: Annotated[Timestamp, Field(description="When the former key expires.")]


def parse_optional_duration(value: str | None) -> timedelta | None:
    return None if value is None else parse_duration(value)
