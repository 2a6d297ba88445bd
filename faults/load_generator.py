"""Send for two tenants throughout a run, record the responses, and repeat requests without a response by their key."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2

from bootstrap import open_container
from config import Settings
from domain.json_types import Json
from faults.pace import wait_seconds
from faults.servers import Servers
from faults.type_specs import (
    BULK,
    DEVICE_OWNERS,
    TYPE_SPECS,
    TypeSpec,
    device_owner,
    devices_of,
    new_recipient,
    spec,
    templates,
)
from faults.vendor.keys import vendor_keys
from storage.api_keys import SCOPES, upsert_key
from storage.tenants import ensure_tenant
from testing.vendors.web_push import FakeWebPush

RETRY_AFTER = 0.25
OTHER_TENANT_KEY = "other"


@dataclass(frozen=True, kw_only=True)
class GeneratedSend:
    """Describe one accepted notification. `recipient` is the recipient's id."""

    id: str
    key: str
    tenant: int
    type_spec: TypeSpec
    recipient: str


@dataclass
class LoadTenant:
    """Hold requests by key: `bodies`, `answers` (all returned ids), `unanswered` (no response at first)."""

    number: int
    http: httpx2.AsyncClient
    bodies: dict[str, Json] = field(default_factory=dict)
    answers: dict[str, set[str]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        response = await self.http.request(method, path, json=body)
        assert response.status_code < 300, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def prepare(self, browser: FakeWebPush) -> None:
        for type_spec in TYPE_SPECS:
            await self.add(type_spec)
        for owner in map(device_owner, range(DEVICE_OWNERS)):
            await self.ok("PUT", f"/recipients/{owner}", {})
            for name, device in devices_of(self.number, owner, browser).items():
                await self.ok("PUT", f"/recipients/{owner}/devices/{name}", device)

    async def add(self, type_spec: TypeSpec) -> None:
        for template in templates(type_spec):
            await self.ok("POST", "/templates", template)
        await self.ok("PUT", f"/notification-types/{type_spec.key}", spec(type_spec))

    async def send_until_accepted(self, key: str, body: Json) -> str:
        """Repeat the same request until it has a response."""
        self.bodies[key] = body
        while True:
            response = await self._post(key, body)
            if response is not None and response.status_code == 202:
                id = str(response.json()["id"])
                self.answers.setdefault(key, set()).add(id)
                return id
            assert response is None or response.status_code in (409, 503), response.text
            self.unanswered.add(key)
            await wait_seconds(RETRY_AFTER)

    async def _post(self, key: str, body: Json) -> httpx2.Response | None:
        try:
            return await self.http.post("/notifications/send", json=body, headers={"Idempotency-Key": key})
        except httpx2.TransportError:
            return None


class LoadGenerator:
    """Send notifications. `sent` are all accepted ones, by id."""

    def __init__(self, tenants: Sequence[LoadTenant]) -> None:
        self.tenants = tenants
        self.sent: dict[str, GeneratedSend] = {}
        self._message_count = 0

    async def send(self, type_spec: TypeSpec, tenant: int = 0, word: str = "", **more: Any) -> GeneratedSend:
        body, key = self.message(type_spec, tenant, word, **more)
        id = await self.tenants[tenant].send_until_accepted(key, body)
        self.sent[id] = sent = GeneratedSend(
            id=id, key=key, tenant=tenant, type_spec=type_spec, recipient=body["recipient"]["recipient_id"]
        )
        return sent

    async def burst(
        self, count: int, type_spec: TypeSpec, tenant: int = 0, word: str = "", **more: Any
    ) -> list[GeneratedSend]:
        """Send this many concurrently."""
        return list(await asyncio.gather(*(self.send(type_spec, tenant, word, **more) for _ in range(count))))

    async def batch(self, count: int, type_spec: TypeSpec = BULK, tenant: int = 0, **more: Any) -> list[GeneratedSend]:
        """Send in one call per thousand."""
        sent: list[GeneratedSend] = []
        for begin in range(0, count, 1_000):
            messages = [self.message(type_spec, tenant, "silent", **more) for _ in range(min(1_000, count - begin))]
            items = [{**body, "idempotency_key": key} for body, key in messages]
            response = await self.tenants[tenant].ok("POST", "/notifications/send-batch", {"items": items})
            for (body, key), item in zip(messages, response["items"], strict=True):
                assert item["status"] == 202, item
                self.tenants[tenant].answers[key] = {item["id"]}
                recipient = body["recipient"]["recipient_id"]
                sent.append(
                    GeneratedSend(id=item["id"], key=key, tenant=tenant, type_spec=type_spec, recipient=recipient)
                )
        self.sent |= {each.id: each for each in sent}
        return sent

    async def send_batch_until_accepted(self, items: list[Json], tenant: int = 0) -> list[str]:
        """Repeat until accepted; each item has its key. Return the ids in order."""
        while True:
            try:
                response = await self.tenants[tenant].http.post("/notifications/send-batch", json={"items": items})
            except httpx2.TransportError:
                response = None
            if response is not None and response.status_code == 202:
                ids = [str(item["id"]) for item in response.json()["items"]]
                self.tenants[tenant].answers |= {
                    item["idempotency_key"]: {id} for item, id in zip(items, ids, strict=True)
                }
                return ids
            await wait_seconds(RETRY_AFTER)

    def message(self, type_spec: TypeSpec, tenant: int, word: str, **more: Any) -> tuple[Json, str]:
        """Return a body for a new recipient or one with devices, and its key."""
        self._message_count += 1
        number = self._message_count
        owner = {"recipient_id": device_owner(number)}
        recipient = owner if type_spec.uses_devices else new_recipient(tenant, number, word)
        body = {"notification_type": type_spec.key, "recipient": recipient, "payload": {"name": "Canary Ada"}}
        return {**body, **more}, f"key-{number}"

    def forget_keys(self, sent: Sequence[GeneratedSend]) -> None:
        """Drop keys that must not be repeated."""
        for each in sent:
            self.tenants[each.tenant].bodies.pop(each.key)

    @property
    def accepted_ids(self) -> set[str]:
        """Return all ids that ever got 202."""
        return {id for tenant in self.tenants for ids in tenant.answers.values() for id in ids}

    async def send_random_type(self, rand: Random) -> GeneratedSend:
        type_spec = rand.choices(TYPE_SPECS, [type_spec.share for type_spec in TYPE_SPECS])[0]
        return await self.send(type_spec, rand.randrange(len(self.tenants)), rand.choice(type_spec.words))

    async def find_differing_repeats(self, rand: Random, sample: int = 10) -> list[str]:
        """Repeat requests and return those with another response: all that got none at first, and a random sample."""
        wrong = []
        for tenant in self.tenants:
            others = rand.sample(sorted(tenant.bodies), min(sample, len(tenant.bodies)))
            for key in sorted((tenant.unanswered & tenant.bodies.keys()) | set(others)):
                await tenant.send_until_accepted(key, tenant.bodies[key])
            wrong += [f"{key}: {ids}" for key, ids in tenant.answers.items() if len(ids) != 1]
            tenant.unanswered.clear()
        return wrong


@asynccontextmanager
async def open_load_generator(servers: Servers) -> AsyncIterator[LoadGenerator]:
    """Use the demo tenant and a second one, created through bootstrap."""
    browser = FakeWebPush(browser_key=vendor_keys().browser, secret=vendor_keys().browser_secret)
    browser.port = servers.vendor_ports["web_push"]
    keys = [servers.info.api_key, await _second_tenant(servers)]
    async with AsyncExitStack() as stack:
        tenants = []
        for number, key in enumerate(keys):
            headers = {"Authorization": f"Bearer {key}"}
            base = f"{servers.info.api_url}/api/v1"
            http = httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=20)
            tenants.append(LoadTenant(number, await stack.enter_async_context(http)))
            await tenants[-1].prepare(browser)
        yield LoadGenerator(tenants)


async def _second_tenant(servers: Servers) -> str:
    info = servers.info
    settings = Settings(
        env="dev", database_url=info.database_url, temporal_address=info.temporal_address, _env_file=None
    )
    async with open_container(settings, render_processes=1) as container, container.database.transaction() as session:
        tenant = await ensure_tenant(session, OTHER_TENANT_KEY, "Other")
        _, key = await upsert_key(session, tenant.id, "faults", SCOPES)
    return key
