"""Records the histories in this folder from the running engine: `.venv/bin/python -m tests.histories.record [name …]`.

Run it for a story that is new here. A history that exists is recorded again only when the workflow was changed on
purpose in a way that no running workflow can survive; otherwise it is the proof that running ones do.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bootstrap import prepare_database
from embedded.temporary import temporary_postgres
from tests.engine import Shop, later, open_shop, running_engine
from tests.polling import eventually

HERE = Path(__file__).parent
PHONE = "+447700900123"
WHO_POLLED = re.compile(r"\d+@")  # a process and its machine, in identities and the names of sticky queues

Story = Callable[[Shop], Awaitable[str]]


async def delivered(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    return await shop.send("news")


async def fallback_after_refusal(shop: Shop) -> str:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+refuse@example.com", phone=PHONE)
    return await shop.send("news")


async def retried_then_accepted(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+flaky@example.com")
    return await shop.send("news")


async def retried_until_given_up(shop: Shop) -> str:
    await shop.type("news", ["email"], give_up_after="2s")
    await shop.person("ada", email="ada+error@example.com")
    return await shop.send("news")


async def expired_between_attempts(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+error@example.com")
    return await shop.send("news", expires_in="2s")


async def provider_failed(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+broken@example.com")
    return await shop.send("news")


async def in_doubt_at_most_once(shop: Shop) -> str:
    await shop.type("news", ["email"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada+lost@example.com")
    return await shop.send("news")


async def resent_at_least_once(shop: Shop) -> str:
    await shop.type("news", ["email"], delivery_guarantee="at_least_once")
    await shop.person("ada", email="ada+lost@example.com")
    return await shop.send("news")


async def canceled_before_send_at(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(60))
    workflow = await shop.engine.started(id)
    await eventually(workflow.fetch_history, lambda history: len(history.events) >= 5)  # its timer runs
    await shop.cancel(id)
    return id


async def canceled_between_attempts(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+error@example.com")
    id = await shop.send("news")
    await eventually(lambda: shop.shown(id), lambda shown: any(d["attempts"] for d in shown["deliveries"]))
    await shop.cancel(id)
    return id


async def canceled_in_temporal(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(60))
    workflow = await shop.engine.started(id)
    await eventually(workflow.fetch_history, lambda history: len(history.events) >= 5)
    await workflow.cancel()
    return id


async def scheduled_then_delivered(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    return await shop.send("news", send_at=later(1))


async def expired_at_the_start(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    return await shop.send("news", send_at=later(-60), expires_in="1s")


async def fan_out_to_channels_and_devices(shop: Shop) -> str:
    await shop.type("news", ["email", "push"], ["sms"])
    await shop.person("ada", email="ada@example.com", phone=PHONE)
    await shop.device("ada", "old", "token-refuse-1")
    await shop.device("ada", "phone", "token-2")
    return await shop.send("news")


async def suppressed(shop: Shop) -> str:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"email": False}})
    return await shop.send("news")


async def template_error(shop: Shop) -> str:
    await shop.type("news", ["email"], ["sms"])
    await shop.template("news", "email", "{{ 1 // 0 }}")
    await shop.person("ada", email="ada@example.com", phone=PHONE)
    return await shop.send("news")


STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (
        delivered,
        fallback_after_refusal,
        retried_then_accepted,
        retried_until_given_up,
        expired_between_attempts,
        provider_failed,
        in_doubt_at_most_once,
        resent_at_least_once,
        canceled_before_send_at,
        canceled_between_attempts,
        canceled_in_temporal,
        scheduled_then_delivered,
        expired_at_the_start,
        fan_out_to_channels_and_devices,
        suppressed,
        template_error,
    )
}


def anonymous(value: Any) -> Any:
    """Without what tells of the machine that recorded it: who polled, and where its code lies."""
    if isinstance(value, list):
        return [anonymous(one) for one in value]
    if isinstance(value, dict):
        return {name: "" if name == "stackTrace" else anonymous(one) for name, one in value.items()}
    return "recorder" if isinstance(value, str) and WHO_POLLED.match(value) else value


async def record(name: str, shop: Shop) -> None:
    id = await STORIES[name](shop)
    await shop.finished(id)
    history = await shop.engine.history(id)
    saved = {"workflowId": history.workflow_id, **anonymous(json.loads(history.to_json()))}
    (HERE / f"{name}.json").write_text(json.dumps(saved, indent=1) + "\n")


async def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "postgres").mkdir()
        (home / "temporal").mkdir()
        async with temporary_postgres(home / "postgres") as postgres:
            await prepare_database(postgres.url)
            async with running_engine(postgres.url, home / "temporal") as engine:
                for name in names:
                    async with open_shop(engine) as shop:
                        await record(name, shop)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or list(STORIES)))
