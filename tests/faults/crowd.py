"""Two tenants whose services send all the while, remember what they were answered, and ask again with the same key when
they were not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2

from bootstrap import open_parts
from config import Settings
from storage.api_keys import SCOPES, create_key, ensure_tenant
from tests.faults.kinds import BULK, KINDS, Json, Kind, person, spec, templates
from tests.faults.pace import lasting
from tests.faults.servers import Servers

ASK_AGAIN_AFTER = 0.25
OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One accepted notification; `recipient` is the person's id."""

    id: str
    key: str
    tenant: int
    kind: Kind
    recipient: str


@dataclass
class Tenant:
    """By key: `bodies` are what was asked, `answers` all ids that were answered; `errored` got no answer at first."""

    number: int
    http: httpx2.AsyncClient
    bodies: dict[str, Json] = field(default_factory=dict)
    answers: dict[str, set[str]] = field(default_factory=dict)
    errored: set[str] = field(default_factory=set)

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        response = await self.http.request(method, path, json=body)
        assert response.status_code < 300, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def prepare(self) -> None:
        for kind in KINDS:
            await self.add(kind)

    async def add(self, kind: Kind) -> None:
        for template in templates(kind):
            await self.ok("POST", "/templates", template)
        await self.ok("PUT", f"/notification-types/{kind.key}", spec(kind))

    async def ask(self, key: str, body: Json) -> str:
        """Until there is an answer; whatever happens meanwhile, it is the same request."""
        self.bodies[key] = body
        while True:
            response = await self._post(key, body)
            if response is not None and response.status_code == 202:
                id = str(response.json()["id"])
                self.answers.setdefault(key, set()).add(id)
                return id
            assert response is None or response.status_code in (409, 503), response.text
            self.errored.add(key)
            await lasting(ASK_AGAIN_AFTER)

    async def _post(self, key: str, body: Json) -> httpx2.Response | None:
        try:
            return await self.http.post("/notifications/send", json=body, headers={"Idempotency-Key": key})
        except httpx2.TransportError:
            return None


class Crowd:
    """`sent` are all accepted ones, by id."""

    def __init__(self, tenants: Sequence[Tenant]) -> None:
        self.tenants = tenants
        self.sent: dict[str, Sent] = {}
        self._people = 0

    async def send(self, kind: Kind, tenant: int = 0, word: str = "", **more: Any) -> Sent:
        body, key = self.message(kind, tenant, word, **more)
        id = await self.tenants[tenant].ask(key, body)
        self.sent[id] = sent = Sent(
            id=id, key=key, tenant=tenant, kind=kind, recipient=body["recipient"]["recipient_id"]
        )
        return sent

    async def burst(self, count: int, kind: Kind, tenant: int = 0, word: str = "", **more: Any) -> list[Sent]:
        """So many at once."""
        return list(await asyncio.gather(*(self.send(kind, tenant, word, **more) for _ in range(count))))

    async def batch(self, count: int, kind: Kind = BULK, tenant: int = 0, **more: Any) -> list[Sent]:
        """In one call for each thousand."""
        sent: list[Sent] = []
        for begin in range(0, count, 1_000):
            asks = [self.message(kind, tenant, "silent", **more) for _ in range(min(1_000, count - begin))]
            items = [{**body, "idempotency_key": key} for body, key in asks]
            answer = await self.tenants[tenant].ok("POST", "/notifications/send-batch", {"items": items})
            for (body, key), item in zip(asks, answer["items"], strict=True):
                assert item["status"] == 202, item
                self.tenants[tenant].answers[key] = {item["id"]}
                recipient = body["recipient"]["recipient_id"]
                sent.append(Sent(id=item["id"], key=key, tenant=tenant, kind=kind, recipient=recipient))
        self.sent |= {each.id: each for each in sent}
        return sent

    async def batch_again(self, items: list[Json], tenant: int = 0) -> list[str]:
        """Ids, in their order. Until there is an answer; each item has its key."""
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
            await lasting(ASK_AGAIN_AFTER)

    def message(self, kind: Kind, tenant: int, word: str, **more: Any) -> tuple[Json, str]:
        """A body, to somebody new, and its key."""
        self._people += 1
        body = {"notification_type": kind.key, "recipient": person(tenant, self._people, word)}
        return {**body, "payload": {"name": "Canary Ada"}, **more}, f"key-{self._people}"

    def forget_keys(self, sent: Sequence[Sent]) -> None:
        """They will not be asked for again."""
        for each in sent:
            self.tenants[each.tenant].bodies.pop(each.key)

    @property
    def answered(self) -> set[str]:
        """All ids that were ever answered 202."""
        return {id for tenant in self.tenants for ids in tenant.answers.values() for id in ids}

    async def anything(self, dice: Random) -> Sent:
        kind = dice.choices(KINDS, [kind.share for kind in KINDS])[0]
        return await self.send(kind, dice.randrange(len(self.tenants)), dice.choice(kind.words))

    async def repeats_differ(self, dice: Random, sample: int = 10) -> list[str]:
        """What was answered differently when asked once more: all that got no answer at first, and a few others."""
        wrong = []
        for tenant in self.tenants:
            others = dice.sample(sorted(tenant.bodies), min(sample, len(tenant.bodies)))
            for key in sorted((tenant.errored & tenant.bodies.keys()) | set(others)):
                await tenant.ask(key, tenant.bodies[key])
            wrong += [f"{key}: {ids}" for key, ids in tenant.answers.items() if len(ids) != 1]
            tenant.errored.clear()
        return wrong


@asynccontextmanager
async def open_crowd(servers: Servers) -> AsyncIterator[Crowd]:
    """The demo tenant and one more, which is made through bootstrap."""
    keys = [servers.info.api_key, await _second_tenant(servers)]
    async with AsyncExitStack() as stack:
        tenants = []
        for number, key in enumerate(keys):
            headers = {"Authorization": f"Bearer {key}"}
            base = f"{servers.info.api_url}/api/v1"
            http = httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=20)
            tenants.append(Tenant(number, await stack.enter_async_context(http)))
            await tenants[-1].prepare()
        yield Crowd(tenants)


async def _second_tenant(servers: Servers) -> str:
    info = servers.info
    settings = Settings(
        env="dev", database_url=info.database_url, temporal_address=info.temporal_address, _env_file=None
    )
    async with open_parts(settings, children=1) as parts, parts.database.transaction() as session:
        tenant = await ensure_tenant(session, OTHER, "Other")
        _, key = await create_key(session, tenant.id, "faults", SCOPES)
    return key
