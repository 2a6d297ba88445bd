"""Fetch and cache Google access tokens for a service account. Used by `fcm`.

One token is cached at a time, until shortly before it expires.
https://developers.google.com/identity/protocols/oauth2/service-account
"""

import asyncio
import time
from typing import Any

from firebase_admin import credentials
from google.auth import jwt

from providers.outcomes import PermanentError, TemporaryError, UnknownOutcome
from providers.transport import Transport, parse_retry_after

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Well below the deadline of a call, so that a missing token proves that nothing was sent.
TOKEN_DEADLINE = 5.0
RENEWAL_MARGIN = 300
# Google can revoke a token that has worked before. A token younger than this has never worked.
NEW_TOKEN_SECONDS = 10.0


class AccessTokens:
    """Cache the access token for `scope`, fetched from `url`."""

    def __init__(self, account: credentials.Certificate, scope: str, url: str, transport: Transport) -> None:
        self._account = account
        self._scope = scope
        self._url = url
        self._transport = transport
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0
        self._fetched_at = 0.0

    async def get_token(self) -> str:
        """Return a valid token. Raises TemporaryError or PermanentError, never UnknownOutcome: no message has been sent
        yet.
        """
        try:
            async with asyncio.timeout(TOKEN_DEADLINE), self._lock:
                if time.time() >= self._renew_at:
                    await self._renew()
                return self._token
        except (TimeoutError, UnknownOutcome) as error:
            raise TemporaryError("token_unavailable") from error

    def invalidate(self, token: str) -> None:
        if token == self._token:
            self._renew_at = 0.0

    def is_new(self, token: str) -> bool:
        """Return whether this token was fetched moments ago. If the vendor refuses a new token, it refuses the
        account. A former token may be refused late, after another call has fetched the next one.
        """
        return token == self._token and time.time() - self._fetched_at < NEW_TOKEN_SECONDS

    async def _renew(self) -> None:
        http_response = await self._transport.post(
            self._url, data={"grant_type": GRANT_TYPE, "assertion": self._sign_assertion()}
        )
        if 400 <= http_response.status < 404:
            raise PermanentError("credentials_refused", {"status": http_response.status})
        body = http_response.json()
        token, expires_in = body.get("access_token"), body.get("expires_in")
        if not http_response.is_2xx or not isinstance(token, str) or not isinstance(expires_in, int):
            raise TemporaryError(
                "token_unavailable",
                {"status": http_response.status},
                retry_after=parse_retry_after(http_response.headers),
            )
        self._fetched_at = time.time()  # not the monotonic clock, which stops while a machine sleeps
        self._token, self._renew_at = token, self._fetched_at + expires_in - RENEWAL_MARGIN

    def _sign_assertion(self) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {"iss": self._account.service_account_email, "scope": self._scope, "aud": self._url}
        claims |= {"iat": now, "exp": now + 3600}
        signed: bytes = jwt.encode(self._account.signer, claims)  # type: ignore[no-untyped-call]
        return signed.decode()
