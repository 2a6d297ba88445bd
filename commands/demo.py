"""What `make run` shows: the example shop, one notification through the real API, and where to look next.

Where a channel has real providers, nothing goes out by itself, and nothing is offered that would reach made-up people.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.apply import add_missing
from commands.client import Api, open_api
from commands.errors import CommandError
from commands.people import add_missing_people
from commands.timeline import KIND_WIDTH
from config import Settings
from domain.channels import Channel
from embedded.runfile import RunInfo

WAIT_SECONDS = 30.0
SHOP = Path(__file__).resolve().parent.parent / "examples" / "shop"
SANDBOX = "sandbox"
# What order.shipped tries.
SHOP_CHANNELS = {Channel.PUSH, Channel.SMS, Channel.EMAIL}
ADA = "ada@example.com"
# The API refuses it until it is replaced.
BLANK = "YOUR ADDRESS"

SEND = {
    "notification_type": "welcome",
    "recipient": {"recipient_id": "ada", "email": ADA, "locale": "en"},
    "payload": {"name": "Ada"},
}
SHOP_HINTS = """The example shop in examples/shop is loaded. In another terminal:

  ./tocsin send order.shipped mia --payload '{"order": "A-1"}' --wait
  .venv/bin/python examples/shop/story.py
"""
REAL_HINTS = "The example shop in examples/shop is loaded. Its people are made up: send to yourself.\n"
CURL = """curl -X POST {url}/api/v1/notifications/send \\
  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"notification_type": "welcome", "payload": {{"name": "Ada"}},
       "recipient": {{"recipient_id": "ada", "email": "{email}"}}}}'"""


async def greet(settings: Settings, info: RunInfo) -> None:
    """People may have changed what the demo uses: then it says so, and everything runs all the same."""
    mailing = real_pools(settings).get(Channel.EMAIL)
    try:
        async with open_api(info.api_url, info.api_key) as api:
            await load_shop(api)
            story = await demonstrate(api) if mailing is None else [f"E-mail goes to {mailing}, so no demo was sent."]
    except CommandError as error:
        story = [f"The demo notification was not sent: {error}"]
    print(welcome(settings, info, story), flush=True)


async def load_shop(api: Api) -> None:
    """Once: a later `make run` finds what people made of it."""
    await add_missing(api, SHOP)
    await add_missing_people(api, SHOP / "recipients.yaml")


async def demonstrate(api: Api) -> list[str]:
    sent = await api.call("POST", "/notifications/send", SEND)
    return told(await api.settled(sent["id"], WAIT_SECONDS))


def told(shown: dict[str, Any]) -> list[str]:
    lines = [f"  {one['at']}  {one['kind']:<{KIND_WIDTH}} {one['channel'] or ''}".rstrip() for one in shown["timeline"]]
    why = f" ({shown['failure_reason']})" if shown["failure_reason"] else ""
    link = [f"  {shown['temporal_url']}"] if shown["temporal_url"] else []
    return [f"A notification was just sent and is {shown['status']}{why}:", *lines, *link]


def real_pools(settings: Settings) -> dict[Channel, str]:
    """Channels whose messages leave this machine, and by which providers."""
    pools = {channel: settings.pool(channel) for channel in Channel if channel is not Channel.IN_APP}
    return {channel: ", ".join(pool) for channel, pool in pools.items() if set(pool) - {SANDBOX}}


def welcome(settings: Settings, info: RunInfo, story: list[str]) -> str:
    real = real_pools(settings)
    return "\n".join(
        [
            "",
            "Tocsin is running. Ctrl-C stops it; the data stays.",
            "",
            f"  API docs     {info.api_url}/docs",
            *_outbox(settings, info),
            *([f"  Temporal UI  {info.temporal_ui_url}"] if info.temporal_ui_url else []),
            f"  Metrics      {' '.join([f'{info.api_url}/metrics', *info.worker_metrics_urls])}",
            f"  Dev key      {info.api_key}",
            *(f"  {channel:<12} {pool}" for channel, pool in real.items()),
            "",
            *story,
            "",
            REAL_HINTS if SHOP_CHANNELS & real.keys() else SHOP_HINTS,
            "Send one yourself:",
            "",
            CURL.format(url=info.api_url, key=info.api_key, email=BLANK if Channel.EMAIL in real else ADA),
            "",
        ]
    )


def _outbox(settings: Settings, info: RunInfo) -> Iterator[str]:
    """Not for channels that have real providers."""
    kept = [channel for channel in Channel if SANDBOX in settings.pool(channel)]
    if kept:
        which = "" if len(kept) == len(Channel) - 1 else f": {', '.join(kept)}"
        yield f"  Outbox       {info.api_url}/outbox      what the sandbox delivered{which}"
