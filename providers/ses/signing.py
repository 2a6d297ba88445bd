"""Sign requests to AWS (Signature Version 4) with credentials that aiobotocore finds and renews. Used by `ses`.

Tocsin's transport sends them. aiobotocore's own client follows redirects, reports a reset after the request like a
refused connection, and reads responses of any size.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from config.sources import InvalidSettings
from providers.outcomes import PermanentError, TemporaryError
from providers.ses.settings import SesSettings

SERVICE = "ses"
# Seconds. Credentials of a machine's role come from the network.
CREDENTIALS_TIMEOUT = 5.0


class RequestSigner:
    """Sign requests. Raises InvalidSettings if the extra is not installed."""

    def __init__(self, settings: SesSettings) -> None:
        try:
            import aiobotocore.session
            from botocore import auth, awsrequest, exceptions
        except ImportError:
            raise InvalidSettings("the provider ses needs the package aiobotocore: install the extra 'ses'") from None
        self._auth, self._request = auth.SigV4Auth, awsrequest.AWSRequest
        self._errors = (exceptions.BotoCoreError, exceptions.ClientError, OSError, TimeoutError)
        self._region = settings.region
        self._session = aiobotocore.session.get_session()
        if settings.access_key_id:
            self._session.set_credentials(settings.access_key_id, settings.secret_access_key.get_secret_value())

    async def sign(self, method: str, url: str, body: bytes = b"") -> Mapping[str, str]:
        """Return the headers of the request. Nothing of it has been sent when this raises."""
        request = self._request(method=method, url=url, data=body, headers={"Content-Type": "application/json"})
        self._auth(await self._load_credentials(), SERVICE, self._region).add_auth(request)
        return dict(request.headers.items())

    async def _load_credentials(self) -> Any:
        try:
            async with asyncio.timeout(CREDENTIALS_TIMEOUT):
                credentials = await self._session.get_credentials()
                if credentials is not None:
                    return await credentials.get_frozen_credentials()
        except self._errors as error:
            raise TemporaryError("token_unavailable", {"error": type(error).__name__}) from error
        raise PermanentError("credentials_refused", {"error": "no credentials found"})
