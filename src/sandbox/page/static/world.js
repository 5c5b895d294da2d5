// The world beside GitHub: who reaches what, the day's schedules, runs, objects, what happens.

import { ago, does, h, mark } from "/dom.js";
import { picture, sentences } from "/reach.js";

export function world(state, here) {
  return [
    h(
      "section",
      { class: "panel", "data-key": "reach", "aria-labelledby": "reach-title" },
      h("h2", { id: "reach-title" }, "Who reaches what"),
      picture(state.reach, here),
      sentences(state.reach, here),
    ),
    h("section", { class: "panel", "data-key": "day", "aria-labelledby": "day-title" }, h("h2", { id: "day-title" }, "Schedules, today"), day(state.day, here)),
    h("section", { class: "panel", "data-key": "runs", "aria-labelledby": "runs-title" }, h("h2", { id: "runs-title" }, "Runs"), runs(state.runs, here)),
    h("section", { class: "panel", "data-key": "back", "aria-labelledby": "back-title" }, h("h2", { id: "back-title" }, "Behind the scenes"), back(here)),
    h("section", { class: "panel", "data-key": "objects", "aria-labelledby": "objects-title" }, h("h2", { id: "objects-title" }, "In the cluster"), objects(state.objects)),
    h("section", { class: "panel", "data-key": "log", "aria-labelledby": "log-title" }, h("h2", { id: "log-title" }, "What happened"), log(state.log)),
  ];
}

const nothing = (text) => h("p", { class: "quiet" }, text);

function day(today, here) {
  if (!today.rows.length) return nothing("No schedule yet: merge a pipeline that its owner agreed to.");
  return [
    h("div", { class: "hours", "aria-hidden": "true" }, ["00", "06", "12", "18", "24"].map((hour) => h("span", {}, hour))),
    h(
      "ul",
      { class: "days" },
      today.rows.map((row) => {
        const next = row.suspended ? "suspended" : row.next ? `next at ${row.next}` : "never again";
        const field = `schedule-${row.name}`;
        return h(
          "li",
          { "data-key": row.name },
          h("div", { class: "row" }, h("b", {}, row.name), h("code", {}, row.schedules.join(" and ")), h("span", { class: "quiet" }, `${next} (${today.zone})`)),
          line(row, today),
          h(
            "div",
            { class: "row" },
            h("button", { type: "button", disabled: here.busy, ...does("tick", { cron: row.name }) }, "It is time"),
            h(
              "details",
              { "data-key": "edit" },
              h("summary", {}, "Edit it by hand"),
              h(
                "div",
                { class: "row" },
                h("label", { for: field, class: "unseen" }, `Schedule of ${row.name}`),
                h("input", { id: field, class: "code", value: "* * * * *", size: 12 }),
                h("button", { type: "button", disabled: here.busy, ...does("schedule", { cron: row.name }) }, "Write it to the cluster"),
              ),
            ),
          ),
        );
      }),
    ),
  ];
}

const SVG = "http://www.w3.org/2000/svg";

// One day from left to right, a stroke for each start.
function line(row, today) {
  const svg = document.createElementNS(SVG, "svg");
  const put = (name, attributes) => {
    const one = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    svg.append(one);
  };
  for (const [key, value] of Object.entries({ class: row.suspended ? "line off" : "line", viewBox: "0 0 1440 24", preserveAspectRatio: "none", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  put("rect", { class: "ground", x: 0, y: 0, width: 1440, height: 24 });
  for (const minute of row.times) put("rect", { class: "start", x: Math.max(0, minute - 4), y: 3, width: 8, height: 18, rx: 2 });
  put("rect", { class: "now", x: today.now - 1.5, y: 0, width: 3, height: 24 });
  return svg;
}

const MOODS = { Succeeded: "good", Failed: "bad", Error: "bad" };

function runs(all, here) {
  if (!all.length) return nothing("Nothing ran yet. The owner may comment /rerun on a merged pull request.");
  return h(
    "ul",
    { class: "runs" },
    [...all].reverse().map((run) => {
      return h(
        "li",
        { "data-key": run.name },
        h(
          "div",
          { class: "row" },
          h("span", { class: `badge phase ${MOODS[run.phase] ?? "wait"}` }, run.phase),
          h("code", {}, run.name),
          run.message && h("span", { class: "quiet" }, run.message),
          !(run.phase in MOODS) && h("button", { type: "button", disabled: here.busy, ...does("stop", { run: run.name }) }, "Stop it"),
        ),
        run.tables.length > 0 && tables(run),
      );
    }),
  );
}

// What became of each table of a run.
function tables(run) {
  const cells = (table) => [
    h("th", { scope: "row" }, h("code", {}, table.name)),
    h("td", { class: table.result }, table.result),
    h("td", { class: "rows" }, table.rows ?? ""),
    h("td", { class: "quiet" }, table.why),
  ];
  return [
    h(
      "table",
      { "aria-label": `Tables of ${run.name}` },
      h("thead", {}, h("tr", {}, ["Table", "Result", "Rows", "Notes"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, run.tables.map((table) => h("tr", { "data-key": table.name }, cells(table)))),
    ),
    run.more > 0 && h("p", { class: "quiet" }, `and ${run.more} more`),
  ];
}

function back(here) {
  const press = (deed, text, hint) =>
    h("li", { "data-key": deed }, h("button", { type: "button", disabled: here.busy, ...does(deed) }, text), h("span", { class: "quiet" }, hint));
  return h(
    "ul",
    { class: "back" },
    press("sweep", "Let the bot look", "its timer goes off: it compares everything, webhooks or not"),
    press("crash", "Kill the bot", "another starts, and knows only what stands in the world"),
  );
}

function objects(all) {
  if (!all.length) return nothing("Nothing yet.");
  const kinds = [...new Set(all.map((one) => one.kind))].sort();
  return kinds.map((kind) =>
    h(
      "div",
      { class: "kind", "data-key": kind },
      h("h3", {}, kind),
      all
        .filter((one) => one.kind === kind)
        .map((one) =>
          one.yaml
            ? h(
                "details",
                { class: one.mark, "data-key": one.name },
                h("summary", {}, h("code", {}, one.name), " ", mark(one.mark)),
                h("pre", { class: "yaml", tabindex: 0, role: "region", "aria-label": `${kind} ${one.name}` }, one.yaml),
              )
            : h("p", { class: "gone", "data-key": one.name }, h("code", {}, one.name), " ", mark(one.mark)),
        ),
    ),
  );
}

function log(all) {
  const kinds = { event: "event", plan: "plan", write: "write", act: "you", fault: "fault" };
  return h(
    "ol",
    { class: "log", tabindex: 0, "aria-label": "What happened, newest first" },
    [...all]
      .reverse()
      .slice(0, 80)
      .map((one) => h("li", { "data-key": `log-${one.id}` }, h("span", { class: `badge log-${one.kind}` }, kinds[one.kind] ?? one.kind), h("span", {}, one.text), h("time", {}, ago(one.at)))),
  );
}
