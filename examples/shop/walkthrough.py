"""Walk through the example shop with requests to a running `make run`: .venv/bin/python examples/shop/walkthrough.py

It uses only what your own service would use: HTTP, a key, JSON. The sandbox delivers, and simulates faults where an
address selects one (recipients.yaml), so that you see failures too.
"""

import json
import os
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import yaml

HERE = Path(__file__).resolve().parent
WAIT_SECONDS = 60


def connect() -> httpx2.Client:
    """Connect to TOCSIN_API_URL with TOCSIN_API_KEY, or to the stack that runs here."""
    url, key = os.environ.get("TOCSIN_API_URL"), os.environ.get("TOCSIN_API_KEY")
    if not url:
        run = Path(os.environ.get("TOCSIN_DATA_DIR", ".tocsin"), "run.json")
        if not run.exists():
            sys.exit(f"Tocsin does not run here ({run} is missing). Start it with: make run")
        info = json.loads(run.read_text())
        url, key = info["api_url"], key or info["api_key"]
    return httpx2.Client(
        base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30
    )


class ShopClient:
    def __init__(self, http: httpx2.Client) -> None:
        self.http = http

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        response = self.http.request(method, path, json=body, headers=headers)
        if response.status_code >= 400:
            sys.exit(f"{method} {path} returned {response.status_code}: {response.text}")
        return response.json()

    def real_providers(self) -> list[str]:
        """Return the real providers of the channels in use. The recipients are invented, and their numbers may be in
        use.
        """
        providers = [provider for provider in self.call("GET", "/providers")["items"] if provider["name"] != "sandbox"]
        return [provider["name"] for provider in providers if {"email", "sms", "push"} & provider["weights"].keys()]

    def create_recipients(self, recipients: list[dict[str, Any]]) -> None:
        for recipient in recipients:
            path = f"/recipients/{recipient.pop('recipient_id')}"
            devices, preferences = recipient.pop("devices", {}), recipient.pop("preferences", {})
            self.call("PUT", path, recipient)
            for name, device in devices.items():
                self.call("PUT", f"{path}/devices/{name}", device)
            self.call("PUT", f"{path}/preferences", preferences)

    def send(self, notification_type: str, recipient: str, *, key: str | None = None, **fields: Any) -> str:
        """Send and return the id. With `key`, a repeated request returns the same notification."""
        body = {"notification_type": notification_type, "recipient_id": recipient, **fields}
        sent = self.call("POST", "/notifications/send", body, **({"Idempotency-Key": key} if key else {}))
        return str(sent["id"])

    def print_outcome(self, sentence: str, id: str, *until: str) -> dict[str, Any]:
        """Wait until it has one of these statuses and each channel its receipt, and print the result."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_finished(state := self.call("GET", f"/notifications/{id}"), until):
            if time.monotonic() > deadline or state["status"] not in ("PENDING", "SENT", *until):
                sys.exit(
                    f"{sentence}\n  It should be {' or '.join(until)} and is {state['status']}; ./tocsin show {id}"
                )
            time.sleep(0.1)
        print(f"\n{sentence}\n  {state['status']}{': ' + state['failure_reason'] if state['failure_reason'] else ''}")
        for delivery in state["deliveries"]:
            print(f"  {delivery['channel']:<6} {delivery['status']:<10} {describe_delivery(delivery)}")
        return dict(state)


def is_finished(state: dict[str, Any], until: tuple[str, ...]) -> bool:
    return state["status"] in until and all(delivery["status"] != "SENT" for delivery in state["deliveries"])


def describe_delivery(delivery: dict[str, Any]) -> str:
    """Return why it was not sent, or its attempts and first words."""
    if delivery["failure_reason"]:
        return str(delivery["failure_reason"])
    content = delivery["rendered_content"] or {}
    excerpt = content.get("subject") or content.get("text") or content.get("body") or ""
    attempts = len(delivery["attempts"])
    return f"{excerpt}{f'  (attempt {attempts})' if attempts > 1 else ''}"


def main() -> None:
    with connect() as http:
        shop = ShopClient(http)
        if real := shop.real_providers():
            sys.exit(f"The walkthrough needs the sandbox, but this Tocsin also sends by {', '.join(real)}.")
        shop.create_recipients(yaml.safe_load((HERE / "recipients.yaml").read_text(encoding="utf-8")))
        show_deliveries(shop)
        show_failures(shop)
        show_preferences(shop)
        show_idempotency_and_cancel(shop)
        print("\nThe messages: /outbox. The events: ./tocsin tail")


def show_deliveries(shop: ShopClient) -> None:
    code = shop.send("one-time-password", "mia", payload={"code": "424242"})
    shop.print_outcome("Mia signs in. Her code overtakes all other messages.", code, "DELIVERED")
    parcel = shop.send("order.shipped", "mia", payload={"order": "A-1", "carrier": "Kite"})
    shop.print_outcome("Her parcel is shipped. A push message suffices.", parcel, "DELIVERED")
    invoice = {"number": "2026-17", "lines": [{"what": "Lamp", "price": "30 €"}], "total": "30 €"}
    shop.print_outcome(
        "Omar's invoice is accepted by the mail server at the third attempt.",
        shop.send("invoice", "omar", payload=invoice),
        "DELIVERED",
    )


def show_failures(shop: ShopClient) -> None:
    parcel = {"order": "B-2", "carrier": "Drachen"}
    jonas = shop.send("order.shipped", "jonas", payload=parcel)
    shop.print_outcome("Jonas removed the app: his push is refused, so he gets an SMS, in German.", jonas, "DELIVERED")
    lena = shop.send("order.shipped", "lena", payload=parcel)
    shop.print_outcome("Lena has no app and an invalid number: she gets an email.", lena, "DELIVERED")
    code = shop.send("one-time-password", "noor", payload={"code": "171717"})
    shop.print_outcome(
        "The response to Noor's SMS is lost. She may have the code; it is not sent twice.", code, "IN_DOUBT"
    )


def show_preferences(shop: ShopClient) -> None:
    alert = {"what": "Card 4711", "where": "Oslo"}
    shop.print_outcome("Mia also chose alerts by SMS.", shop.send("critical-alert", "mia", payload=alert), "DELIVERED")
    shop.print_outcome("Jonas did not: email only.", shop.send("critical-alert", "jonas", payload=alert), "DELIVERED")
    news = {"headline": "Lamps that listen"}
    shop.print_outcome("Mia gets the newsletter.", shop.send("newsletter", "mia", payload=news), "DELIVERED")
    shop.print_outcome("Lena opted out of marketing.", shop.send("newsletter", "lena", payload=news), "SUPPRESSED")


def show_idempotency_and_cancel(shop: ShopClient) -> None:
    key = f"order-A-3-shipped-{uuid.uuid4().hex[:8]}"
    ids = {shop.send("order.shipped", "mia", key=key, payload={"order": "A-3"}) for _ in range(3)}
    shop.print_outcome(
        f"A service sends three times with one Idempotency-Key: {len(ids)} notification.", ids.pop(), "DELIVERED"
    )
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = shop.send("order.shipped", "mia", payload={"order": "A-4"}, send_at=tomorrow)
    cancellation = shop.call("POST", f"/notifications/{later}/cancel")
    shop.print_outcome(f"A notification for tomorrow is canceled today: {cancellation['channels']}.", later, "CANCELED")


if __name__ == "__main__":
    main()
