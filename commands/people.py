"""People to try things out with, from a `recipients.yaml`, for the demo. Real people belong in no repository."""

from pathlib import Path
from urllib.parse import quote

from commands.client import Api, Json
from commands.yaml_files import read_yaml


async def add_missing_people(api: Api, file: Path) -> None:
    """Whom the server knows stays as they are."""
    for person in read_yaml(file).value:
        path = f"/recipients/{quote(person['recipient_id'], safe='')}"
        if await api.find(path) is None:
            await _add(api, path, person)


async def _add(api: Api, path: str, person: Json) -> None:
    beside = ("recipient_id", "devices", "preferences")
    await api.call("PUT", path, {name: value for name, value in person.items() if name not in beside})
    for device, registration in person.get("devices", {}).items():
        await api.call("PUT", f"{path}/devices/{quote(device, safe='')}", registration)
    if "preferences" in person:
        await api.call("PUT", f"{path}/preferences", person["preferences"])
