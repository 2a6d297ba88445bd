"""Test that every operation answers valid and invalid generated requests as documented, with any scope. The suite sends
few requests per operation, `make faults` many."""

import time
from collections.abc import AsyncIterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from httpx2 import Response
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bootstrap import open_container
from config import Settings
from storage.api_keys import SCOPES
from storage.tenants import ensure_tenant
from tests.api_tenants import in_process_client
from tests.apps import app_of, openapi_document
from tests.installation_keys import INSTALLATION, installation_key
from tests.isolation.makers import MAKERS
from tests.isolation.resource_types import OwnerTenant, ResourceType
from tests.isolation.routes import ROUTES
from tests.storage.databases import create_database

pytestmark = pytest.mark.postgres

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BASE_URL = "http://tocsin.test"
SUITE_EXAMPLES, LONG_EXAMPLES = 2, 60
EXAMPLES = SUITE_EXAMPLES if hypothesis.settings().max_examples < 100 else LONG_EXAMPLES
# Seconds for one operation. Its remaining examples are skipped after them.
TIME_LIMIT = 10.0

LOADED = schemathesis.openapi.from_dict(openapi_document()).get_all_operations()
OPERATIONS = {each.ok().definition.raw["operationId"]: each.ok() for each in LOADED if isinstance(each, Ok)}

AnyCase = Case[Any]


class FuzzCaller:
    """The installation's own tenant, whose keys may have any scope, and a key for each scope."""

    def __init__(self, owner: OwnerTenant, keys: dict[str, str]) -> None:
        self.owner = owner
        self._keys = keys

    async def send(self, case: AnyCase, scope: str) -> Response:
        """Send the request as schemathesis generated it, with another key."""
        arguments = case.as_transport_kwargs(base_url=BASE_URL)
        prepared = requests.Request(**{k: v for k, v in arguments.items() if k != "cookies"}).prepare()
        headers = {name.encode(): str(value).encode() for name, value in prepared.headers.items()}
        headers[b"Authorization"] = f"Bearer {self._keys[scope]}".encode()
        content = prepared.body if isinstance(prepared.body, str | bytes) else None
        return await self.owner.http.request(str(prepared.method), str(prepared.url), headers=headers, content=content)

    async def use_known_path(self, case: AnyCase, operation: str) -> None:
        """Replace path parameters by ids of the tenant. Without it nearly every request would end with 404."""
        if case.method == "DELETE":
            self.owner.made.clear()
        for name, kind in ROUTES[operation].path.items():
            case.path_parameters[name] = await self.owner.own(kind) if isinstance(kind, ResourceType) else kind


@pytest.fixture(scope="module")
async def caller(database_url: str) -> AsyncIterator[FuzzCaller]:
    """Open a caller with a separate database, because generated rates, pauses and types remain."""
    url = await create_database(database_url, "fuzzing")
    settings = Settings(env="dev", database_url=url, temporal_address="127.0.0.1:1", _env_file=None)
    async with open_container(settings) as container:
        keys = {scope: await installation_key(container.database, scope) for scope in SCOPES}
        async with container.database.transaction() as session:
            tenant = (await ensure_tenant(session, INSTALLATION, INSTALLATION)).id
        key = await installation_key(container.database)
        async with in_process_client(app_of(container), key) as http:
            owner = OwnerTenant(
                tenant=tenant,
                tenant_key="shop",
                key=key,
                http=http,
                database=container.database,
                container=container,
                makers=MAKERS,
                mark="own",
            )
            yield FuzzCaller(owner, keys)


@pytest.fixture
def started(caller: FuzzCaller) -> float:
    """Return when the first example of an operation began. Recreate what earlier operations deleted."""
    caller.owner.made.clear()
    return time.monotonic()


def test_every_operation_is_loaded() -> None:
    assert set(OPERATIONS) == set(ROUTES)


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
async def test_a_response_is_as_documented(
    caller: FuzzCaller, started: float, operation: str, data: st.DataObject
) -> None:
    needed = OPERATIONS[operation].definition.raw.get("x-scope", "read")
    mode = data.draw(st.sampled_from(GenerationMode))
    case: AnyCase = data.draw(OPERATIONS[operation].as_strategy(mode, feedback=FeedbackSources()))
    scope = data.draw(st.sampled_from([needed] * len(SCOPES) + list(SCOPES)))
    has_known_path = data.draw(st.booleans())
    if time.monotonic() > started + TIME_LIMIT:
        return
    if has_known_path:
        await caller.use_known_path(case, operation)
    response = await caller.send(case, scope)
    case.validate_response(response, checks=CHECKS)
