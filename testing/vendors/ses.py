"""Simulate Amazon SES and SNS: sends, the account, signed events, certificates and confirmed subscriptions."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from functools import cache
from typing import ClassVar
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from domain.json_types import Json
from providers.ses.receipts import REFERENCE
from testing.vendors.emails import email_of_mime
from testing.vendors.http import Reply, Request, UndocumentedRequest, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-1"
TOPIC_ARN = f"arn:aws:sns:{REGION}:123456789012:tocsin"
CERTIFICATE_PATH = "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\w+)/((\d{8})/([a-z0-9-]+)/ses/aws4_request), "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
REQUIRED = {"Content", "Destination", "EmailTags"}
OPTIONAL = {"ConfigurationSetName", "ConfigurationOverrides"}


@cache
def signing_key(owner: str = "Amazon SNS") -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def certificate_of(key: RSAPrivateKey, *, age: timedelta = timedelta()) -> bytes:
    """Return a certificate that is valid for a year from yesterday, minus the age."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    start = datetime.now(UTC) - timedelta(days=1) - age
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=365))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def request_signature(request: Request, secret: str, scope: str, signed_headers: str) -> str:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    lines = [f"{name}:{request.headers[name]}" for name in signed_headers.split(";")]
    payload = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join([request.method, request.path, "", *lines, "", signed_headers, payload])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def sign_message(message: Mapping[str, str], key: RSAPrivateKey) -> str:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html"""
    unsigned = {"Signature", "SignatureVersion", "SigningCertURL", "UnsubscribeURL"}
    text = "".join(f"{name}\n{message[name]}\n" for name in sorted(message.keys() - unsigned))
    algorithm = SHA256() if message["SignatureVersion"] == "2" else SHA1()  # noqa: S303 - what version 1 uses
    return base64.b64encode(key.sign(text.encode(), PKCS1v15(), algorithm)).decode()


class FakeSes(FakeVendor):
    """Simulate the vendor. `account` is what it reports about itself. `certificate` belongs to `key`; `fetches` counts
    its requests, and `confirmations` are the targets of confirmed subscriptions.
    """

    name: ClassVar[str] = "ses"
    receipt_type: ClassVar[str] = "text/plain; charset=UTF-8"
    settings: ClassVar[Mapping[str, str]] = {
        "REGION": REGION,
        "ACCESS_KEY_ID": ACCESS_KEY_ID,
        "SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "FROM": "shop@example.com",
    }
    event_names: ClassVar[Mapping[str, str]] = {"delivered": "Delivery", "open": "Open"}
    url_settings: ClassVar[Sequence[str]] = ("BASE_URL", "SNS_URL")

    def __init__(
        self,
        secret: str | None = SECRET_ACCESS_KEY,
        *,
        key: RSAPrivateKey | None = None,
        log: VendorLog | None = None,
    ) -> None:
        super().__init__(secret, log)
        self.key = key or signing_key()
        self.certificate = Reply(status=200, body=certificate_of(self.key))
        self.account = {"SendingEnabled": True, "EnforcementStatus": "HEALTHY", "ProductionAccessEnabled": True}
        self.signature_version = "1"
        self.fetches = 0
        self.confirmations: list[str] = []

    def is_authenticated(self, request: Request) -> bool:
        match = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if match is None:
            raise UndocumentedRequest("no signature of version 4")
        access_key_id, scope, _, _, signed_headers, signature = match.groups()
        require({"host", "x-amz-date"} <= set(signed_headers.split(";")), "a header is not signed")
        if self.accepts_any:
            return True
        expected = request_signature(request, self.authorization or "", scope, signed_headers)
        return (access_key_id, signature) == (ACCESS_KEY_ID, expected)

    def extra_reply(self, request: Request) -> Reply | None:
        if request.target.endswith(".pem"):
            self.fetches += 1
            return self.certificate
        if request.target.startswith("/?Action=ConfirmSubscription&"):
            self.confirmations.append(request.target)
            return Reply(status=200, body=b"<ConfirmSubscriptionResponse/>")
        return None

    def receipt_settings(self) -> Mapping[str, str]:
        return {"TOPIC_ARN": TOPIC_ARN}

    def read(self, request: Request) -> VendorMessage:
        require((request.method, request.target) == ("POST", "/v2/email/outbound-emails"), "it is no send")
        send = request.json
        require(REQUIRED <= set(send) <= REQUIRED | OPTIONAL, f"undocumented fields: {sorted(send)}")
        raw = base64.b64decode(send["Content"]["Raw"]["Data"], validate=True)
        require(all(len(line) < 1_000 for line in raw.split(b"\r\n")), "a line is too long")
        [to] = send["Destination"]["ToAddresses"]
        recipients = [each for addresses in send["Destination"].values() for each in addresses]
        require(to.isascii() and len(recipients) <= 50, "an address that is not ASCII, or too many")
        [reference] = [tag["Value"] for tag in send["EmailTags"] if tag["Name"] == REFERENCE]
        email = email_of_mime(message_from_bytes(raw, policy=policy.default), recipients)
        message_id = f"0102{uuid4().hex[:12]}-{uuid4()}-000000"
        return VendorMessage(reference=reference, to=to, message_id=message_id, email=email)

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        return Reply(status=200, body={"MessageId": message.message_id})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            return error_reply(429, "TooManyRequestsException", "Maximum sending rate exceeded.", after="2000")
        if mode is VendorMode.BREAKS:
            return error_reply(403, "UnrecognizedClientException", "The security token included is invalid.")
        return error_reply(400, "BadRequestException", "Illegal address")

    def look_up(self, request: Request) -> Reply:
        require(request.target == "/v2/email/account", "it is no query")
        return Reply(status=200, body=self.account)

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html"""
        time = at.astimezone(UTC).isoformat(timespec="milliseconds")
        mail: Json = {"timestamp": time, "messageId": message.message_id, "destination": [message.to]}
        mail["tags"] = {REFERENCE: [message.reference], "ses:configuration-set": ["tocsin"]}
        details: Json = {"timestamp": time} | ({"recipients": [message.to]} if event == "Delivery" else {})
        return json.dumps({"eventType": event, "mail": mail, event.lower(): details}).encode()

    def signed_receipt(self, body: bytes, url: str, at: datetime) -> tuple[Mapping[str, str], bytes]:
        """Return the headers of SNS, which prove nothing, and its message: the signature is inside."""
        message = self.wrap({"Type": "Notification", "Message": body.decode(errors="replace")}, at)
        return self.sign_receipt(message, url, at), message

    def wrap(self, fields: Mapping[str, str], at: datetime) -> bytes:
        """Return a signed message of SNS with these fields."""
        time = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = {"MessageId": str(uuid4()), "TopicArn": TOPIC_ARN, "Timestamp": time}
        message |= {"SignatureVersion": self.signature_version, "SigningCertURL": f"{self.url}{CERTIFICATE_PATH}"}
        message |= fields
        return json.dumps(message | {"Signature": sign_message(message, self.key)}).encode()

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        return {"x-amz-sns-message-type": "Notification", "x-amz-sns-topic-arn": TOPIC_ARN}


def error_reply(status: int, code: str, text: str, *, after: str | None = None) -> Reply:
    headers = {"x-amzn-ErrorType": code} | ({"x-amz-retry-after": after} if after else {})
    return Reply(status=status, body={"message": text}, headers=headers)
