"""A short part of `make faults`: three faults under a small load, and every promise checked as there."""

from pathlib import Path

import pytest

from tests.faults.play import on_stage, play
from tests.faults.residue import burden, grown
from tests.faults.scene import Scale

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# A worker dies in the worst moment, a vendor loses its answers, and receipts are faster than our own commit.
SOME = ("killed_after_the_answer", "taken_then_reset", "receipts_early")
SMALL = Scale(moment=1.5, burst=6, trickle=20, deadline=60)


async def test_after_a_few_faults_every_promise_has_been_kept(tmp_path: Path) -> None:
    async with on_stage(tmp_path / "data") as stage:
        told = await play(stage, seed=1, names=SOME, scale=SMALL)
        assert told.broken == {}
        assert told.stuck == 0
        assert told.accepted >= SMALL.trickle + len(SOME) * SMALL.burst
        assert told.sends > 0
        assert grown(stage.at_first, await burden(stage.servers, stage.books)) == []
