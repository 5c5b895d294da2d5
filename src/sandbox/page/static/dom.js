// Elements out of values, and a tree that becomes another one without losing what a person
// has open, typed or in focus.

const SVG = "http://www.w3.org/2000/svg";

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined) continue;
    // Of an aria attribute, false is a value.
    const spoken = name.startsWith("aria-");
    if (value === false && !spoken) continue;
    element.setAttribute(name, value === true && !spoken ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child);
  }
  return element;
}

export const h = (tag, attributes, ...children) =>
  made(document.createElement(tag), attributes, children);

export const s = (tag, attributes, ...children) =>
  made(document.createElementNS(SVG, tag), attributes, children);

// What the server has rendered and made safe.
export function rendered(html, attributes) {
  const element = h("div", { class: "markdown", ...attributes });
  const template = document.createElement("template");
  template.innerHTML = html;
  element.append(template.content);
  return element;
}

// A press of it calls the deed of that name with these values.
export const does = (deed, values) => ({ "data-does": deed, "data-with": JSON.stringify(values ?? {}) });

// Makes the children of `old` like these.
export function show(old, ...children) {
  const fresh = old.cloneNode(false);
  fresh.append(...children.flat(Infinity).filter((child) => child));
  become(old, fresh);
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function become(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // What a person has unfolded stays so.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // What a person has typed stays so.
  if (old.nodeName === "TEXTAREA" || old.nodeName === "SELECT") return;
  const byKey = new Map();
  for (const child of old.childNodes) if (keyOf(child)) byKey.set(keyOf(child), child);
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = keyOf(wanted) && byKey.get(keyOf(wanted));
    if (known && known !== at && alike(known, wanted)) {
      old.insertBefore(known, at);
      become(known, wanted);
    } else if (at && alike(at, wanted)) {
      const next = at.nextSibling;
      become(at, wanted);
      at = next;
    } else {
      old.insertBefore(wanted, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    old.removeChild(at);
    at = next;
  }
}

export function ago(seconds) {
  const passed = Math.max(0, Date.now() / 1000 - seconds);
  if (passed < 60) return "now";
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  return `${Math.floor(passed / 3600)} h ago`;
}

export const mark = (kind) => kind && h("span", { class: `mark ${kind}` }, kind);

export const person = (login, bot) =>
  h("span", { class: bot ? "avatar bot" : "avatar", "aria-hidden": "true" }, bot ? "pw" : (login[0] ?? "?").toUpperCase());
