// The screen without this script is complete; with it pages stay up to date, times are in the
// viewer's zone, and keys work.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const byId = (id) => document.getElementById(id);
  // In the Django admin, "main" is an element of the admin's own.
  const mainOf = (page) => page.getElementById("graceful-main") || page.getElementById("main");

  // -- times ---------------------------------------------------------------------------------
  const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function span(seconds) {
    const [size, unit] = UNITS.find(([size]) => seconds >= size) || UNITS[3];
    return `${Math.floor(seconds / size)} ${unit}`;
  }

  function shown(date, how) {
    if (how === "at") {
      const sameDay = date.toDateString() === new Date().toDateString();
      return sameDay ? clock.format(date) : absolute.format(date);
    }
    const seconds = (Date.now() - date.getTime()) / 1000;
    if (seconds < 0) return seconds > -3 ? "now" : `in ${span(-seconds)}`;
    return seconds < 2 ? "now" : `${span(seconds)} ago`;
  }

  function localise() {
    for (const each of document.querySelectorAll("time[datetime]")) {
      const date = new Date(each.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      const text = shown(date, each.dataset.show);
      if (each.textContent !== text) each.textContent = text;
      const title = `${absolute.format(date)} (${each.dateTime})`;
      if (each.title !== title) each.title = title;
    }
  }

  // -- a new page in place of the old --------------------------------------------------------
  // Elements are changed, not replaced: focus, selection, text in fields and open details stay.
  const OWN = { DETAILS: ["open"], INPUT: ["value", "checked"], OPTION: ["selected"], TIME: ["title"], TR: ["class"] };

  function alike(a, b) {
    return a && b && a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
  }

  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    const own = OWN[old.nodeName] || [];
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !own.includes(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (own.includes(name) && old.type !== "hidden") continue;
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (old.nodeName === "TIME" && old.title || old.nodeName === "TEXTAREA") return;
    const known = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
    let place = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const wanted = next.id && known.get(next.id);
      if (wanted && alike(wanted, next)) {
        if (wanted === place) place = place.nextSibling; else old.insertBefore(wanted, place);
        morph(wanted, next);
      } else if (alike(place, next)) {
        const same = place;
        place = place.nextSibling;
        morph(same, next);
      } else {
        old.insertBefore(document.importNode(next, true), place);
      }
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  }

  // -- polling -------------------------------------------------------------------------------
  let tag = "";
  let timer = 0;
  let failures = 0;

  function trouble(text) {
    const line = byId("connection");
    if (line.textContent !== text) line.textContent = text;
    line.hidden = !text;
  }

  async function poll() {
    const main = mainOf(document);
    try {
      const headers = { "X-Graceful-Poll": "1" };
      if (tag) headers["If-None-Match"] = tag;
      const answer = await fetch(location.href, { headers, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(15000) });
      if (answer.status === 401) return trouble("You have been logged out. Load the page again to log in.");
      if (answer.status === 200) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = mainOf(page);
        if (fresh) {
          tag = answer.headers.get("ETag") || "";
          document.title = page.title;
          morph(main, fresh);
          localise();
          chosen();
        }
      } else if (answer.status !== 304) {
        throw new Error(answer.status === 503 ? "The store does not answer" : `The screen answers with status ${answer.status}`);
      }
      failures = 0;
      trouble("");
    } catch (error) {
      failures += 1;
      const what = error instanceof TypeError ? "The screen cannot be reached" : error.name === "TimeoutError" ? "The screen does not answer" : error.message;
      if (failures > 1) trouble(`${what}. What you see may be out of date; trying again.`);
    }
    again();
  }

  function again() {
    clearTimeout(timer);
    const every = Number(mainOf(document).dataset.poll || 0);
    if (!every || document.hidden) return;
    timer = setTimeout(poll, every * Math.min(8, 2 ** Math.max(0, failures - 1)));
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden && mainOf(document).dataset.poll) poll();
  });

  // -- keyboard ------------------------------------------------------------------------------
  let row = "";

  function rows() {
    return [...document.querySelectorAll("[data-row]")];
  }

  function chosen() {
    for (const each of rows()) each.classList.toggle("chosen", each.id !== "" && each.id === row);
  }

  function move(by) {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((each) => each.id === row);
    const next = all[Math.min(all.length - 1, Math.max(0, now + by))];
    row = next.id;
    chosen();
    const link = next.querySelector("[data-open]");
    if (link) link.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  const KEYS = {
    "/": () => { const field = document.querySelector("[data-search]"); if (field) { field.focus(); field.select(); } },
    j: () => move(1),
    k: () => move(-1),
    x: () => { const box = document.querySelector("[data-row].chosen input[type=checkbox]"); if (box) box.click(); },
    Enter: () => { const link = document.querySelector("[data-row].chosen [data-open]"); if (link) link.click(); },
    "?": () => { const keys = byId("keys"); if (!keys.open) keys.showModal(); },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = event.target;
    if (event.key === "Escape" && at.matches("[data-search]")) at.blur();
    const typing = at.isContentEditable || at.matches("textarea, select") || at.matches("input:not([type=checkbox])");
    if (typing || at.closest("dialog")) return;
    if (event.key === "Enter" && at !== document.body && at !== mainOf(document)) return;
    const act = KEYS[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  document.addEventListener("focusin", (event) => {
    const at = event.target.closest("[data-row]");
    if (at && at.id !== row) { row = at.id; chosen(); }
  });

  document.addEventListener("click", (event) => {
    const at = event.target;
    if (at.closest("[data-keys]")) byId("keys").showModal();
    const copy = at.closest("[data-copy]");
    if (copy) {
      navigator.clipboard.writeText(copy.dataset.copy).then(() => { copy.textContent = "Copied"; });
    }
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-all]")) return;
    for (const box of document.querySelectorAll("[data-row] input[type=checkbox]:not(:disabled)")) box.checked = event.target.checked;
  });

  localise();
  setInterval(() => { if (!document.hidden) localise(); }, 1000);
  again();
})();
