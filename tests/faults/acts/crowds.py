"""One tenant's flood beside another's few, and passwords behind a backlog of bulk."""

from statistics import median, quantiles

from tests.faults.acts.table import outage
from tests.faults.crowd import Sent
from tests.faults.kinds import AGAIN_MAIL, PASSWORD
from tests.faults.pace import lasting
from tests.faults.scene import Scene

FEW = 10
APART = 0.2
TIMES = """
SELECT extract(epoch FROM a.started_at - n.created_at) AS seconds FROM notification n
  JOIN attempt a ON a.notification_id = n.id AND a.number = 1 WHERE n.id::text = ANY($1)
"""
# A quiet tenant's p95 beside its own on an idle machine, while the machine is busy.
AT_MOST = 10
SLOWEST_RATE = 12.0  # of a machine on which a flood is to end, per second
# Seconds. A password is asked for by somebody who waits; of the flood before it forty seconds are left.
SOON = 2.0


@outage
async def flood_of_one_tenant(scene: Scene) -> None:
    """1,000 of one tenant at once (10,000 in the long run): another's few, and its own passwords, pass them."""
    scene.trickle.pause()
    await scene.quiet()
    quiet, urgent = await few(scene, 1), await few(scene, 0, password=True)
    bulk = await scene.crowd.batch(scene.scale.flood)
    beside, passwords = await few(scene, 1), await few(scene, 0, password=True)
    waiting = len(bulk) - await scene.count(bulk, "accepted")
    assert waiting > 0, "the flood was over before the others came"
    scene.notes.append(
        f"{waiting} of {len(bulk)} waiting; from acceptance to the attempt, beside them and alone: "
        f"another tenant {told(beside)} and {told(quiet)}, passwords {told(passwords)} and {told(urgent)}"
    )
    within = 60 + len(bulk) / SLOWEST_RATE
    await scene.reach(bulk, len(bulk), "accepted", within=within)
    scene.trickle.resume()
    limit = AT_MOST * p95(quiet)
    assert p95(beside) <= limit, f"I11: p95 {p95(beside):.3f} s beside a flood, at most {limit:.3f} s"
    limit = max(AT_MOST * p95(urgent), SOON)
    assert p95(passwords) <= limit, f"passwords: p95 {p95(passwords):.3f} s behind a flood, at most {limit:.3f} s"


async def few(scene: Scene, tenant: int, *, password: bool = False) -> list[float]:
    """Seconds from the INSERT to the attempt, of a few that are sent one after the other."""
    sent: list[Sent] = []
    for _ in range(FEW):
        sent.append(await scene.crowd.send(PASSWORD if password else AGAIN_MAIL, tenant))
        await lasting(APART)
    await scene.reach(sent, FEW, "accepted", "submitting", "unknown", "not_accepted", within=30)
    return [float(row["seconds"]) for row in await scene.books.rows(TIMES, [each.id for each in sent])]


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1]


def told(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.0f} ms (p95 {p95(seconds) * 1000:.0f})"
