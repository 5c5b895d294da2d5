// The page: keeps what the server shows last and what the visitor looks at, and draws both.

import { does, h, person, show } from "/dom.js";
import { editor, filesOf, proposal } from "/files.js";
import { conversation, header, list } from "/pulls.js";
import { world } from "/world.js";

const part = (id) => document.getElementById(id);

let state = null;
// Where the visitor is; all of it survives a new state, and none of it is the server's.
const here = {
  login: null,
  pull: null,
  tab: "conversation",
  side: "github",
  editing: null,
  traced: null,
  busy: false,
  allSteps: false,
};

// --- what comes in ---

const SILENT = "The sandbox does not answer. Is it still running?";

async function listen() {
  let failed = false;
  for (;;) {
    const next = await newest(failed ? null : state?.version);
    if (next) {
      if (failed) complain(null);
      take(next);
    } else {
      complain(SILENT);
      await new Promise((go) => setTimeout(go, 1500));
    }
    failed = !next;
  }
}

// The next state after that version; nothing if there is no answer.
async function newest(version) {
  try {
    const answer = await fetch(version === null || version === undefined ? "/api/state" : `/api/state?after=${version}`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

// Those who wait for a version.
let waiting = [];

const shown = (version) =>
  new Promise((go) => {
    if (state.version >= version) go();
    else waiting.push({ version, go });
  });

function take(next) {
  const first = state === null;
  const last = state?.log.at(-1)?.id ?? 0;
  state = next;
  const people = state.people.map((one) => one.login);
  if (!people.includes(here.login)) here.login = people[0] ?? null;
  const numbers = state.pulls.map((one) => one.number);
  if (first) fromAddress();
  if (here.pull !== "new" && !numbers.includes(here.pull)) here.pull = numbers[0] ?? "new";
  const news = state.log.filter((one) => one.id > last && one.kind !== "event");
  if (!first && news.length) part("news").textContent = news.map((one) => one.text).join(". ");
  draw();
  for (const { version, go } of waiting) if (state.version >= version) go();
  waiting = waiting.filter(({ version }) => state.version < version);
}

function fromAddress() {
  const [, number, tab] = location.hash.match(/^#\/pull\/(\d+|new)(?:\/(\w+))?$/) ?? [];
  if (!number) return;
  here.pull = number === "new" ? "new" : Number(number);
  if (["conversation", "files"].includes(tab)) here.tab = tab;
}

// --- what goes out ---

async function act(what) {
  if (here.busy) return false;
  here.busy = true;
  draw();
  try {
    const answer = await fetch("/api/act", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(what),
    });
    const came = await answer.json();
    if (!answer.ok) return complain(came.error);
    complain(null);
    await shown(came.version);
    return true;
  } catch {
    return complain(SILENT);
  } finally {
    here.busy = false;
    draw();
  }
}

function complain(sentence) {
  const refusal = part("refusal");
  refusal.hidden = !sentence;
  refusal.replaceChildren(
    ...(sentence ? [h("span", {}, sentence), h("button", { type: "button", ...does("understood") }, "Understood")] : []),
  );
  return false;
}

// What a press can do. A deed that is not here is an act for the server as it stands.
const deeds = {
  be: ({ login }) => (here.login = login),
  go: ({ pull, tab }) => go(pull ?? here.pull, tab ?? "conversation"),
  side: ({ side }) => (here.side = side),
  steps: () => (here.allSteps = !here.allSteps),
  trace: ({ id }) => (here.traced = here.traced === id ? null : id),
  edit: ({ path, text }) => {
    here.editing = { pull: here.pull, path, text };
    focusSoon("#editor textarea");
  },
  drop: () => (here.editing = null),
  understood: () => complain(null),
  say: ({ text }) => {
    const box = part("comment");
    box.value = box.value.trim() ? `${box.value.trimEnd()}\n${text}` : text;
    box.focus();
  },
  comment: async ({ number }) => {
    const box = part("comment");
    const said = await act({ act: "comment", login: here.login, number, text: box.value });
    if (said) box.value = "";
  },
  push: async ({ number, path }) => {
    const text = part("editor").querySelector("textarea").value;
    if (await act({ act: "edit", login: here.login, number, path, text })) here.editing = null;
  },
  propose: async () => {
    const form = new FormData(part("proposal"));
    const text = form.get("gone") ? null : form.get("text");
    const done = await act({ act: "open", login: here.login, title: form.get("heading"), path: form.get("path"), text });
    if (done) go(state.pulls[0]?.number, "conversation");
  },
  draft: ({ path }) => {
    const form = part("proposal");
    form.elements.path.value = path;
    form.elements.text.value = state.files[path] ?? "";
  },
  schedule: ({ cron }) => {
    const field = document.getElementById(`schedule-${cron}`);
    return act({ act: "schedule", cron, schedule: field.value.trim() });
  },
  reset: () => {
    Object.assign(here, { login: null, editing: null, traced: null, pull: null, tab: "conversation" });
    return act({ act: "restart" });
  },
  follow: async ({ step }) => {
    const way = state.guide.find((one) => one.id === step);
    if (!way) return;
    lead(way);
    if (way.act && (await act(way.act))) {
      here.editing = null;
      if (way.act.act === "open") go(state.pulls[0]?.number, "conversation");
      else if (way.act.act !== "edit" && way.tab !== "world") go(way.pull, "conversation");
    }
  },
  lead: ({ step }) => {
    const way = state.guide.find((one) => one.id === step);
    if (way) lead(way);
  },
};

function lead(way) {
  if (way.login) here.login = way.login;
  here.side = way.tab === "world" ? "world" : "github";
  if (way.pull) go(way.pull, way.tab);
  draw();
  const target = way.tab === "world" ? part("world") : part("github");
  target.scrollIntoView({ block: "start", behavior: "instant" });
}

function go(pull, tab) {
  if (!pull) return;
  Object.assign(here, { pull, tab, side: "github" });
  history.replaceState(null, "", `#/pull/${pull}${pull === "new" ? "" : `/${tab}`}`);
}

const focusSoon = (selector) => requestAnimationFrame(() => document.querySelector(selector)?.focus());

async function pressed(element) {
  const values = JSON.parse(element.dataset.with ?? "{}");
  const deed = deeds[element.dataset.does];
  await (deed ? deed(values) : act({ act: element.dataset.does, ...values }));
  draw();
}

document.addEventListener("click", (event) => {
  const element = event.target.closest("[data-does]");
  if (element && !element.hasAttribute("disabled")) pressed(element);
});
document.addEventListener("keydown", (event) => {
  const drawn = event.target.closest?.("svg [data-does]");
  if (drawn && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    pressed(drawn);
  }
  const quick = event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (quick && event.target.id === "comment") document.querySelector('[data-does="comment"]')?.click();
});
window.addEventListener("hashchange", () => {
  fromAddress();
  if (state) draw();
});

// --- what is drawn ---

function draw() {
  if (!state) return;
  document.body.dataset.side = here.side;
  document.body.classList.toggle("busy", here.busy || state.working);
  show(part("top"), top());
  show(part("guide"), guide());
  show(part("sides"), sides());
  show(part("github"), github());
  show(part("world"), world(state, here));
}

function top() {
  const works = here.busy || state.working;
  return [
    h("h1", {}, h("span", { class: "logo", "aria-hidden": "true" }), "Pipewright ", h("span", { class: "quiet" }, "sandbox")),
    h("span", { class: works ? "pulse on" : "pulse" }, works ? "the bot works …" : "the bot rests"),
    h("button", { type: "button", class: "plain", title: "A world as it was in the beginning", ...does("reset") }, "Start over"),
    h(
      "div",
      { class: "people", role: "group", "aria-label": "Who you are" },
      h("span", { class: "quiet", "aria-hidden": "true" }, "You are"),
      state.people.map((one) =>
        h(
          "button",
          { type: "button", class: "chip", "data-key": one.login, "aria-pressed": one.login === here.login, title: one.role, ...does("be", { login: one.login }) },
          person(one.login),
          h("span", {}, one.login),
          h("small", {}, one.role),
        ),
      ),
    ),
  ];
}

function guide() {
  const done = state.guide.filter((one) => one.done).length;
  const next = state.guide.find((one) => !one.done);
  const steps = h(
    "ol",
    { id: "steps", hidden: !here.allSteps },
    state.guide.map((one) =>
      h(
        "li",
        { "data-key": one.id, class: one.done ? "done" : one === next ? "next" : "" },
        h("button", { type: "button", class: "link", ...does("lead", { step: one.id }) }, one.title),
        one.done && h("span", { class: "unseen" }, " (done)"),
      ),
    ),
  );
  return [
    h(
      "div",
      { class: "step" },
      h(
        "button",
        { type: "button", class: "plain count", "aria-expanded": here.allSteps, "aria-controls": "steps", ...does("steps") },
        h("meter", { min: 0, max: state.guide.length, value: done, "aria-label": "Tried so far" }),
        h("span", {}, `${done} of ${state.guide.length} tried`),
      ),
      next
        ? [
            h("div", { class: "what" }, h("h2", {}, h("span", { class: "quiet" }, "Try next: "), next.title), h("p", {}, next.text)),
            h("button", { type: "button", ...does("lead", { step: next.id }) }, "Show me where"),
            next.act && h("button", { type: "button", class: "main", id: "follow", disabled: here.busy, ...does("follow", { step: next.id }) }, next.label),
          ]
        : h("div", { class: "what" }, h("h2", {}, "You have seen it all"), h("p", {}, "What you did can be undone by Start over. The tutorial, docs/tutorial.md, is for the real thing.")),
    ),
    steps,
  ];
}

function sides() {
  const side = (id, text) =>
    h("button", { type: "button", "data-key": id, "aria-pressed": here.side === id, ...does("side", { side: id }) }, text);
  return [side("github", "GitHub"), side("world", "The world")];
}

function github() {
  const pull = state.pulls.find((one) => one.number === here.pull);
  if (!pull) return [list(state, here), proposal(state, here)];
  const editing = here.editing?.pull === pull.number ? here.editing : null;
  const body = here.tab === "files" ? (editing ? editor(pull, here) : filesOf(pull, here)) : conversation(pull, state, here);
  return [list(state, here), header(pull, here), h("div", { "data-key": `${pull.number}-${here.tab}` }, body)];
}

listen();
