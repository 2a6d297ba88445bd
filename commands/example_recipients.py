"""Load the example recipients of the demo from `recipients.yaml`. Real recipients do not belong in a repository."""

from pathlib import Path
from urllib.parse import quote

from commands.client import ApiClient
from commands.yaml_files import read_yaml
from domain.json_types import Json


async def add_missing_recipients(api: ApiClient, file: Path) -> None:
    """Add recipients that the server does not have. Others stay unchanged."""
    for recipient in read_yaml(file).value:
        path = f"/recipients/{quote(recipient['recipient_id'], safe='')}"
        if await api.get_or_none(path) is None:
            await _add_recipient(api, path, recipient)


async def _add_recipient(api: ApiClient, path: str, recipient: Json) -> None:
    separate_fields = ("recipient_id", "devices", "preferences")
    await api.call("PUT", path, {name: value for name, value in recipient.items() if name not in separate_fields})
    for device, registration in recipient.get("devices", {}).items():
        await api.call("PUT", f"{path}/devices/{quote(device, safe='')}", registration)
    if "preferences" in recipient:
        await api.call("PUT", f"{path}/preferences", recipient["preferences"])
