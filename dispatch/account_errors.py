"""Report receipts that name the account as the cause to the operator, and count them against the provider.

Called by the receipt applier. These receipts never suppress a recipient.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import structlog

from domain.circuits import CallTally
from domain.clock import now
from domain.evidence import EVIDENCE_OF_RECEIPT, Evidence, ReceiptKind
from domain.failure_reasons import affects_whole_account, is_account_code
from metrics.attempts import count_account_error
from storage import provider_health
from storage.database import Database
from storage.receipts import StoredReceipt

# A late report says nothing about the present: the account may have been repaired since.
RECENT_WINDOW = timedelta(minutes=5)

log = structlog.get_logger(__name__)


async def report_account_errors(database: Database, applied: Sequence[StoredReceipt]) -> None:
    """Log and count each receipt. Recent ones after which no message passes change the provider's circuit."""
    found = [receipt for receipt in applied if _is_account_error(receipt)]
    for receipt in found:
        count_account_error(receipt.provider, receipt.reason)
    for (provider, reason), times in Counter((receipt.provider, receipt.reason) for receipt in found).items():
        log.error("a provider reports a problem with the account", provider=provider, reason=reason, messages=times)
    since = now() - RECENT_WINDOW
    errors = Counter(
        each.provider for each in found if affects_whole_account(each.reason) and each.occurred_at >= since
    )
    for provider, times in sorted(errors.items()):
        async with database.quick_transaction() as session:
            await provider_health.apply_tally(session, provider, CallTally(calls=times, errors=times))


def _is_account_error(receipt: StoredReceipt) -> bool:
    bounced = EVIDENCE_OF_RECEIPT.get(ReceiptKind(receipt.kind)) is Evidence.BOUNCED
    return bounced and is_account_code(receipt.reason)
