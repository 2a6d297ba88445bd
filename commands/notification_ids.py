"""Resolve a notification from the last characters of its id, which is all that `tocsin tail` shows."""

from commands.client import ApiClient
from commands.errors import CommandError

ID_LENGTH = 36
# The maximum of `tail`.
SEARCHED_COUNT = 100


async def resolve_id(api: ApiClient, id: str) -> str:
    """Return a complete id unchanged. Otherwise find the one recent notification whose id ends with it."""
    if len(id) >= ID_LENGTH:
        return id
    newest = (await api.get("/notifications", limit=SEARCHED_COUNT))["items"]
    found = [one["id"] for one in newest if one["id"].endswith(id.lower())]
    if not found:
        raise CommandError(
            f"none of the newest {SEARCHED_COUNT} notifications has an id that ends in {id}; give the complete id"
        )
    if len(found) > 1:
        raise CommandError(f"several notifications end in {id}: {', '.join(found)}")
    return str(found[0])
