"""Models of tenants, for keys of the installation's own tenant."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.schemas.base import Key, Model, ShortText, Text, Timestamp
from api.schemas.contact import ascii_email
from domain.json_types import Json


def _check_domain(value: str) -> str:
    """Return the domain in lower-case ASCII."""
    _, _, domain = (ascii_email(f"name@{value}") or "").rpartition("@")
    if not domain:
        raise ValueError("must be a domain, such as acme.example")
    return domain.lower()


Domain = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_check_domain)]
EXAMPLE: Json = {"key": "acme", "name": "Acme Corporation"}


class TenantBody(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    key: Annotated[Key, Field(description="Name of the tenant in paths and commands. It cannot be changed.")]
    name: Annotated[ShortText | None, Field(description="By default the key.")] = None


class SuspensionBody(Model):
    reason: Annotated[Text | None, Field(description="Shown in the list of tenants and in the audit log.")] = None


class EmailDomainsBody(Model):
    """The domains replace the former ones. An address in another domain is not used from then on."""

    model_config = {"json_schema_extra": {"examples": [{"email_domains": ["acme.example", "mail.acme.example"]}]}}

    email_domains: Annotated[list[Domain], Field(max_length=100)]


class TenantView(Model):
    """`installation`: this is the installation's own tenant. `suspended_at` is null unless the tenant is suspended."""

    key: str
    name: str
    default_language: str
    installation: bool
    email_domains: list[str]
    created_at: Timestamp
    suspended_at: Timestamp | None
    suspension_reason: str | None
