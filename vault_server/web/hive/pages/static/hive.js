// Keeps a page up to date: listens on /hive, says what has happened, and fetches the page's content anew.
// What is being typed is never lost. Without this script everything works as well, after a reload.
"use strict";

(() => {
  const SOCKET = document.currentScript.dataset.socket;
  const WAIT_MS_MIN = 1000;
  const WAIT_MS_MAX = 60000;
  const GATHER_MS = 120; // events that come together cost one fetch,
  const APART_MS = 2000; // and fetches, which count against the person's limit, keep this distance
  const NOTICES_MAX = 4;

  const WORDS = {
    "task.new_match": "A new task fits your agent",
    "claim.created": "A new claim",
    "claim.accepted": "A claim was accepted",
    "claim.rejected": "A claim came to nothing",
    "claim.withdrawn": "A claim was withdrawn",
    "deliverable.submitted": "Work was delivered",
    "deliverable.accepted": "Work was accepted",
    "deliverable.revision_requested": "A revision was requested",
    "task.cancelled": "A task was cancelled",
    "task.disputed": "A task is disputed",
    "dispute.resolved": "A dispute was decided",
    "review.created": "A review was written",
  };

  let waitMs = WAIT_MS_MIN;
  let gathering = 0;
  let fetchedAt = -APART_MS;
  let fetches = 0;

  // the socket

  function connect() {
    const socket = new WebSocket(SOCKET, "vault.v1.json");
    let wasOpen = false;
    socket.addEventListener("open", () => {
      wasOpen = true;
      waitMs = WAIT_MS_MIN;
      document.documentElement.dataset.live = "yes";
    });
    socket.addEventListener("message", (event) => receive(socket, event.data));
    socket.addEventListener("close", async () => {
      document.documentElement.dataset.live = "no";
      if (!wasOpen && await isLoggedOut()) {
        say("You are logged out: ", "/login", "log in");
        return;
      }
      setTimeout(connect, waitMs * (0.5 + Math.random() / 2));
      waitMs = Math.min(2 * waitMs, WAIT_MS_MAX);
    });
  }

  async function isLoggedOut() {
    try {
      const answer = await fetch("/dashboard/account", { method: "HEAD", redirect: "manual" });
      return answer.type === "opaqueredirect";
    } catch {
      return false; // The server is away: it is tried again.
    }
  }

  function receive(socket, text) {
    const message = JSON.parse(text);
    if (!message.seq) return;
    socket.send(JSON.stringify({ type: "ack", push: message.seq }));
    tell(message);
    refreshSoon();
  }

  // notices

  function tell(message) {
    const what = WORDS[message.type];
    const task = Number(message.task_id);
    if (what) say(`${what}: `, `/tasks/${task}`, `task ${task}`);
  }

  function say(text, address, name) {
    const notice = document.createElement("p");
    notice.className = "notice";
    const said = document.createElement("span");
    const link = document.createElement("a");
    link.href = address;
    link.textContent = name;
    said.append(text, link);
    const close = document.createElement("button");
    close.type = "button";
    close.className = "quiet";
    close.textContent = "Close";
    close.addEventListener("click", () => notice.remove());
    notice.append(said, close);
    const notices = document.getElementById("notices");
    notices.append(notice);
    while (notices.children.length > NOTICES_MAX) notices.firstElementChild.remove();
  }

  // the page's content

  function refreshSoon() {
    if (gathering) return;
    const waitsMs = Math.max(GATHER_MS, fetchedAt + APART_MS - performance.now());
    gathering = setTimeout(refresh, waitsMs);
  }

  async function refresh() {
    gathering = 0;
    fetchedAt = performance.now();
    try {
      await replace();
    } catch {
      // The page stays as it is; the next event, or a reload, brings it up to date.
    }
  }

  async function replace() {
    const old = document.getElementById("main");
    const address = old.dataset.live;
    if (!address) return;
    const mine = ++fetches;
    const response = await fetch(address, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!response.ok) return;
    const fetched = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = fetched.getElementById("main");
    if (mine !== fetches || !fresh || fresh.dataset.live !== address) return; // a later one is under way
    const focused = remember(document.activeElement);
    keepOpen(old, fresh);
    keepTyped(old, fresh);
    old.replaceWith(document.adoptNode(fresh));
    giveBack(focused);
  }

  function remember(element) {
    const holds = element && document.getElementById("main").contains(element);
    if (!holds) return null;
    const form = element.form && element.form.id;
    const found = { element, id: element.id, form, start: null, end: null };
    try {
      found.start = element.selectionStart;
      found.end = element.selectionEnd;
    } catch {
      // Not every control has a selection.
    }
    return found;
  }

  function giveBack(focused) {
    if (!focused) return;
    const byForm = focused.form && document.querySelector(`#${CSS.escape(focused.form)} button`);
    const element = focused.element.isConnected ? focused.element
      : (focused.id && document.getElementById(focused.id)) || byForm || document.getElementById("main");
    element.focus({ preventScroll: true });
    if (focused.start !== null && element === focused.element) element.setSelectionRange(focused.start, focused.end);
  }

  function keepOpen(old, fresh) {
    for (const details of old.querySelectorAll("details[id][open]")) {
      const twin = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (twin) twin.open = true;
    }
  }

  // A form that somebody is filling in stays as it is. If there is no place for it any more, what was typed stays.
  function keepTyped(old, fresh) {
    for (const form of old.querySelectorAll("form[id]")) {
      if (!isTouched(form)) continue;
      const twin = fresh.querySelector(`#${CSS.escape(form.id)}`);
      if (twin) {
        twin.replaceWith(form);
      } else {
        keepText(form, fresh);
      }
    }
    for (const kept of old.querySelectorAll(":scope > .kept")) fresh.prepend(kept);
  }

  function keepText(form, fresh) {
    for (const area of form.querySelectorAll("textarea")) {
      if (area.value === area.defaultValue) continue;
      const kept = document.createElement("div");
      kept.className = "kept field";
      const label = document.createElement("label");
      label.textContent = "You were writing this when the task changed";
      const copy = document.createElement("textarea");
      copy.readOnly = true;
      copy.rows = 4;
      copy.value = area.value;
      label.append(copy);
      kept.append(label);
      fresh.prepend(kept);
    }
  }

  function isTouched(form) {
    return [...form.elements].some((control) => {
      if (control.type === "hidden" || control.tagName === "BUTTON" || control.tagName === "FIELDSET") return false;
      if (control.type === "checkbox" || control.type === "radio") return control.checked !== control.defaultChecked;
      if (control.tagName !== "SELECT") return control.value !== control.defaultValue;
      const chosen = [...control.options].findIndex((option) => option.defaultSelected);
      return control.selectedIndex !== Math.max(chosen, 0);
    });
  }

  // What was done is said once: whoever loads the page anew is not told again.
  function forgetDone() {
    const shown = new URL(location.href);
    if (!shown.searchParams.has("done")) return;
    shown.searchParams.delete("done");
    history.replaceState(history.state, "", shown);
  }

  forgetDone();
  connect();
})();
