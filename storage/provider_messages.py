"""Whose a message is that a provider has, as a lookup has found it. Called where outcomes are recorded."""

from sqlalchemy import text

from domain.records import AttemptRecord
from storage.statements import Executor

LOCK_MESSAGE = text("SELECT pg_advisory_xact_lock(hashtextextended(:provider || ' ' || :message, 0))")
IS_MESSAGE_TAKEN = text("""
SELECT true FROM attempt WHERE provider = :provider AND provider_message_id = :message AND id <> :id LIMIT 1
""")
# A call of the same words to the same address that has no answer yet. After an hour it is none any more, whatever
# became of its process.
HAS_CONCURRENT_CALL = text("""
SELECT true FROM attempt mine
  JOIN delivery d ON d.id = mine.delivery_id
  JOIN attempt other ON other.address_hash = mine.address_hash AND other.state = 'submitting' AND other.id <> mine.id
   AND other.provider = mine.provider AND other.started_at > now() - interval '1 hour'
  JOIN delivery e ON e.id = other.delivery_id AND e.rendered_content = d.rendered_content
 WHERE mine.id = :id LIMIT 1
""")


async def claim_message(session: Executor, attempt: AttemptRecord, message: str) -> bool:
    """Whether the vendor's message may be this attempt's; False if another has it. Of two that ask at the same moment
    the second waits until the first has committed."""
    values = {"provider": attempt.provider, "message": message}
    await session.execute(LOCK_MESSAGE, values)
    return (await session.execute(IS_MESSAGE_TAKEN, {**values, "id": attempt.id})).scalar_one_or_none() is None


async def has_concurrent_call(session: Executor, attempt: AttemptRecord) -> bool:
    """Return whether a call is in flight whose message may be mistaken for this attempt's: its id is not known yet."""
    return (await session.execute(HAS_CONCURRENT_CALL, {"id": attempt.id})).scalar_one_or_none() is not None
