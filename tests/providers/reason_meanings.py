"""State what the engine makes of a reason code. For the tables of a vendor's errors."""

from domain.evidence import ReceiptKind
from domain.failure_reasons import REASONS, ReasonCategory, counts_for_circuit
from domain.suppressions import SuppressionReason, finding_from_receipt, finding_from_refusal

# The category, as a letter.
R, C, A, U = ReasonCategory
BOUNCED, OPTED_OUT, COMPLAINED = SuppressionReason.BOUNCED, SuppressionReason.OPTED_OUT, SuppressionReason.COMPLAINED
# The code, its category, why the address is suppressed, and whether it counts for the circuit.
Expected = tuple[str, ReasonCategory, SuppressionReason | None, bool]


def meaning(code: str | None, *, refused: bool = False) -> Expected:
    """Return the engine's interpretation of the code of a receipt, or of a call that is `refused` for it."""
    assert code is not None
    found = finding_from_refusal(code) if refused else finding_from_receipt(ReceiptKind.FAILED, code)
    return code, REASONS[code].category, found.reason if found else None, counts_for_circuit(code)
