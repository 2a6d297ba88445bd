"""Tells the operator of receipts that name the account as the cause, and counts them against the provider.

Called by the receipt applier. Recipients are never suppressed for them.
"""

from collections import Counter
from collections.abc import Sequence

import structlog

from domain.circuits import Tally
from domain.evidence import EVIDENCE_OF_RECEIPT, Evidence, ReceiptKind
from domain.failure_reasons import counts_for_circuit, is_account
from metrics.attempts import count_account_error
from storage import provider_health
from storage.database import Database
from storage.receipts import StoredReceipt

log = structlog.get_logger(__name__)


async def report(database: Database, applied: Sequence[StoredReceipt]) -> None:
    """Log and count each. Those that say that no message passes move the provider's circuit."""
    found = [receipt for receipt in applied if _names_the_account(receipt)]
    for receipt in found:
        count_account_error(receipt.provider, receipt.reason)
    for (provider, reason), times in Counter((receipt.provider, receipt.reason) for receipt in found).items():
        log.error("a provider reports a problem of our account", provider=provider, reason=reason, messages=times)
    errors = Counter(receipt.provider for receipt in found if counts_for_circuit(receipt.reason))
    for provider, times in sorted(errors.items()):
        async with database.quick_transaction() as session:
            await provider_health.move(session, provider, Tally(calls=times, errors=times))


def _names_the_account(receipt: StoredReceipt) -> bool:
    bounced = EVIDENCE_OF_RECEIPT.get(ReceiptKind(receipt.kind)) is Evidence.BOUNCED
    return bounced and is_account(receipt.reason)
