"""Sign the provider tokens (JWT) with which a team authenticates to APNs. Used by `apns`.

https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns: a token is
valid for an hour, and a new one is refused within 20 minutes of the last.
"""

import time

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# Seconds. All processes sign the same times, so that together they renew no more often than one.
RENEWAL_INTERVAL = 1_800
CLOCK_SKEW = 300
MIN_INTERVAL = 1_200


def read_private_key(pem: str) -> EllipticCurvePrivateKey:
    """Raises ValueError, without the text, if it is not an unencrypted P-256 key in PEM format."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (TypeError, ValueError):
        key = None
    if not (isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)):
        raise ValueError("not a P-256 key in PEM format, as in Apple's .p8 file")
    return key


class ProviderTokens:
    """Keep the current token. Signing needs no request, so a renewal delays and fails no send."""

    def __init__(self, team_id: str, key_id: str, key: EllipticCurvePrivateKey) -> None:
        self._team_id = team_id
        self._key_id = key_id
        self._key = key
        self._token = ""
        self._renew_at = 0.0
        self._replaced_at = 0.0

    def get_token(self) -> str:
        """Return a token that is 5 to 35 minutes old by its claims, or the one from `replace`."""
        if time.time() >= self._renew_at:
            issued_at = int(time.time() - CLOCK_SKEW) // RENEWAL_INTERVAL * RENEWAL_INTERVAL
            self._sign(issued_at, issued_at + CLOCK_SKEW + RENEWAL_INTERVAL)
        return self._token

    def replace(self, refused: str) -> bool:
        """Sign a new token for the next calls, because Apple refused this one as expired. Return False, and keep it, if
        it is itself such a new one: then the clock of this machine is wrong.
        """
        now = time.time()
        if refused != self._token:
            return True  # another call has replaced it
        if now - self._replaced_at < MIN_INTERVAL:
            return False
        self._replaced_at = now
        self._sign(int(now), now + RENEWAL_INTERVAL)
        return True

    def _sign(self, issued_at: int, renew_at: float) -> None:
        claims = {"iss": self._team_id, "iat": issued_at}
        self._token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
        self._renew_at = renew_at
