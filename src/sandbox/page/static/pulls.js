// A pull request: the list, its head, the conversation, the box at its end.

import { ago, does, h, person, rendered } from "/dom.js";

const STATES = { open: "Open", merged: "Merged", closed: "Closed" };
const COMMANDS = ["/plan", "/apply", "/rerun", "/status", "/help"];

const badge = (pull) => h("span", { class: `badge ${pull.state}` }, STATES[pull.state] ?? pull.state);

export function list(state, here) {
  const item = (pull) =>
    h(
      "button",
      { type: "button", class: "tile", "data-key": `pull-${pull.number}`, "aria-current": pull.number === here.pull, ...does("go", { pull: pull.number }) },
      badge(pull),
      h("span", { class: "name" }, `${pull.title} `, h("span", { class: "quiet" }, `#${pull.number}`)),
      pull.check && dot(pull.check.conclusion),
    );
  return h(
    "nav",
    { class: "pulls", "aria-label": "Pull requests" },
    state.pulls.map(item),
    h("button", { type: "button", class: "tile add", "data-key": "new", "aria-current": here.pull === "new", ...does("go", { pull: "new" }) }, "+ New pull request"),
  );
}

const ENDS = { success: ["✓", "good"], failure: ["✗", "bad"], action_required: ["!", "wait"], neutral: ["–", ""] };

function dot(conclusion) {
  const [sign, mood] = ENDS[conclusion] ?? ["…", "wait"];
  return h("span", { class: `dot ${mood}`, role: "img", "aria-label": `check: ${conclusion}` }, sign);
}

export function header(pull, here) {
  const notes = pull.check?.notes.length ?? 0;
  const tab = (id, text, count) =>
    h(
      "button",
      { type: "button", class: "tab", "data-key": id, "aria-current": here.tab === id ? "page" : null, ...does("go", { tab: id }) },
      text,
      count !== null && h("span", { class: "number" }, count),
    );
  return h(
    "header",
    { class: "pull", "data-key": "head" },
    h("h2", {}, pull.title, " ", h("span", { class: "quiet" }, `#${pull.number}`)),
    h("p", {}, badge(pull), " ", h("b", {}, pull.author), " wants to merge ", h("code", {}, pull.branch), " into ", h("code", {}, "main")),
    h(
      "nav",
      { class: "tabs", "aria-label": "Parts of the pull request" },
      tab("conversation", "Conversation", pull.conversation.length),
      tab("files", "Files changed", pull.files.length),
      notes > 0 && h("span", { class: "flag" }, `${notes} finding${notes === 1 ? "" : "s"} on the lines`),
    ),
  );
}

export function conversation(pull, state, here) {
  return [
    h("ol", { class: "conversation", "aria-label": "Conversation" }, pull.conversation.map(said)),
    check(pull, here),
    mergeBox(pull, state, here),
    commentBox(pull, here),
  ];
}

function said(one) {
  if (one.kind !== "comment") {
    const sign = { push: "⊸", review: "✓", merge: "⇥", close: "⊘" }[one.kind] ?? "·";
    return h(
      "li",
      { class: `event ${one.kind}`, "data-key": one.id },
      h("span", { class: "sign", "aria-hidden": "true" }, sign),
      h("span", {}, h("b", {}, one.login), " ", one.text),
      h("time", {}, ago(one.at)),
    );
  }
  return h(
    "li",
    { class: one.bot ? "comment bot" : "comment", "data-key": one.id },
    person(one.login, one.bot),
    h(
      "article",
      { "aria-label": `Comment of ${one.login}` },
      h("header", {}, h("b", {}, one.login), one.bot && h("span", { class: "tag" }, "bot"), h("time", {}, ago(one.at)), one.edited && h("span", { class: "quiet" }, "edited")),
      rendered(one.html),
      one.reactions.length > 0 && h("footer", { "aria-label": "Reactions" }, one.reactions.map((emoji) => h("span", { class: "reaction" }, emoji))),
    ),
  );
}

function check(pull, here) {
  const run = pull.check;
  if (!run) return null;
  return h(
    "section",
    { class: "box check", "data-key": "check", "aria-label": "Checks" },
    h("h3", {}, dot(run.conclusion), ` ${run.name}: `, h("span", { class: "title" }, run.title)),
    h("details", { "data-key": "check-details" }, h("summary", {}, "Details of the check"), rendered(run.summary), rendered(run.text)),
    run.buttons.map((button) =>
      h(
        "button",
        { type: "button", title: button.description, "data-key": button.identifier, ...does("press", { login: here.login, check: run.id, button: button.identifier }) },
        button.label,
      ),
    ),
  );
}

function mergeBox(pull, state, here) {
  const review = (verdict, text, kind) =>
    h("button", { type: "button", class: kind, disabled: here.busy, "data-key": verdict, ...does("review", { login: here.login, number: pull.number, verdict }) }, text);
  const own = here.login === pull.author;
  const approvals = pull.approvals.map((one) => (one.current ? one.login : `${one.login} (for an earlier push)`));
  const facts = [
    approvals.length ? `Approved by ${approvals.join(", ")}.` : "Nobody has approved it.",
    pull.conflicts ? "It conflicts with main." : "",
  ];
  const buttons = [
    own ? h("span", { class: "quiet", "data-key": "own" }, "Authors do not review their own work.") : [review("approve", "Approve"), review("request-changes", "Request changes")],
    pull.state === "open" && [
      h("button", { type: "button", class: "main", disabled: here.busy || pull.conflicts, "data-key": "merge", ...does("merge", { login: here.login, number: pull.number }) }, "Merge pull request"),
      h("button", { type: "button", class: "plain", "data-key": "close", ...does("close", { login: here.login, number: pull.number }) }, "Close"),
    ],
    pull.state === "closed" && h("button", { type: "button", "data-key": "reopen", ...does("reopen", { login: here.login, number: pull.number }) }, "Reopen"),
  ];
  return h(
    "section",
    { class: "box", "data-key": "merge-box", "aria-label": "Review and merge" },
    h("p", {}, facts.join(" ")),
    h("div", { class: "row" }, buttons),
  );
}

function commentBox(pull, here) {
  return h(
    "section",
    { class: "box write", "data-key": "write", "aria-label": "Write a comment" },
    h("label", { for: "comment" }, person(here.login), h("span", {}, "Comment as ", h("b", {}, here.login))),
    h("textarea", { id: "comment", rows: 3, placeholder: "Some words, or a command on a line of its own" }),
    h(
      "div",
      { class: "row" },
      h("span", { class: "commands" }, COMMANDS.map((text) => h("button", { type: "button", class: "chip small", "data-key": text, ...does("say", { text }) }, text))),
      h("button", { type: "button", class: "main", disabled: here.busy, ...does("comment", { number: pull.number }) }, "Comment"),
    ),
  );
}
