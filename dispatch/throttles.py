"""Begins the next window of a limit for those who wait for it. Run by the dispatcher that leads; the evidence loop then
tells their workflows to ask again."""

from storage import throttles
from storage.database import Database

LOOK_AGAIN = 2.0
WINDOWS_AT_ONCE = 20
FORGOTTEN_AT_ONCE = 500
FORGET_EVERY = 60.0


class Throttles:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def roll(self) -> float:
        async with self._database.statement() as session:
            left = await throttles.seconds_to_next(session)
        if left is None or left > 0:
            return LOOK_AGAIN if left is None else min(left, LOOK_AGAIN)
        async with self._database.transaction() as session:
            await throttles.roll(session, WINDOWS_AT_ONCE)
        return 0.0

    async def forget(self) -> float:
        async with self._database.transaction() as session:
            await throttles.forget(session, FORGOTTEN_AT_ONCE)
        return FORGET_EVERY
