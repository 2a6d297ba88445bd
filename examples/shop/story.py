"""A morning in the shop, told by requests to a running `make run`:  .venv/bin/python examples/shop/story.py

Everything here is what a service of yours would do: HTTP, a key, JSON. The sandbox delivers, and misbehaves where an
address asks for it (recipients.yaml), so you see what happens on a bad day.
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
    """TOCSIN_API_URL and TOCSIN_API_KEY, or the stack that runs here."""
    url, key = os.environ.get("TOCSIN_API_URL"), os.environ.get("TOCSIN_API_KEY")
    if not url:
        run = Path(os.environ.get("TOCSIN_DATA_DIR", ".tocsin"), "run.json")
        if not run.exists():
            sys.exit(f"Nothing runs here ({run} is missing). Start it with: make run")
        info = json.loads(run.read_text())
        url, key = info["api_url"], key or info["api_key"]
    return httpx2.Client(
        base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30
    )


class Story:
    def __init__(self, http: httpx2.Client) -> None:
        self.http = http

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        response = self.http.request(method, path, json=body, headers=headers)
        if response.status_code >= 400:
            sys.exit(f"{method} {path} answered {response.status_code}: {response.text}")
        return response.json()

    def real_providers(self) -> list[str]:
        """Of the channels that the story uses; its people are made up, and their numbers may be somebody's."""
        providers = [one for one in self.call("GET", "/providers")["items"] if one["name"] != "sandbox"]
        return [one["name"] for one in providers if {"email", "sms", "push"} & one["weights"].keys()]

    def meet(self, people: list[dict[str, Any]]) -> None:
        for person in people:
            path = f"/recipients/{person.pop('recipient_id')}"
            devices, preferences = person.pop("devices", {}), person.pop("preferences", {})
            self.call("PUT", path, person)
            for name, device in devices.items():
                self.call("PUT", f"{path}/devices/{name}", device)
            self.call("PUT", f"{path}/preferences", preferences)

    def send(self, kind: str, person: str, *, key: str | None = None, **more: Any) -> str:
        """The id. With `key`, the same request again is the same notification."""
        body = {"notification_type": kind, "recipient_id": person, **more}
        sent = self.call("POST", "/notifications/send", body, **({"Idempotency-Key": key} if key else {}))
        return str(sent["id"])

    def tell(self, sentence: str, id: str, *until: str) -> dict[str, Any]:
        """Waits until it has one of these statuses and each channel its receipt, and prints what became of it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_over(shown := self.call("GET", f"/notifications/{id}"), until):
            if time.monotonic() > deadline or shown["status"] not in ("PENDING", "SENT", *until):
                sys.exit(
                    f"{sentence}\n  It should be {' or '.join(until)} and is {shown['status']}; ./tocsin show {id}"
                )
            time.sleep(0.1)
        print(f"\n{sentence}\n  {shown['status']}{': ' + shown['failure_reason'] if shown['failure_reason'] else ''}")
        for delivery in shown["deliveries"]:
            print(f"  {delivery['channel']:<6} {delivery['status']:<10} {described(delivery)}")
        return dict(shown)


def is_over(shown: dict[str, Any], until: tuple[str, ...]) -> bool:
    return shown["status"] in until and all(delivery["status"] != "SENT" for delivery in shown["deliveries"])


def described(delivery: dict[str, Any]) -> str:
    """Why it did not go out, or after how many tries it did, and its first words."""
    if delivery["failure_reason"]:
        return str(delivery["failure_reason"])
    content = delivery["rendered_content"] or {}
    words = content.get("subject") or content.get("text") or content.get("body") or ""
    tries = len(delivery["attempts"])
    return f"{words}{f'  (try {tries})' if tries > 1 else ''}"


def main() -> None:
    with connect() as http:
        story = Story(http)
        if real := story.real_providers():
            sys.exit(f"The story is for the sandbox, and this Tocsin also sends by {', '.join(real)}.")
        story.meet(yaml.safe_load((HERE / "recipients.yaml").read_text(encoding="utf-8")))
        morning(story)
        bad_luck(story)
        choices(story)
        second_thoughts(story)
        print("\nThe messages themselves: /outbox. What happened, once more: ./tocsin tail")


def morning(story: Story) -> None:
    code = story.send("one-time-password", "mia", payload={"code": "424242"})
    story.tell("Mia signs in. Her code overtakes everything.", code, "DELIVERED")
    parcel = story.send("order.shipped", "mia", payload={"order": "A-1", "carrier": "Kite"})
    story.tell("Her parcel leaves. A push is enough.", parcel, "DELIVERED")
    invoice = {"number": "2026-17", "lines": [{"what": "Lamp", "price": "30 €"}], "total": "30 €"}
    story.tell(
        "Omar's invoice meets a mail server that needs three tries.",
        story.send("invoice", "omar", payload=invoice),
        "DELIVERED",
    )


def bad_luck(story: Story) -> None:
    parcel = {"order": "B-2", "carrier": "Drachen"}
    jonas = story.send("order.shipped", "jonas", payload=parcel)
    story.tell("Jonas removed the app: his push is refused, so he gets an SMS, in German.", jonas, "DELIVERED")
    lena = story.send("order.shipped", "lena", payload=parcel)
    story.tell("Lena has no app and a number that does not exist: an e-mail.", lena, "DELIVERED")
    code = story.send("one-time-password", "noor", payload={"code": "171717"})
    story.tell("The answer to Noor's SMS is lost. She may have the code; she does not get it twice.", code, "IN_DOUBT")


def choices(story: Story) -> None:
    alert = {"what": "Card 4711", "where": "Oslo"}
    story.tell("Mia chose alerts by SMS as well.", story.send("critical-alert", "mia", payload=alert), "DELIVERED")
    story.tell("Jonas did not: e-mail only.", story.send("critical-alert", "jonas", payload=alert), "DELIVERED")
    news = {"headline": "Lamps that listen"}
    story.tell("Mia gets the newsletter.", story.send("newsletter", "mia", payload=news), "DELIVERED")
    story.tell("Lena opted out of marketing.", story.send("newsletter", "lena", payload=news), "SUPPRESSED")


def second_thoughts(story: Story) -> None:
    key = f"order-A-3-shipped-{uuid.uuid4().hex[:8]}"
    ids = {story.send("order.shipped", "mia", key=key, payload={"order": "A-3"}) for _ in range(3)}
    story.tell(f"A service asks three times with one Idempotency-Key: {len(ids)} notification.", ids.pop(), "DELIVERED")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = story.send("order.shipped", "mia", payload={"order": "A-4"}, send_at=tomorrow)
    answer = story.call("POST", f"/notifications/{later}/cancel")
    story.tell(f"One for tomorrow is canceled today: {answer['channels']}.", later, "CANCELED")


if __name__ == "__main__":
    main()
