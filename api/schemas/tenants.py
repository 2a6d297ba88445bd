"""Tenants, as keys of the installation's own tenant see them."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Json, Key, Model, ShortText, Text, Timestamp

EXAMPLE: Json = {"key": "acme", "name": "Acme Corporation"}


class TenantBody(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    key: Annotated[Key, Field(description="Names the tenant in paths and commands; it cannot be changed.")]
    name: Annotated[ShortText | None, Field(description="The key, unless given.")] = None


class SuspensionBody(Model):
    reason: Annotated[Text | None, Field(description="Shown in the list of tenants and in the audit log.")] = None


class TenantView(Model):
    """`installation`: the operator's own tenant. `suspended_at` is null unless the tenant is suspended."""

    key: str
    name: str
    default_language: str
    installation: bool
    created_at: Timestamp
    suspended_at: Timestamp | None
    suspension_reason: str | None
