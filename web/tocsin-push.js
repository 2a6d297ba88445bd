/* Subscribe a visitor's browser to web push. A module for pages of a site; docs/web-push.md.

Options of each function: `publicKey` (of Tocsin), `registerUrl` (the URL of the site that stores subscriptions) and
optionally `workerUrl` (the site's service worker, which loads tocsin-sw.js) and `icon`. */

const DEVICE = "tocsin-device";

export function isSupported() {
  return "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
}

/* Return whether this browser is subscribed. */
export async function isSubscribed() {
  const registration = await navigator.serviceWorker.getRegistration();
  return Notification.permission === "granted" && Boolean(await registration?.pushManager.getSubscription());
}

/* Ask for permission, subscribe, and post the subscription to the site. Call it in the handler of a click: browsers
refuse to ask at another time, and visitors who are asked without a reason block the site. Return whether the visitor
gave permission. */
export async function subscribe(options) {
  if (Notification.permission === "default" && navigator.userActivation?.isActive === false) {
    throw new Error("call subscribe in the handler of a click");
  }
  if ((await Notification.requestPermission()) !== "granted") return false;
  await register(options);
  return true;
}

/* Post the subscription again, as it is now. Call it on each page: some browsers change a subscription without a word,
and a subscription that was registered lately is not removed by an old error. Asks for nothing. */
export async function renew(options) {
  if (isSupported() && (await isSubscribed())) await register(options);
}

export async function unsubscribe(options) {
  const registration = await navigator.serviceWorker.getRegistration();
  const subscription = await registration?.pushManager.getSubscription();
  await subscription?.unsubscribe();
  await post(options.registerUrl, null);
}

async function register(options) {
  const { publicKey, registerUrl, workerUrl = "/tocsin-sw.js", icon } = options;
  const url = new URL(workerUrl, location.href);
  const parameters = { key: publicKey, register: registerUrl, device: deviceId(), ...(icon && { icon }) };
  Object.entries(parameters).forEach(([name, value]) => url.searchParams.set(name, value));
  await navigator.serviceWorker.register(url);
  const { pushManager } = await navigator.serviceWorker.ready;
  const existing = await pushManager.getSubscription();
  if (existing && toBase64Url(existing.options.applicationServerKey) !== publicKey) await existing.unsubscribe();
  await post(registerUrl, await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: publicKey }));
}

/* A new id for each browser, so that a renewed subscription replaces the former one of the same device. */
function deviceId() {
  const id = localStorage.getItem(DEVICE) || crypto.randomUUID();
  localStorage.setItem(DEVICE, id);
  return id;
}

async function post(url, subscription) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ device: deviceId(), subscription }),
  });
  if (!response.ok) throw new Error(`${url} responded ${response.status}`);
}

function toBase64Url(buffer) {
  const text = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
