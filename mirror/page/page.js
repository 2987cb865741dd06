"use strict";
// Polls the status every two seconds. On a change, updates the page node by node to keep focus, scroll
// position, selection and open details. The page is complete without this script.
(() => {
  const EVERY = 2000, PATIENCE = 10000;
  const lost = document.getElementById("lost");
  const { dataset } = document.documentElement;
  let seen = "", misses = 0, last = new Date(), asking = false;

  const get = async (address) => {
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(address, { cache: "no-store", redirect: "error", signal });
    if (!answer.ok) throw new Error(answer.statusText);
    return answer;
  };

  const carry = (old, fresh) => {
    if (old === lost) return;
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes])
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const named = new Map([...old.children].filter((node) => node.id).map((node) => [node.id, node]));
    let place = old.firstChild;
    for (const node of [...fresh.childNodes]) {
      const match = named.get(node.id) ?? (place?.id ? null : place);
      if (!match) old.insertBefore(node, place);
      else {
        if (match === place) place = place.nextSibling;
        else old.insertBefore(match, place);
        carry(match, node);
      }
    }
    while (place) {
      const rest = place.nextSibling;
      place.remove();
      place = rest;
    }
  };

  const ask = async () => {
    const data = await (await get("api/status" + location.search)).json();
    if (data.version !== dataset.version) return location.reload();
    // Ignore changes of the clock within a minute.
    const news = JSON.stringify({ ...data, generated_at: data.generated_at.slice(0, 16) });
    if (news !== seen) {
      const text = await (await get(location.pathname + location.search)).text();
      const fresh = new DOMParser().parseFromString(text, "text/html");
      if (!fresh.getElementById("main")) throw new Error("not this page");
      const focus = document.activeElement;
      carry(document.body, fresh.body);
      if (focus !== document.activeElement && focus?.isConnected) focus.focus({ preventScroll: true });
      document.title = fresh.title;
      seen = news;
    }
    last = new Date();
  };

  const turn = async () => {
    if (asking || document.hidden) return;
    asking = true;
    try {
      await ask();
      misses = 0;
      lost.textContent = "";
    } catch {
      misses += 1;
      if (misses === 2)
        lost.textContent = `No response from the service since ${last.toLocaleTimeString()}. This page may be out of date.`;
    }
    asking = false;
    dataset.turns = Number(dataset.turns ?? 0) + 1;
  };

  setInterval(turn, EVERY);
  document.addEventListener("visibilitychange", turn);
})();
