"""The one place where payloads and content become what the database keeps, and back.

Kept as they are today; sealing them with a person's key is added here and nowhere else. Values are sealed one by
one under their top-level names, so that `{"email": …} || {"phone": …}` merges in SQL. Secrets are encrypted by
`storage/encryption.py`.
"""

from typing import Any

Json = dict[str, Any]


def seal(value: Json) -> Json:
    return value


def unseal(value: Json) -> Json:
    return value
