"""Google's access tokens for a service account, one at a time and kept until shortly before it ends: for FCM.

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
# Well inside the call's deadline, so that a token that does not come is known to have sent nothing.
TOKEN_DEADLINE = 5.0
RENEWAL_MARGIN = 300
# A token that has worked may be taken back; one that is this young never has.
NEW_TOKEN_SECONDS = 10.0


class AccessTokens:
    """`scope` is what the token is good for, `url` where it is fetched."""

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
        """Raises TemporaryError or PermanentError, never Unknown: no message has left."""
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

    @property
    def is_new(self) -> bool:
        """Whether the token has been fetched moments ago: then a vendor that refuses it refuses us."""
        return time.time() - self._fetched_at < NEW_TOKEN_SECONDS

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
        self._fetched_at = time.time()  # not the monotonic clock, which stands still while a machine sleeps
        self._token, self._renew_at = token, self._fetched_at + expires_in - RENEWAL_MARGIN

    def _sign_assertion(self) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {"iss": self._account.service_account_email, "scope": self._scope, "aud": self._url}
        claims |= {"iat": now, "exp": now + 3600}
        signed: bytes = jwt.encode(self._account.signer, claims)  # type: ignore[no-untyped-call]
        return signed.decode()
