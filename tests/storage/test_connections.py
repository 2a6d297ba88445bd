"""How many connections a process opens, and who gets them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from sqlalchemy import text

from models.tenants import Tenant
from storage import database as module
from storage.connections import DATABASE_ERRORS, is_outage, is_permanent, suppress_outages
from storage.database import Database
from storage.statements import StatementResult

pytestmark = pytest.mark.postgres

POOL = 4


@pytest.fixture
async def small(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A pool of its own, in which nothing waits for long."""
    monkeypatch.setattr(module, "POOL_TIMEOUT", 0.1)
    small = Database(database.url, pool_size=POOL)
    yield small
    await small.close()


async def take(stack: AsyncExitStack, database: Database) -> None:
    session = await stack.enter_async_context(database.transaction())
    await session.execute(text("SELECT 1"))


async def test_a_pool_opens_no_more_connections_than_it_is_allowed(small: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(POOL):
            await take(stack, small)
        with pytest.raises(DATABASE_ERRORS):
            await take(stack, small)


async def test_activities_leave_connections_to_the_rest_of_the_process(small: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(POOL * 3 // 4):
            await take(stack, small.for_activities)
        with pytest.raises(DATABASE_ERRORS):
            await take(stack, small.for_activities)
        await take(stack, small)
    async with small.for_activities.statement() as session:
        assert (await session.execute(text("SELECT 1"))).scalar_one() == 1


PLAN_MODE = text("SELECT current_setting('plan_cache_mode')")


async def plan_mode(database: Database) -> str:
    async with database.statement() as session:
        return str((await session.execute(PLAN_MODE)).scalar_one())


async def test_only_text_statements_are_planned_once(small: Database) -> None:
    assert await plan_mode(small) == "force_generic_plan"
    async with small.transaction() as session:
        assert (await session.execute(PLAN_MODE)).scalar_one() == "auto"


async def test_a_connection_that_returns_to_the_pool_plans_as_usual(small: Database) -> None:
    await plan_mode(small)
    modes = []
    async with AsyncExitStack() as stack:
        for _ in range(POOL):
            session = await stack.enter_async_context(small.transaction())
            modes.append((await session.execute(PLAN_MODE)).scalar_one())
    assert modes == ["auto"] * POOL


RENAME = text("UPDATE tenant SET name = :name WHERE id = :id")


async def run(database: Database, *statements: str, **values: object) -> None:
    async with database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement), values)


async def error_of(database: Database, *statements: str, **values: object) -> BaseException:
    with pytest.raises(DATABASE_ERRORS) as caught:
        await run(database, *statements, **values)
    return caught.value


@pytest.mark.parametrize(
    "statements",
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())",),
        ("SET LOCAL statement_timeout = 1", "SELECT pg_sleep(10)"),
        ("SET TRANSACTION READ ONLY", "UPDATE tenant SET name = name"),
    ],
)
async def test_a_real_outage_is_known(database: Database, statements: tuple[str, ...]) -> None:
    assert is_outage(await error_of(database, *statements))


async def test_a_server_that_does_not_listen_is_an_outage() -> None:
    with pytest.raises(DATABASE_ERRORS) as caught:
        await run(Database("postgresql+asyncpg://nouser@127.0.0.1:1/none"), "SELECT 1")
    assert is_outage(caught.value)


@pytest.mark.parametrize("statement", ["SELECT * FROM no_such_table", "SELECT 1 FROM", "SELECT 1 / 0", "SELECT :id"])
async def test_a_bug_is_no_outage(database: Database, statement: str) -> None:
    error = await error_of(database, statement, **({"id": object()} if ":id" in statement else {}))
    assert not is_outage(error)


async def test_a_broken_constraint_is_no_outage(database: Database, tenant: Tenant) -> None:
    insert = "INSERT INTO tenant (id, key, name, default_language, created_at) VALUES (:id, :key, '', 'en', now())"
    assert not is_outage(await error_of(database, insert, id=uuid4(), key=tenant.key))


INSERT_KEY = text(
    "INSERT INTO tenant (id, key, name, default_language, created_at) VALUES (:id, :key, '', 'en', now())"
)
LARGE = "".join(map(str, range(10_000)))


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800b", LARGE], ids=["NUL", "surrogate", "too large for its index"])
@pytest.mark.parametrize("quick", [True, False])
async def test_a_value_that_cannot_be_stored_is_an_error_that_stays(
    database: Database, value: str, quick: bool
) -> None:
    with pytest.raises(DATABASE_ERRORS) as caught:
        async with database.quick_transaction() if quick else database.transaction() as session:
            await session.execute(INSERT_KEY, {"id": uuid4(), "key": value})
    assert (is_outage(caught.value), is_permanent(caught.value)) == (False, True)


@pytest.mark.parametrize("statement", ["SELECT * FROM no_such_table", "SELECT no_such_column FROM tenant"])
async def test_a_schema_of_another_version_is_neither_an_outage_nor_for_good(
    database: Database, statement: str
) -> None:
    error = await error_of(database, statement)
    assert (is_outage(error), is_permanent(error)) == (False, False)


@pytest.mark.parametrize("url", ["nouser:wrong@{address}/{name}", "postgres@{address}/no_such_database"])
async def test_a_refused_connection_is_an_outage(database: Database, url: str) -> None:
    """A password may be changed, or a database restored, while processes run."""
    address, _, name = database.url.partition("@")[2].partition("/")
    refused = Database(f"postgresql+asyncpg://{url.format(address=address, name=name)}")
    try:
        with pytest.raises(DATABASE_ERRORS) as caught:
            await run(refused, "SELECT 1")
    finally:
        await refused.close()
    assert is_outage(caught.value)


async def test_only_outages_are_passed_over(database: Database) -> None:
    with suppress_outages():
        await run(Database("postgresql+asyncpg://nouser@127.0.0.1:1/none"), "SELECT 1")
    with pytest.raises(DATABASE_ERRORS), suppress_outages():
        await run(database, "SELECT 1 / 0")


async def test_a_connection_that_a_single_statement_lost_is_not_used_again(database: Database) -> None:
    single = Database(database.url, pool_size=1)
    try:
        with pytest.raises(DATABASE_ERRORS) as caught:
            await run_alone(single, "SELECT pg_terminate_backend(pg_backend_pid())")
        assert is_outage(caught.value)
        assert (await run_alone(single, "SELECT 1")).scalar_one() == 1
    finally:
        await single.close()


async def test_a_single_statement_is_committed_or_rolled_back_alone(database: Database, tenant: Tenant) -> None:
    await run_alone(database, "UPDATE tenant SET name = :name WHERE id = :id", id=tenant.id, name="new name")
    with pytest.raises(DATABASE_ERRORS):
        await run_alone(
            database, "UPDATE tenant SET name = (1 / (length(name) - 8))::text WHERE id = :id", id=tenant.id
        )
    assert await name_of(database, tenant) == "new name"


async def test_a_quick_transaction_is_committed_at_its_end(database: Database, tenant: Tenant) -> None:
    await rename_twice(database, tenant, "one", "two")
    assert await name_of(database, tenant) == "two"


async def test_a_quick_transaction_is_undone_by_an_error_and_on_request(database: Database, tenant: Tenant) -> None:
    with pytest.raises(DATABASE_ERRORS):
        await rename_twice(database, tenant, "one", None)
    async with database.quick_transaction() as session:
        await session.execute(RENAME, {"id": tenant.id, "name": "two"})
        await session.rollback()
    assert await name_of(database, tenant) == tenant.name


async def rename_twice(database: Database, tenant: Tenant, first: str | None, second: str | None) -> None:
    async with database.quick_transaction() as session:
        await session.execute(RENAME, {"id": tenant.id, "name": first})
        assert await name_of(database, tenant) == tenant.name
        await session.execute(RENAME, {"id": tenant.id, "name": second})


async def run_alone(database: Database, statement: str, **values: object) -> StatementResult:
    async with database.statement() as session:
        return await session.execute(text(statement), values)


async def name_of(database: Database, tenant: Tenant) -> str:
    return str((await run_alone(database, "SELECT name FROM tenant WHERE id = :id", id=tenant.id)).scalar_one())
