/* Show web push messages of Tocsin and report them. A site loads this file in its service worker; docs/web-push.md.

Parameters of the worker's URL, which tocsin-push.js sets: `key` (the public key), `register` (the URL of the site that
stores subscriptions), `device` (the id of this browser) and `icon`. */
"use strict";

(() => {
  const OPTIONS = new URL(self.location.href).searchParams;
  const REPORT_ATTEMPTS = 3;
  const REPORT_PAUSE = 2_000; // milliseconds
  // Push services store a message for so long at most; a duplicate cannot arrive later.
  const REMEMBER_FOR = 30 * 24 * 3_600_000; // milliseconds

  self.addEventListener("push", (event) => event.waitUntil(receive(event.data)));
  self.addEventListener("notificationclick", (event) => event.waitUntil(click(event.notification, event.action)));
  self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event)));

  async function receive(data) {
    const message = read(data);
    if (!message) return;
    if (!(await wasShown(message.delivery_id))) {
      await show(message);
      await rememberShown(message.delivery_id);
    }
    await report(message.report_url, "delivered");
  }

  /* Return null for a message of another sender: the site's own worker may show those too. */
  function read(data) {
    try {
      const message = data.json();
      return message.delivery_id ? message : null;
    } catch {
      return null;
    }
  }

  /* The tag lets a second notification with the same id replace the first, if both arrive at the same time. */
  async function show(message) {
    const actions = message.actions || [];
    await self.registration.showNotification(message.title, {
      body: message.body,
      icon: OPTIONS.get("icon") || undefined,
      image: message.image,
      tag: message.delivery_id,
      actions: actions.map(({ action, title }) => ({ action, title })),
      data: {
        ...message.data,
        delivery_id: message.delivery_id,
        report_url: message.report_url,
        link: message.link,
        links: Object.fromEntries(actions.map(({ action, link }) => [action, link])),
      },
    });
    if (message.badge !== undefined && self.navigator.setAppBadge) {
      await self.navigator.setAppBadge(message.badge).catch(() => {}); // an app that is not installed has no badge
    }
  }

  async function click(notification, action) {
    const { delivery_id, report_url, link, links } = notification.data || {};
    if (!delivery_id) return; // of another script
    notification.close();
    await Promise.allSettled([open((links && links[action]) || link), report(report_url, "clicked")]);
  }

  /* Focus a window that shows the link, or open one. */
  async function open(link) {
    const target = new URL(link || self.registration.scope, self.location.href).href;
    const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const shown = windows.find((each) => each.url === target);
    return shown ? shown.focus() : self.clients.openWindow(target);
  }

  /* The request has no body and no own header, so that the browser asks for no permission of the other origin first. */
  async function report(url, event) {
    for (let attempt = 1; url && attempt <= REPORT_ATTEMPTS; attempt += 1) {
      try {
        const response = await fetch(`${url}/${event}`, { method: "POST", credentials: "omit", keepalive: true });
        if (response.status < 500) return;
      } catch {
        // no connection
      }
      if (attempt < REPORT_ATTEMPTS) await new Promise((resolve) => setTimeout(resolve, REPORT_PAUSE * attempt));
    }
  }

  /* The push service ended the subscription. Subscribe again without the visitor, who has given permission before. */
  async function renew(event) {
    const old = event.oldSubscription;
    const key = (old && old.options.applicationServerKey) || OPTIONS.get("key");
    const options = { userVisibleOnly: true, applicationServerKey: key };
    const subscription = event.newSubscription || (await self.registration.pushManager.subscribe(options));
    await fetch(OPTIONS.get("register"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ device: OPTIONS.get("device"), subscription }),
    });
  }

  /* Without storage, such as on a full disk, a duplicate is better than no notification. */
  async function wasShown(id) {
    return (await inStore("readonly", (store) => store.get(id)).catch(() => undefined)) !== undefined;
  }

  async function rememberShown(id) {
    const remembered = inStore("readwrite", (store) => {
      store.index("at").openCursor(IDBKeyRange.upperBound(Date.now() - REMEMBER_FOR)).onsuccess = ({ target }) => {
        if (target.result) {
          target.result.delete();
          target.result.continue();
        }
      };
      return store.put({ id, at: Date.now() });
    });
    await remembered.catch(() => {});
  }

  /* Return the result of a request, after its transaction. */
  async function inStore(mode, request) {
    const database = await openDatabase();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("shown", mode);
      const pending = request(transaction.objectStore("shown"));
      transaction.oncomplete = () => resolve(pending.result);
      transaction.onabort = () => reject(transaction.error);
    }).finally(() => database.close());
  }

  function openDatabase() {
    return new Promise((resolve, reject) => {
      const opening = indexedDB.open("tocsin", 1);
      opening.onupgradeneeded = () =>
        opening.result.createObjectStore("shown", { keyPath: "id" }).createIndex("at", "at");
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
  }
})();
