// Who reaches what: rights as lines between those who hold them and what they open.

import { does, h, mark, s } from "/dom.js";

const COLUMN = { schedule: 0, identity: 1, connection: 2, dataset: 2, project: 2, database: 3, people: 3 };
// What is reached is asked who reaches it; the others, what they reach.
const REACHED = ["connection", "dataset", "project", "database"];
const SIGNS = { new: "+ ", gone: "− " };
const WIDTH = 144;
const HEIGHT = 44;
const GAP = 108;
const PITCH = 58;

export function picture(reach, here) {
  const at = placed(reach);
  const traced = trace(reach, here.traced);
  const rows = Math.max(1, ...[...at.values()].map((place) => place.row + 1));
  const width = 4 * WIDTH + 3 * GAP + 8;
  const height = rows * PITCH + 4;
  // What has changed is never faded.
  const faded = ({ id, mark }) => (here.traced && !mark && !traced.has(id) ? " faded" : "");
  const edges = reach.edges.map((edge) => {
    const [from, to] = [at.get(edge.from), at.get(edge.to)];
    if (!from || !to) return null;
    const { path, x, y } = course(from, to);
    const kind = `edge can-${edge.can.replaceAll(" ", "-")} ${edge.mark}${faded(edge)}`;
    const named = edge.mark || traced.has(edge.id);
    return s(
      "g",
      { class: kind, "data-key": edge.id, ...does("trace", { id: edge.id }) },
      s("title", {}, sentence(reach, edge)),
      s("path", { class: "hold", d: path }),
      s("path", { class: "drawn", d: path, "marker-end": "url(#arrow)" }),
      named && s("text", { x, y, "text-anchor": "middle" }, `${SIGNS[edge.mark] ?? ""}${edge.can}`),
    );
  });
  const nodes = reach.nodes.map((node) => {
    const place = at.get(node.id);
    const label = node.label.length > 17 ? `${node.label.slice(0, 16)}…` : node.label;
    return s(
      "g",
      {
        class: `node ${node.kind} ${node.mark}${faded(node)}`,
        "data-key": node.id,
        transform: `translate(${place.x} ${place.y})`,
        tabindex: 0,
        role: "button",
        "aria-pressed": here.traced === node.id,
        ...does("trace", { id: node.id }),
      },
      s("rect", { width: WIDTH, height: HEIGHT, rx: 7 }, s("title", {}, node.note)),
      s("text", { class: "of", x: 10, y: 16 }, node.kind, node.mark && ` · ${node.mark}`),
      s("text", { x: 10, y: 34 }, label),
    );
  });
  const arrow = s(
    "defs",
    {},
    s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 10, markerHeight: 10, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, s("path", { d: "M0 0 8 4 0 8z" })),
  );
  return [
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Picture of who reaches what", "data-key": "picture" },
      s("svg", { class: "reach", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Who reaches what" }, arrow, edges, nodes),
    ),
    detail(reach, here, traced),
  ];
}

export function sentences(reach, here) {
  return h(
    "details",
    { class: "sentences", "data-key": "sentences" },
    h("summary", {}, `The same in ${reach.edges.length} sentences`),
    h("ul", {}, reach.edges.map((edge) => one(reach, edge, here))),
  );
}

function detail(reach, here, traced) {
  const node = reach.nodes.find((one) => one.id === here.traced);
  const edge = reach.edges.find((one) => one.id === here.traced);
  if (!node && !edge) {
    const nobody = !reach.nodes.some((one) => one.kind === "identity" && one.mark !== "gone");
    return h("p", { class: "quiet", "data-key": "detail" }, nobody && "No identity exists, so nobody reaches a database. ", "Press a box to see all that it reaches, or who reaches it; a line, to take a right away as somebody in Google's console would.");
  }
  const rights = reach.edges.filter((one) => traced.has(one.id));
  return h(
    "div",
    { class: "detail", "data-key": "detail" },
    node && h("p", {}, h("b", {}, node.label), " ", h("code", {}, node.note)),
    h("ul", {}, rights.map((right) => one(reach, right, here))),
    !rights.length && h("p", { class: "quiet" }, "No right leads here."),
  );
}

function one(reach, edge, here) {
  const can = edge.revocable && edge.mark !== "gone";
  return h(
    "li",
    { class: edge.mark, "data-key": edge.id },
    h("span", {}, sentence(reach, edge), " ", mark(edge.mark)),
    can && h("button", { type: "button", class: "small", disabled: here.busy, ...does("revoke", { edge: edge.id }) }, "Take it away by hand"),
  );
}

function sentence(reach, edge) {
  const label = (id) => reach.nodes.find((node) => node.id === id)?.label ?? id;
  return `${label(edge.from)} ${edge.can} ${label(edge.to)}`;
}

// The edge itself, or a node with all rights that lead from it, or to it.
function trace(reach, id) {
  const found = new Set();
  if (!id) return found;
  const edge = reach.edges.find((one) => one.id === id);
  if (edge) return found.add(id).add(edge.from).add(edge.to);
  const node = reach.nodes.find((one) => one.id === id);
  const [near, far] = node && REACHED.includes(node.kind) ? ["to", "from"] : ["from", "to"];
  const open = [id];
  while (open.length) {
    const here = open.pop();
    if (found.has(here)) continue;
    found.add(here);
    for (const right of reach.edges) {
      if (right[near] !== here) continue;
      found.add(right.id);
      // What is gone leads nowhere.
      if (right.mark !== "gone") open.push(right[far]);
    }
  }
  return found;
}

// Each node's place: its column is its kind's; in a column, near to what it is tied to.
function placed(reach) {
  const columns = [[], [], [], []];
  for (const node of reach.nodes) columns[COLUMN[node.kind] ?? 0].push(node.id);
  const order = new Map();
  columns.forEach((ids) => ids.sort().forEach((id, row) => order.set(id, row)));
  const ties = new Map(reach.nodes.map((node) => [node.id, []]));
  for (const { from, to } of reach.edges) {
    ties.get(from)?.push(to);
    ties.get(to)?.push(from);
  }
  const middle = (id) => {
    const rows = (ties.get(id) ?? []).map((tied) => order.get(tied) ?? 0);
    return rows.length ? rows.reduce((sum, row) => sum + row, 0) / rows.length : order.get(id);
  };
  for (let turn = 0; turn < 6; turn += 1) {
    for (const ids of columns) {
      const wish = new Map(ids.map((id) => [id, middle(id)]));
      ids.sort((one, other) => wish.get(one) - wish.get(other) || (one < other ? -1 : 1));
      ids.forEach((id, row) => order.set(id, row));
    }
  }
  const most = Math.max(...columns.map((ids) => ids.length));
  const at = new Map();
  columns.forEach((ids, column) => {
    const spare = (most - ids.length) / 2;
    ids.forEach((id, row) => at.set(id, { x: 4 + column * (WIDTH + GAP), y: 4 + (row + spare) * PITCH, row: row + spare }));
  });
  return at;
}

// From the side of one box to the facing side of the other.
function course(from, to) {
  const forth = from.x < to.x;
  const x1 = forth ? from.x + WIDTH : from.x;
  const x2 = forth ? to.x - 3 : to.x + WIDTH + 3;
  const [y1, y2] = [from.y + HEIGHT / 2, to.y + HEIGHT / 2];
  const bend = (x2 - x1) / 2;
  return { path: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 5 };
}
