import { isSubscribed, isSupported, renew, subscribe, unsubscribe } from "/tocsin-push.js";

const state = document.querySelector("#state");
const show = (text) => (state.textContent = text);
const shop = await (await fetch("/push/settings")).json();
const options = { publicKey: shop.public_key, registerUrl: "/push/devices" };
document.querySelector("#recipient").textContent = shop.recipient_id;

function onClick(id, work) {
  document.querySelector(id).addEventListener("click", () => work().then(show, (error) => show(`Failed: ${error.message}`)));
}

onClick("#notify", async () => ((await subscribe(options)) ? "You get notifications." : "You gave no permission."));
onClick("#stop", async () => {
  await unsubscribe(options);
  return "You get no notifications.";
});

if (!isSupported()) show("This browser has no web push.");
else {
  await renew(options);
  show((await isSubscribed()) ? "You get notifications." : "You get no notifications.");
}
