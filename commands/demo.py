"""What `make run` shows: the example shop, one notification through the real API, and where to look next.

Where a channel has real providers, nothing goes out by itself, and nothing is offered that would reach made-up people.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.apply import add_missing
from commands.client import ApiClient, open_api
from commands.errors import CommandError
from commands.example_recipients import add_missing_recipients
from commands.timeline import ENTRY_WIDTH
from config import Settings
from domain.channels import Channel
from embedded.runfile import RunInfo

WAIT_SECONDS = 30.0
SHOP_DIR = Path(__file__).resolve().parent.parent / "examples" / "shop"
SANDBOX = "sandbox"
# What order.shipped tries.
SHOP_CHANNELS = {Channel.PUSH, Channel.SMS, Channel.EMAIL}
DEMO_EMAIL = "ada@example.com"
# The API refuses it until it is replaced.
EMAIL_PLACEHOLDER = "YOUR ADDRESS"

DEMO_SEND = {
    "notification_type": "welcome",
    "recipient": {"recipient_id": "ada", "email": DEMO_EMAIL, "locale": "en"},
    "payload": {"name": "Ada"},
}
SHOP_HINTS = """The example shop in examples/shop is loaded. In another terminal:

  ./tocsin send order.shipped mia --payload '{"order": "A-1"}' --wait
  .venv/bin/python examples/shop/walkthrough.py
"""
REAL_PROVIDER_HINTS = "The example shop in examples/shop is loaded. Its people are made up: send to yourself.\n"
CURL_EXAMPLE = """curl -X POST {url}/api/v1/notifications/send \\
  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"notification_type": "welcome", "payload": {{"name": "Ada"}},
       "recipient": {{"recipient_id": "ada", "email": "{email}"}}}}'"""


async def print_welcome(settings: Settings, info: RunInfo) -> None:
    """People may have changed what the demo uses: then it says so, and everything runs all the same."""
    email_providers = real_pools(settings).get(Channel.EMAIL)
    try:
        async with open_api(info.api_url, info.api_key) as api:
            await load_shop(api)
            demo_lines = (
                await send_demo(api)
                if email_providers is None
                else [f"E-mail goes to {email_providers}, so no demo was sent."]
            )
    except CommandError as error:
        demo_lines = [f"The demo notification was not sent: {error}"]
    print(welcome_text(settings, info, demo_lines), flush=True)


async def load_shop(api: ApiClient) -> None:
    """Once: a later `make run` finds what people made of it."""
    await add_missing(api, SHOP_DIR)
    await add_missing_recipients(api, SHOP_DIR / "recipients.yaml")


async def send_demo(api: ApiClient) -> list[str]:
    sent = await api.call("POST", "/notifications/send", DEMO_SEND)
    return describe_result(await api.wait_until_final(sent["id"], WAIT_SECONDS))


def describe_result(notification: dict[str, Any]) -> list[str]:
    lines = [
        f"  {one['at']}  {one['kind']:<{ENTRY_WIDTH}} {one['channel'] or ''}".rstrip()
        for one in notification["timeline"]
    ]
    reason = f" ({notification['failure_reason']})" if notification["failure_reason"] else ""
    link = [f"  {notification['temporal_url']}"] if notification["temporal_url"] else []
    return [f"A notification was just sent and is {notification['status']}{reason}:", *lines, *link]


def real_pools(settings: Settings) -> dict[Channel, str]:
    """Channels whose messages leave this machine, and by which providers."""
    pools = {channel: settings.pool(channel) for channel in Channel if channel is not Channel.IN_APP}
    return {channel: ", ".join(pool) for channel, pool in pools.items() if set(pool) - {SANDBOX}}


def welcome_text(settings: Settings, info: RunInfo, demo_lines: list[str]) -> str:
    real = real_pools(settings)
    return "\n".join(
        [
            "",
            "Tocsin is running. Ctrl-C stops it; the data stays.",
            "",
            f"  API docs     {info.api_url}/docs",
            *_outbox_lines(settings, info),
            *([f"  Temporal UI  {info.temporal_ui_url}"] if info.temporal_ui_url else []),
            f"  Metrics      {' '.join([f'{info.api_url}/metrics', *info.worker_metrics_urls])}",
            f"  Dev key      {info.api_key}",
            *(f"  {channel:<12} {pool}" for channel, pool in real.items()),
            "",
            *demo_lines,
            "",
            REAL_PROVIDER_HINTS if SHOP_CHANNELS & real.keys() else SHOP_HINTS,
            "Send one yourself:",
            "",
            CURL_EXAMPLE.format(
                url=info.api_url, key=info.api_key, email=EMAIL_PLACEHOLDER if Channel.EMAIL in real else DEMO_EMAIL
            ),
            "",
        ]
    )


def _outbox_lines(settings: Settings, info: RunInfo) -> Iterator[str]:
    """Not for channels that have real providers."""
    sandbox_channels = [channel for channel in Channel if SANDBOX in settings.pool(channel)]
    if sandbox_channels:
        suffix = "" if len(sandbox_channels) == len(Channel) - 1 else f": {', '.join(sandbox_channels)}"
        yield f"  Outbox       {info.api_url}/outbox      what the sandbox delivered{suffix}"
