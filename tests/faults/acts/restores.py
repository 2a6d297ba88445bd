"""Postgres restored from a backup, beside a Temporal and vendors that know more than it."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from commands.restores import release_and_describe
from config import Settings
from embedded.postgres import DATABASE
from tests.faults.acts.table import fault
from tests.faults.crowd import Sent
from tests.faults.kinds import AGAIN_TEXT, ASK_MAIL, ASK_TEXT, PASSWORD
from tests.faults.scene import Scene
from tests.faults.servers import Servers
from tests.polling import eventually

CHANNELS = ("email", "sms")
KINDS = (ASK_TEXT, ASK_MAIL, AGAIN_TEXT, PASSWORD)
HELD = """
SELECT count(DISTINCT notification_id) FROM delivery WHERE notification_id::text = ANY($1) AND held_at IS NOT NULL
"""
STATUSES = "SELECT id::text, status FROM notification WHERE id::text = ANY($1)"
# What each guarantee allows, for notifications that were sent between the backup and the restore: their ends, and how
# many messages the vendor may have at the end.
SENT_BEFORE: dict[str, tuple[set[str], set[int]]] = {
    ASK_TEXT.key: ({"SENT", "DELIVERED"}, {1}),
    ASK_MAIL.key: ({"SENT", "DELIVERED", "IN_DOUBT"}, {1}),
    AGAIN_TEXT.key: ({"SENT", "DELIVERED"}, {1, 2}),
    PASSWORD.key: ({"IN_DOUBT", "SENT", "DELIVERED"}, {1}),
}
# The same for those that were not sent: only a vendor that can be asked, or a repetition, gets them out.
NOT_SENT_BEFORE: dict[str, tuple[set[str], set[int]]] = {
    ASK_TEXT.key: ({"SENT", "DELIVERED"}, {1}),
    ASK_MAIL.key: ({"IN_DOUBT"}, {0}),
    AGAIN_TEXT.key: ({"SENT", "DELIVERED"}, {1}),
    PASSWORD.key: ({"IN_DOUBT"}, {0}),
}


@fault
async def restored_from_a_backup(scene: Scene) -> None:
    """Postgres restored to an older backup: all is held until it is released, then each guarantee decides."""
    scene.trickle.pause()
    await scene.trickle.answered()
    await scene.quiet()
    sent, unsent = [await _held(scene, tenant) for tenant in (0, 1)]
    dump = scene.servers.home / "restored.dump"
    await _run(scene.servers, "pg_dump", "--format=custom", f"--file={dump}", DATABASE)
    await _lose_what_is_accepted_now(scene)
    await _pause(scene, 0, "resume")
    await scene.books.until(
        "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NULL",
        [each.id for each in sent],
        is_=0,
        within=scene.scale.deadline,
    )
    parts = [*scene.servers.workers, scene.part("api")]
    await asyncio.gather(*(part.stop() for part in parts))
    await _restore(scene.servers, dump)
    await _start_held(scene, sent, unsent)
    for tenant in (0, 1):
        await _pause(scene, tenant, "resume")
    await scene.quiet()
    scene.checks["restored: each guarantee decides"] = lambda: _wrong(scene, sent, unsent)
    scene.trickle.resume()


async def _held(scene: Scene, tenant: int) -> list[Sent]:
    """Accepted and held, so that the backup has them as open."""
    await _pause(scene, tenant, "pause")
    few = max(2, scene.scale.burst // 4)
    bursts = [await scene.crowd.burst(few, kind, tenant, "silent") for kind in KINDS]
    sent = [each for burst in bursts for each in burst]
    await scene.books.until(HELD, [each.id for each in sent], is_=len(sent), within=60)
    return sent


async def _lose_what_is_accepted_now(scene: Scene) -> None:
    """After the backup: their rows will be gone, and their workflows wait for a release that cannot come."""
    ids = []
    for _ in range(2):
        body, _ = scene.crowd.message(ASK_TEXT, 1, "silent")
        ids.append((await scene.crowd.tenants[1].ok("POST", "/notifications/send", body))["id"])
    await scene.books.until(HELD, ids, is_=len(ids), within=60)

    async def unnamed() -> list[str]:
        logs = "".join(worker.child.log.read_text() for worker in scene.servers.workers)
        lines = [line for line in logs.splitlines() if "unknown to the restored database" in line]
        return [id for id in ids if not any(id in line for line in lines)]

    scene.checks["restored: what is lost is named in a log"] = unnamed


async def _pause(scene: Scene, tenant: int, order: str) -> None:
    for channel in CHANNELS:
        await scene.crowd.tenants[tenant].ok("POST", f"/channels/{channel}/{order}")


async def _restore(servers: Servers, dump: Path) -> None:
    await _run(servers, "dropdb", "--force", DATABASE)
    await _run(servers, "createdb", DATABASE)
    await _run(servers, "pg_restore", "--exit-on-error", f"--dbname={DATABASE}", str(dump))


async def _run(servers: Servers, program: str, *arguments: str) -> None:
    """One of Postgres' own programs, as its superuser."""
    port = servers.info.database_url.rpartition(":")[2].partition("/")[0]
    cluster = servers.cluster
    environment = {**os.environ, "PGPASSWORD": cluster.password, "PGHOST": "127.0.0.1", "PGPORT": port}
    process = await asyncio.create_subprocess_exec(
        str(cluster.binaries / program), "--username=postgres", *arguments, env=environment
    )
    assert await process.wait() == 0, f"{program}: exit code {process.returncode}"


async def _start_held(scene: Scene, sent: Sequence[Sent], unsent: Sequence[Sent]) -> None:
    """A name that no backup of this run knows. Nothing goes out until it is released."""
    servers, name = scene.servers, f"restore-{scene.dice.getrandbits(32):08x}"
    parts = [scene.part("api"), *servers.workers]
    for part in parts:
        env = {**(part.child.env or {}), "TOCSIN_HOLD_ON_START": name}
        part.child = replace(part.child, env=env)
    before = len(servers.desk.books())
    await parts[0].start()
    starting = asyncio.gather(*(worker.start() for worker in servers.workers))
    await eventually(lambda: _held_workers(servers, name), lambda count: count == len(servers.workers), 60)
    http = scene.crowd.tenants[0].http
    ready = (await http.get(f"{servers.info.api_url}/readyz")).json()
    assert ready["hold"]["name"] == name, ready
    during = await scene.crowd.burst(2, ASK_TEXT, 0, "silent")
    assert len(servers.desk.books()) == before, "something was sent while everything was held"
    settings = Settings(env="dev", database_url=servers.info.database_url, _env_file=None)
    scene.notes.append(await release_and_describe(settings, name))
    await starting

    async def lost() -> list[str]:
        """Accepted during the hold: nobody can have sent them before."""
        return [sent.id for sent in during if await _messages(scene, sent) != 1]

    scene.checks["restored: what comes during the hold is sent once"] = lost


async def _held_workers(servers: Servers, name: str) -> int:
    logs = [worker.child.log.read_text() for worker in servers.workers]
    return sum(f'"hold": "{name}"' in log for log in logs)


async def _wrong(scene: Scene, sent: Sequence[Sent], unsent: Sequence[Sent]) -> list[Any]:
    rows = await scene.books.rows(STATUSES, [each.id for each in (*sent, *unsent)])
    statuses = {row["id"]: row["status"] for row in rows}
    wrong = []
    for each, allowed in [*((one, SENT_BEFORE) for one in sent), *((one, NOT_SENT_BEFORE) for one in unsent)]:
        ends, counts = allowed[each.kind.key]
        status, count = statuses.get(each.id), await _messages(scene, each)
        if status not in ends or count not in counts:
            wrong.append({"id": each.id, "kind": each.kind.key, "status": status, "messages": count})
    return wrong


def _address(scene: Scene, sent: Sent) -> str:
    recipient = scene.crowd.tenants[sent.tenant].bodies[sent.key]["recipient"]
    return str(recipient["email" if sent.kind is ASK_MAIL else "phone"])


async def _messages(scene: Scene, sent: Sent) -> int:
    """What the vendors have for this recipient, who gets nothing else."""
    to = _address(scene, sent)
    return sum(entry["kind"] == "kept" and entry["to"] == to for entry in scene.desk.books())
