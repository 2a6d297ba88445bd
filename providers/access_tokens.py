"""Google's access tokens for a service account, one at a time and kept until shortly before it ends: for FCM.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

import asyncio
import time
from typing import Any

from firebase_admin import credentials
from google.auth import jwt

from providers.outcomes import Permanent, Temporary, Unknown
from providers.transport import Transport, retry_after

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Well inside the call's deadline, so that a token that does not come is known to have sent nothing.
TOKEN_DEADLINE = 5.0
RENEW_BEFORE = 300
# A token that has worked may be taken back; one that is this young never has.
FRESH = 10.0


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

    async def current(self) -> str:
        """Raises Temporary or Permanent, never Unknown: no message has left."""
        try:
            async with asyncio.timeout(TOKEN_DEADLINE), self._lock:
                if time.time() >= self._renew_at:
                    await self._renew()
                return self._token
        except (TimeoutError, Unknown) as error:
            raise Temporary("token_unavailable") from error

    def forget(self, token: str) -> None:
        if token == self._token:
            self._renew_at = 0.0

    @property
    def fresh(self) -> bool:
        """Whether the token has been fetched moments ago: then a vendor that refuses it refuses us."""
        return time.time() - self._fetched_at < FRESH

    async def _renew(self) -> None:
        answer = await self._transport.post(self._url, data={"grant_type": GRANT, "assertion": self._assertion()})
        if 400 <= answer.status < 404:
            raise Permanent("credentials_refused", {"status": answer.status})
        told = answer.json()
        token, lasts = told.get("access_token"), told.get("expires_in")
        if not answer.is_2xx or not isinstance(token, str) or not isinstance(lasts, int):
            raise Temporary("token_unavailable", {"status": answer.status}, retry_after=retry_after(answer.headers))
        self._fetched_at = time.time()  # not the monotonic clock, which stands still while a machine sleeps
        self._token, self._renew_at = token, self._fetched_at + lasts - RENEW_BEFORE

    def _assertion(self) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {"iss": self._account.service_account_email, "scope": self._scope, "aud": self._url}
        claims |= {"iat": now, "exp": now + 3600}
        signed: bytes = jwt.encode(self._account.signer, claims)  # type: ignore[no-untyped-call]
        return signed.decode()
