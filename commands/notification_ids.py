"""Notifications by the end of their id, which is what `tocsin tail` has room for."""

from commands.client import ApiClient
from commands.errors import CommandError

ID_LENGTH = 36
# As many as `tail` shows at most.
SEARCHED_COUNT = 100


async def resolve_id(api: ApiClient, id: str) -> str:
    """The id as it is, else of the newest notifications the one that ends so."""
    if len(id) >= ID_LENGTH:
        return id
    newest = (await api.get("/notifications", limit=SEARCHED_COUNT))["items"]
    found = [one["id"] for one in newest if one["id"].endswith(id.lower())]
    if not found:
        raise CommandError(f"no notification of the newest {SEARCHED_COUNT} ends in {id}; give its whole id")
    if len(found) > 1:
        raise CommandError(f"several notifications end in {id}: {', '.join(found)}")
    return str(found[0])
