"use strict";
// Asks every two seconds whether the page changed. If so, updates it node by node to keep focus, scroll
// position, selection and open details. The page is complete without this script.
(() => {
  const EVERY = 2000, PATIENCE = 10000;
  const lost = document.getElementById("lost");
  const { dataset } = document.documentElement;
  let misses = 0, last = new Date(), asking = false;

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
    const answer = await fetch(location.pathname + location.search, {
      cache: "no-store", redirect: "error", signal: AbortSignal.timeout(PATIENCE),
      headers: { "If-None-Match": `W/"${dataset.tag}"` },
    });
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const { version, tag } = fresh.documentElement.dataset;
      if (!version) throw new Error("not this page");
      if (version !== dataset.version) return location.reload();
      const focus = document.activeElement;
      carry(document.body, fresh.body);
      if (focus !== document.activeElement && focus?.isConnected) focus.focus({ preventScroll: true });
      document.title = fresh.title;
      dataset.tag = tag;
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
