"""Apply the messages of recipients: STOP and START change the suppression list, and every message goes to the tenants
that it concerns. Called with the receipts of a callback."""

from collections.abc import Collection

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from domain.inbound_messages import InboundMessage, Keyword
from metrics.inbound_messages import count_inbound_message
from storage import inbound_messages, suppressions

log = structlog.get_logger(__name__)

SUPPRESSION_CHANGES = {Keyword.STOP: suppressions.opt_out, Keyword.START: suppressions.opt_in}


async def apply_inbound_message(
    session: AsyncSession, provider: str, message: InboundMessage, answered_keywords: Collection[Keyword]
) -> None:
    """Apply a message once: its receipt is new. `answered_keywords` are those that Tocsin answers."""
    if message.keyword in SUPPRESSION_CHANGES:
        await SUPPRESSION_CHANGES[message.keyword](session, provider, message.from_number)
    needs_answer = message.keyword in answered_keywords and not message.is_answered
    tenants = await inbound_messages.store(session, provider, message, needs_answer=needs_answer)
    count_inbound_message(provider, is_stored=tenants > 0)
    if tenants == 0:
        log.info("inbound message dropped: its number is unknown", provider=provider)
