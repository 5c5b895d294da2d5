// The Files tab, the editor, and the form of a new pull request.

import { does, h } from "/dom.js";

const LEVELS = { failure: ["✗", "bad"], warning: ["!", "wait"], notice: ["i", ""] };

export function filesOf(pull, here) {
  return pull.files.map((file) => {
    const added = file.lines.filter((line) => line.sign === "+").length;
    const removed = file.lines.filter((line) => line.sign === "-").length;
    const editable = pull.state === "open" && file.text !== null;
    return h(
      "section",
      { class: "file", "data-key": file.path, "aria-label": file.path },
      h(
        "header",
        {},
        h("code", {}, file.path),
        h("span", { class: "added" }, `+${added}`),
        h("span", { class: "removed" }, `−${removed}`),
        editable && h("button", { type: "button", ...does("edit", { path: file.path, text: file.text }) }, `Edit as ${here.login}`),
      ),
      h(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": `Changes of ${file.path}` },
        h("table", { class: "lines" }, h("tbody", {}, file.lines.map(line))),
      ),
    );
  });
}

function line(one) {
  const kind = { "+": "add", "-": "del" }[one.sign] ?? "";
  const row = h(
    "tr",
    { class: kind },
    h("td", { class: "at" }, one.old ?? ""),
    h("td", { class: "at" }, one.new ?? ""),
    h("td", { class: "sign" }, one.sign),
    h("td", { class: "text" }, one.text || " "),
  );
  const notes = one.notes.map((note) => {
    const [sign, mood] = LEVELS[note.level] ?? LEVELS.notice;
    return h(
      "tr",
      { class: "note" },
      h(
        "td",
        { colspan: 4 },
        h("div", { class: `annotation ${mood}` }, h("b", {}, h("span", { "aria-hidden": "true" }, `${sign} `), note.title), h("p", {}, note.message)),
      ),
    );
  });
  return [row, notes];
}

export function editor(pull, here) {
  const { path, text } = here.editing;
  const rows = text.split("\n").length + 2;
  return h(
    "section",
    { class: "file", id: "editor", "data-key": "editor", "aria-label": `Edit ${path}` },
    h("header", {}, h("label", { for: "editor-text" }, h("code", {}, path))),
    h("textarea", { id: "editor-text", class: "code", rows, spellcheck: "false", autocapitalize: "off", autocomplete: "off" }, text),
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", class: "main", disabled: here.busy, ...does("push", { number: pull.number, path }) }, `Push as ${here.login}`),
      h("button", { type: "button", ...does("drop") }, "Leave it as it was"),
    ),
  );
}

export function proposal(state, here) {
  const paths = Object.keys(state.files);
  return h(
    "form",
    { id: "proposal", class: "box write", "data-key": "proposal", "aria-label": "New pull request" },
    h("h2", {}, "New pull request"),
    h("p", { class: "quiet" }, "Take a file as it is on main, or name a new one."),
    h("div", { class: "row" }, paths.map((path) => h("button", { type: "button", class: "chip small", "data-key": path, ...does("draft", { path }) }, path))),
    field("Title", h("input", { name: "heading", value: "Change a pipeline" })),
    field("File", h("input", { name: "path", value: "pipelines/orders/refunds.yaml", class: "code", spellcheck: "false", autocapitalize: "off" })),
    field("Its text", h("textarea", { name: "text", rows: 14, class: "code", spellcheck: "false", autocapitalize: "off" })),
    h("label", { class: "inline" }, h("input", { type: "checkbox", name: "gone" }), "Remove this file instead"),
    h("div", { class: "row" }, h("button", { type: "button", class: "main", disabled: here.busy, ...does("propose") }, `Open as ${here.login}`)),
  );
}

const field = (name, input) => h("label", { class: "field" }, h("span", {}, name), input);
