// Does with the widget what CloudWatch does: calls its function, removes forbidden HTML, and handles
// cwdb-action. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html
"use strict";

const REFRESH_MILLISECONDS = 4000;
const FORBIDDEN = "script, iframe, use, object, embed, link, meta, base, img, video, audio, template";

const byId = (id) => document.getElementById(id);
let isTouched = false; // the user navigated in the widget; a refresh would undo that
let lastCall = 0; // responses to earlier calls are discarded

function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const size = Math.abs(minutes);
  const offsetISO = `${minutes < 0 ? "-" : "+"}${two(size / 60)}:${two(size % 60)}`;
  return { label: "Local", offsetISO, offsetInMinutes: -minutes };
}

function fieldValues() {
  const fields = document.querySelectorAll("#widget [name], #content [name]");
  return Object.fromEntries([...fields].map((field) => [field.name, field.value]));
}

function params() {
  return { showNumbers: byId("numbers").checked };
}

async function call(parameters, endpoint) {
  const event = {
    ...parameters,
    widgetContext: {
      dashboardName: "delivery-us-east-1",
      widgetId: "widget-1",
      accountId: "000000000000",
      locale: "en",
      timezone: zone(),
      theme: byId("dark").checked ? "dark" : "light",
      title: "Messages",
      forms: { all: fieldValues() },
      params: params(),
      width: byId("widget").clientWidth,
      height: byId("widget").clientHeight,
    },
  };
  const response = await fetch("/widget", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ endpoint, event }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text;
}

function sanitized(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  parsed.querySelectorAll(FORBIDDEN).forEach((element) => element.remove());
  for (const element of parsed.querySelectorAll("*")) {
    for (const { name, value } of [...element.attributes]) {
      const isLink = name === "href" || name.endsWith(":href");
      if (name.startsWith("on") || (isLink && !value.startsWith("https://"))) {
        element.removeAttribute(name);
      }
    }
  }
  // The parser moves a leading style sheet into the head.
  return [...parsed.head.childNodes, ...parsed.body.childNodes];
}

function show(place, html) {
  place.replaceChildren(...sanitized(html));
  place.querySelectorAll("cwdb-action").forEach(connect);
  for (const form of place.querySelectorAll("form")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.querySelector("cwdb-action")?.previousElementSibling.click();
    });
  }
}

function connect(action) {
  const target = action.previousElementSibling;
  target.addEventListener("click", (event) => {
    event.preventDefault();
    act(action);
  });
  target.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act(action);
  });
}

async function act(action) {
  const isPopup = action.getAttribute("display") === "popup";
  const place = isPopup ? byId("content") : byId("widget");
  let html = action.innerHTML;
  if (action.getAttribute("action") === "call") {
    const mine = ++lastCall;
    isTouched ||= !isPopup;
    document.body.classList.add("busy");
    try {
      html = await call(JSON.parse(action.textContent || "{}"), action.getAttribute("endpoint"));
    } catch (error) {
      html = escaped(error.message);
    } finally {
      document.body.classList.remove("busy");
    }
    if (mine !== lastCall) return;
  }
  show(place, html);
  if (isPopup && !byId("popup").open) byId("popup").showModal();
}

function escaped(text) {
  const place = document.createElement("p");
  place.textContent = text;
  return place.outerHTML;
}

function isIdle() {
  return !isTouched && !byId("popup").open && !fieldValues().lookup;
}

async function refreshWidget() {
  const mine = ++lastCall;
  const html = await call(params(), null);
  if (mine !== lastCall || !isIdle()) return;
  const focused = document.activeElement?.name;
  show(byId("widget"), html);
  if (focused) byId("widget").querySelector(`[name="${focused}"]`)?.focus();
}

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

function drawMeasures({ numbers, graphs }) {
  const tiles = numbers.map(({ name, value, tone }) =>
    element("li", "", element("strong", tone, value), element("span", "", name)));
  byId("graphs").replaceChildren(element("ul", "numbers", ...tiles), ...graphs.map(drawGraph));
}

function drawGraph({ title, tone, bars }) {
  const longest = Math.max(...bars.map((bar) => bar.value));
  const rows = bars.map(({ name, value, label }) => {
    const bar = element("i", `bar ${value ? tone : ""}`);
    bar.style.width = `${60 * value / (longest || 1)}%`;
    return element("li", "", element("span", "", name), element("div", "", bar, label));
  });
  const drawn = rows.length ? element("ul", "bars", ...rows) : element("p", "nothing", "None yet.");
  return element("section", "card", element("h2", "", title), drawn);
}

async function refresh() {
  try {
    if (isIdle()) await refreshWidget();
    const measures = await fetch("/measures");
    if (measures.ok) drawMeasures(await measures.json());
    document.body.classList.remove("gone");
  } catch (error) {
    document.body.classList.add("gone");
  }
}

async function keepFresh() {
  await refresh();
  setTimeout(keepFresh, REFRESH_MILLISECONDS);
}

function reload() {
  const isDark = byId("dark").checked;
  document.documentElement.classList.toggle("dark", isDark);
  // The old HTML of the widget has to stay legible until the next call returns.
  document.querySelectorAll(".dw").forEach((it) => it.classList.toggle("dw-dark", isDark));
  isTouched = false;
  const field = byId("widget").querySelector("[name]");
  if (field) field.value = "";
  refresh();
}

byId("dark").checked = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.classList.toggle("dark", byId("dark").checked);
byId("dark").addEventListener("change", reload);
byId("numbers").addEventListener("change", reload);
byId("refresh").addEventListener("click", reload);
byId("close").addEventListener("click", () => byId("popup").close());
byId("popup").addEventListener("click", (event) => {
  if (event.target === byId("popup")) byId("popup").close(); // outside of the dialog
});
keepFresh();
