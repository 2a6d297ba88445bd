"""Notifications by the end of their id, which is what `tocsin tail` has room for."""

from commands.client import Api
from commands.errors import CommandError

WHOLE = 36
# As many as `tail` shows at most.
NEWEST = 100


async def whole_id(api: Api, id: str) -> str:
    """The id as it is, else of the newest notifications the one that ends so."""
    if len(id) >= WHOLE:
        return id
    newest = (await api.get("/notifications", limit=NEWEST))["items"]
    found = [one["id"] for one in newest if one["id"].endswith(id.lower())]
    if not found:
        raise CommandError(f"no notification of the newest {NEWEST} ends in {id}; give its whole id")
    if len(found) > 1:
        raise CommandError(f"several notifications end in {id}: {', '.join(found)}")
    return str(found[0])
