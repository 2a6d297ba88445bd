"""Simulate FCM, including its token endpoint, for one service account."""

import base64
import json
from typing import Any, ClassVar, Self
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers.access_tokens import GRANT_TYPE
from providers.fcm.adapter import CHECK_TOPIC, SCOPE
from testing.vendors.http import Reply, Request, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

# https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
FIELDS = {"token", "notification", "data", "android", "apns", "webpush", "fcm_options"}
ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


def error(code: int, status: str, fcm_code: str | None = None) -> Reply:
    """Return an error: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode"""
    details = [{"@type": ERROR_TYPE, "errorCode": fcm_code}] if fcm_code else []
    return Reply(status=code, body={"error": {"code": code, "message": status, "status": status, "details": details}})


def new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class FakeFcm(FakeVendor):
    """Simulate the vendor. `tokens` are the issued access tokens; only the last one is valid, for `lasts` seconds."""

    name: ClassVar[str] = "fcm"

    def __init__(
        self, key: RSAPrivateKey | None = None, project: str = "shop", *, log: VendorLog | None = None
    ) -> None:
        super().__init__("", log)
        self.key = key or new_key()
        self.project = project
        self.client = f"sender@{project}.iam.gserviceaccount.com"
        self.tokens: list[str] = []
        self.token_reply: Reply | None = None
        self.lasts = 3600

    @classmethod
    def stand_in(cls, log: VendorLog) -> Self:
        return cls(project="first-type", log=log)

    def account(self, key: RSAPrivateKey | None = None) -> dict[str, str]:
        """Return the service account in the vendor's format. With another key it has bad credentials."""
        pem = (key or self.key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        fields = {"type": "service_account", "project_id": self.project, "private_key_id": "k1", "private_key": pem}
        return {**fields, "client_email": self.client, "token_uri": f"{self.url}/not-used"}

    def extra_reply(self, request: Request) -> Reply | None:
        if request.target != "/token":
            return None
        require(request.form["grant_type"] == GRANT_TYPE, "another grant")
        if not self._is_signed(request.form["assertion"]):
            return Reply(status=400, body={"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        self.tokens.append(uuid4().hex)
        self.authorization = f"Bearer {self.tokens[-1]}"
        body = {"access_token": self.tokens[-1], "expires_in": self.lasts, "token_type": "Bearer"}
        return self.token_reply or Reply(status=200, body=body)

    def _is_signed(self, assertion: str) -> bool:
        signed, _, signature = assertion.rpartition(".")
        claims = json.loads(_decoded(signed.partition(".")[2]))
        expected = {"iss": self.client, "scope": SCOPE, "aud": f"{self.url}/token"}
        if {name: claims[name] for name in expected} != expected:
            self.complaints.append(f"{self.name} claims: {claims}")
        try:
            self.key.public_key().verify(_decoded(signature), signed.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    def is_lookup(self, request: Request) -> bool:
        return bool(request.json.get("validate_only"))

    def look_up(self, request: Request) -> Reply:
        expected = {"topic": CHECK_TOPIC, "notification": {"title": "Tocsin"}}
        require(request.json["message"] == expected, "another dry run than that of the check")
        if request.target != f"/v1/projects/{self.project}/messages:send":
            return error(403, "PERMISSION_DENIED")
        return Reply(status=200, body={"name": f"projects/{self.project}/messages/fake_message_id"})

    def read(self, request: Request) -> VendorMessage:
        require(request.target == f"/v1/projects/{self.project}/messages:send", "it is no send of the project")
        require(set(request.json) == {"message"}, "undocumented fields")
        message: dict[str, Any] = request.json["message"]
        require(set(message) <= FIELDS, f"undocumented fields: {sorted(message)}")
        require(message["android"]["priority"] in ("high", "normal"), "android.priority")
        headers = message["apns"]["headers"]
        require(headers["apns-priority"] in ("10", "5") and len(headers["apns-collapse-id"]) <= 64, "apns.headers")
        name = f"projects/{self.project}/messages/{uuid4().hex}"
        return VendorMessage(reference=message["data"]["attempt_id"], to=message["token"], message_id=name)

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        return Reply(status=200, body={"name": message.message_id})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            return error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
        if mode is VendorMode.BREAKS:
            return error(401, "UNAUTHENTICATED")
        return error(404, "NOT_FOUND", "UNREGISTERED")
