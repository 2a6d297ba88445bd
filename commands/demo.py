"""What `make run` shows: the example shop, one notification through the real API, and where to look next."""

from pathlib import Path
from typing import Any

from commands.apply import add_missing
from commands.client import Api, open_api
from commands.errors import CommandError
from commands.people import add_missing_people
from embedded.runfile import RunInfo

WAIT_SECONDS = 30.0
SHOP = Path(__file__).resolve().parent.parent / "examples" / "shop"

SEND = {
    "notification_type": "welcome",
    "recipient": {"recipient_id": "ada", "email": "ada@example.com", "locale": "en"},
    "payload": {"name": "Ada"},
}
CURL = """curl -X POST {url}/api/v1/notifications/send \\
  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"notification_type": "welcome", "payload": {{"name": "Ada"}},
       "recipient": {{"recipient_id": "ada", "email": "ada@example.com"}}}}'"""


async def greet(info: RunInfo) -> None:
    """People may have changed what the demo uses: then it says so, and everything runs all the same."""
    try:
        async with open_api(info.api_url, info.api_key) as api:
            await load_shop(api)
            sent = await api.call("POST", "/notifications/send", SEND)
            story = told(await api.settled(sent["id"], WAIT_SECONDS))
    except CommandError as error:
        story = [f"The demo notification was not sent: {error}"]
    print(welcome(info, story), flush=True)


async def load_shop(api: Api) -> None:
    """Once: a later `make run` finds what people made of it."""
    await add_missing(api, SHOP)
    await add_missing_people(api, SHOP / "recipients.yaml")


def told(shown: dict[str, Any]) -> list[str]:
    lines = [f"  {entry['at']}  {entry['kind']:<10} {entry['channel'] or ''}" for entry in shown["timeline"]]
    return [f"A notification was just sent and is {shown['status']}:", *lines, f"  {shown['temporal_url']}"]


def welcome(info: RunInfo, story: list[str]) -> str:
    return "\n".join(
        [
            "",
            "Tocsin is running. Ctrl-C stops it; the data stays.",
            "",
            f"  API docs     {info.api_url}/docs",
            f"  Outbox       {info.api_url}/outbox      what the sandbox delivered",
            f"  Temporal UI  {info.temporal_ui_url}",
            f"  Dev key      {info.api_key}",
            "",
            *story,
            "",
            "The example shop in examples/shop is loaded. In another terminal:",
            "",
            '  ./tocsin send order.shipped mia --payload \'{"order": "A-1"}\' --wait',
            "  .venv/bin/python examples/shop/story.py",
            "",
            "Send one yourself:",
            "",
            CURL.format(url=info.api_url, key=info.api_key),
            "",
        ]
    )
