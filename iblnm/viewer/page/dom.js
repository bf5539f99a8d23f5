// Elements whose texts are text nodes: nothing in the data can become markup.
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}

function link(href, ...children) {
  // only addresses of the web or of this server: a stored text may be anything
  const allowed = /^(https?:\/\/|\/(?!\/)|\.\.?\/)/.test(href || "");
  return allowed ? el("a", {href, rel: "noreferrer"}, ...children) : el("span", {}, ...children);
}

function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value).replace("-", "−");
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

const seconds = (value) => (Math.round(value * 1000) / 1000).toString().replace("-", "−");
const counted = (n, one, many) => `${n} ${n === 1 ? one : many || one + "s"}`;

function button(text, title, action, more = {}) {
  return el("button", {type: "button", title, onclick: action, ...more}, text);
}

function choice(name, title, options, value, action) {
  const select = el("select", {name, title, onchange: () => action(select.value)},
    options.map(([key, text]) => el("option", {value: key}, text)));
  select.value = value;
  return el("label", {}, title, " ", select);
}

function missing(text) {
  return el("p", {class: "missing"}, text);
}
