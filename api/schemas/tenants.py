"""Models of tenants, for keys of the installation's own tenant."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Key, Model, ShortText, Text, Timestamp
from domain.json_types import Json

EXAMPLE: Json = {"key": "acme", "name": "Acme Corporation"}


class TenantBody(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    key: Annotated[Key, Field(description="Name of the tenant in paths and commands. It cannot be changed.")]
    name: Annotated[ShortText | None, Field(description="By default the key.")] = None


class SuspensionBody(Model):
    reason: Annotated[Text | None, Field(description="Shown in the list of tenants and in the audit log.")] = None


class TenantView(Model):
    """`installation`: this is the installation's own tenant. `suspended_at` is null unless the tenant is suspended."""

    key: str
    name: str
    default_language: str
    installation: bool
    created_at: Timestamp
    suspended_at: Timestamp | None
    suspension_reason: str | None
