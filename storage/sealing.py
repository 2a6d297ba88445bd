"""The one place where payloads, content and addresses become what the database keeps, and back.

Kept as they are today; sealing them with a person's key is added here and nowhere else. Values are sealed one by
one under their top-level names, so that `{"email": …} || {"phone": …}` merges in SQL.
"""

import hashlib
from typing import Any
from uuid import UUID

Json = dict[str, Any]


def seal(value: Json) -> Json:
    return value


def unseal(value: Json) -> Json:
    return value


def address_key(tenant: UUID, contact: str, value: str) -> str:
    """By what the suppression list knows an address: the same one of the same tenant gives the same key, and a list
    of keys names nobody. `contact` is `email` or `phone`; the case of an e-mail address does not matter."""
    plain = value.lower() if contact == "email" else value
    return hashlib.sha256(f"{tenant}:{contact}:{plain}".encode()).hexdigest()


def address_keys(tenant: UUID, contact: Json) -> Json:
    """Of the addresses that are named; None for one that is named to be cleared."""
    named = [name for name in ("email", "phone") if name in contact]
    return {name: address_key(tenant, name, contact[name]) if contact[name] else None for name in named}
