"""Create the keys with which Tocsin and the fake vendors of a run know each other."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import trustme
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from providers.web_push.vapid import load_private_key, new_private_key, public_key_of
from testing.vendors import fcm
from testing.vendors.http import HOST

AUTHORITY, CERTIFICATE = "vendor-authority.pem", "vendor-certificate.pem"


@dataclass(frozen=True, kw_only=True)
class VendorKeys:
    """Hold private keys: that of SendGrid's events, those of the accounts at APNs and FCM, and that of the browser with
    its `browser_secret`. `web_push` is Tocsin's, in the format of the setting.
    """

    sendgrid: EllipticCurvePrivateKey
    apns: EllipticCurvePrivateKey
    browser: EllipticCurvePrivateKey
    fcm: RSAPrivateKey
    browser_secret: bytes
    web_push: str

    @property
    def web_push_public(self) -> str:
        """Return the key that the browser subscribed with."""
        return public_key_of(load_private_key(self.web_push))

    @property
    def texts(self) -> dict[str, str]:
        pems = {name: pem(getattr(self, name)) for name in ("sendgrid", "apns", "browser", "fcm")}
        return {**pems, "browser_secret": self.browser_secret.hex(), "web_push": self.web_push}

    @classmethod
    def from_texts(cls, texts: dict[str, str]) -> "VendorKeys":
        return cls(
            sendgrid=_curve_key(texts["sendgrid"]),
            apns=_curve_key(texts["apns"]),
            browser=_curve_key(texts["browser"]),
            fcm=_rsa_key(texts["fcm"]),
            browser_secret=bytes.fromhex(texts["browser_secret"]),
            web_push=texts["web_push"],
        )


@cache
def vendor_keys() -> VendorKeys:
    """Return the keys of this process, which starts the others."""
    sendgrid, apns, browser = (generate_private_key(SECP256R1()) for _ in range(3))
    return VendorKeys(
        sendgrid=sendgrid,
        apns=apns,
        browser=browser,
        fcm=fcm.new_key(),
        browser_secret=uuid4().bytes,
        web_push=new_private_key(),
    )


def write_certificates(folder: Path) -> None:
    """Write a certificate for the vendors that need TLS, and the authority that workers trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / AUTHORITY))
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(folder / CERTIFICATE))


def pem(key: EllipticCurvePrivateKey | RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _curve_key(text: str) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(text.encode(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return key


def _rsa_key(text: str) -> RSAPrivateKey:
    key = load_pem_private_key(text.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key
