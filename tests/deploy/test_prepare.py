"""Run deploy/prepare.sh and the scripts that read its output, as far as possible without containers."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from config import Settings
from embedded.cluster import find_binaries
from embedded.postgres import Postgres
from embedded.temporary_servers import temporary_postgres
from tests.code.tree import ROOT

SECRETS = (
    "secret_key",
    "encryption_keys",
    "lookup_key",
    "postgres_password",
    "tocsin_password",
    "temporal_password",
    "grafana_password",
    "database_url",
)


def prepare(deploy: Path) -> dict[str, str]:
    subprocess.run(["sh", deploy / "prepare.sh"], check=True, capture_output=True)
    return {name: (deploy / "secrets" / name).read_text() for name in SECRETS}


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """Return a copy, so that no test creates secrets in the checkout."""
    copy = tmp_path / "deploy"
    copy.mkdir()
    for name in ("prepare.sh", "server.env.example"):
        shutil.copy(ROOT / "deploy" / name, copy)
    return copy


@pytest.fixture
async def empty_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    """Run Postgres as the image leaves it: a superuser and no Tocsin database."""
    async with temporary_postgres(tmp_path_factory.mktemp("roles")) as postgres:
        owner = await asyncpg.connect(postgres.url.replace("+asyncpg", "").removesuffix("/tocsin") + "/postgres")
        await owner.execute("DROP DATABASE tocsin")
        await owner.close()
        yield postgres


def test_secrets_are_long_different_and_closed_to_others(deploy: Path) -> None:
    made = prepare(deploy)
    assert len(set(made.values())) == len(SECRETS)
    assert all(len(value) >= 64 for value in made.values())
    assert (deploy / "secrets").stat().st_mode & 0o077 == 0
    assert (deploy / "server.env").exists()


def test_a_second_run_changes_nothing(deploy: Path) -> None:
    made = prepare(deploy)
    (deploy / "server.env").write_text("TOCSIN_START_RATE=5\n")
    assert prepare(deploy) == made
    assert (deploy / "server.env").read_text() == "TOCSIN_START_RATE=5\n"


def test_settings_read_the_secrets_from_their_files(deploy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare(deploy)
    for name in ("secret_key", "encryption_keys", "lookup_key", "database_url"):
        monkeypatch.delenv(f"TOCSIN_{name.upper()}", raising=False)
        monkeypatch.setenv(f"TOCSIN_{name.upper()}_FILE", str(deploy / "secrets" / name))
    settings = Settings(env="production", _env_file=None)
    assert settings.database_url == made["database_url"]
    assert settings.secret_key.get_secret_value() == made["secret_key"]


@pytest.mark.postgres
async def test_each_role_reaches_its_own_database_only(deploy: Path, empty_postgres: Postgres) -> None:
    made = prepare(deploy)
    environment = {
        "PATH": f"{find_binaries()}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(empty_postgres.port),
        "PGPASSWORD": empty_postgres.cluster.password,
        "SECRETS": str(deploy / "secrets"),
    }
    script = ROOT / "deploy/postgres/roles.sh"
    await asyncio.to_thread(subprocess.run, [script], env=environment, check=True, capture_output=True)

    async def superuser(role: str, database: str) -> bool:
        url = f"postgresql://{role}:{made[f'{role}_password']}@127.0.0.1:{empty_postgres.port}/{database}"
        connection = await asyncpg.connect(url)
        try:
            return bool(await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
        finally:
            await connection.close()

    for role, databases in (("tocsin", ["tocsin"]), ("temporal", ["temporal", "temporal_visibility"])):
        for database in databases:
            assert await superuser(role, database) is False
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await superuser("temporal", "tocsin")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await superuser("tocsin", "temporal")
