"""Send the answers to STOP, START and HELP, each at most once. Runs in the API process, which receives the messages.

An answer is claimed before the call, and not repeated whatever the outcome: one that is missing is better than two.
"""

import asyncio
from collections.abc import Mapping

import structlog

from dispatch.background_loops import Loop
from domain.inbound_messages import Keyword
from metrics.inbound_messages import count_sms_answer
from providers.base import Provider
from providers.outcomes import ProviderError, ProviderRefusal
from storage import inbound_messages
from storage.database import Database
from storage.inbound_messages import DueAnswer

log = structlog.get_logger(__name__)

POLL_INTERVAL = 30.0  # seconds; a process that stores a message wakes its own loop
BATCH_SIZE = 20


class SmsAnswerer:
    """Send answers. `texts` has those keywords that are answered."""

    def __init__(self, database: Database, providers: Mapping[str, Provider], texts: Mapping[Keyword, str]) -> None:
        self._database = database
        self._providers = providers
        self._texts = texts
        self._loop = Loop("SMS answers", self.answer_due)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def answer_due(self) -> float:
        async with self._database.statement() as session:
            claimed = await inbound_messages.claim_answers(session, BATCH_SIZE)
        await asyncio.gather(*(self._answer(answer) for answer in claimed))
        return 0.0 if claimed else POLL_INTERVAL

    async def _answer(self, answer: DueAnswer) -> None:
        outcome, reason = await self._send(answer)
        count_sms_answer(answer.provider, outcome)
        if reason is not None:
            log.warning("an SMS was not answered", message=str(answer.id), provider=answer.provider, reason=reason)

    async def _send(self, answer: DueAnswer) -> tuple[str, str | None]:
        """Return the outcome, and why the answer is not accepted."""
        provider, text = self._providers.get(answer.provider), self._texts.get(answer.keyword)
        if provider is None or text is None:  # another process, with other settings, has stored the message
            return "error", "not_configured"
        try:
            async with asyncio.timeout(provider.deadline):
                outcome = await provider.answer_sms(answer.from_number, answer.to_number, text)
        except TimeoutError:
            return "error", "timeout"
        except ProviderError as error:
            return "error", error.reason
        return ("refused", outcome.reason) if isinstance(outcome, ProviderRefusal) else ("accepted", None)
