// Does with the widget what CloudWatch does: calls its function, cleans what it returns, and acts
// on cwdb-action. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html
"use strict";

const REFRESH_MILLISECONDS = 4000;
const NOT_ALLOWED = "script, iframe, use, object, embed, link, meta, base, img, video, audio, template";

const at = (id) => document.getElementById(id);
let isTouched = false; // the widget shows something that a refresh would take away
let turn = 0; // of what is asked for; an answer that comes after a later one's is nobody's any more

function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const size = Math.abs(minutes);
  const offsetISO = `${minutes < 0 ? "-" : "+"}${two(size / 60)}:${two(size % 60)}`;
  return { label: "Local", offsetISO, offsetInMinutes: -minutes };
}

function typed() {
  const fields = document.querySelectorAll("#widget [name], #content [name]");
  return Object.fromEntries([...fields].map((field) => [field.name, field.value]));
}

function params() {
  return { showNumbers: at("numbers").checked };
}

async function call(parameters, endpoint) {
  const event = {
    ...parameters,
    widgetContext: {
      dashboardName: "delivery",
      widgetId: "widget-1",
      accountId: "000000000000",
      locale: "en",
      timezone: zone(),
      theme: at("dark").checked ? "dark" : "light",
      title: "Messages",
      forms: { all: typed() },
      params: params(),
      width: at("widget").clientWidth,
      height: at("widget").clientHeight,
    },
  };
  const answer = await fetch("/widget", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ endpoint, event }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}

function cleaned(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  parsed.querySelectorAll(NOT_ALLOWED).forEach((element) => element.remove());
  for (const element of parsed.querySelectorAll("*")) {
    for (const { name, value } of [...element.attributes]) {
      const isLink = name === "href" || name.endsWith(":href");
      if (name.startsWith("on") || (isLink && !value.startsWith("https://"))) {
        element.removeAttribute(name);
      }
    }
  }
  // The parser moves a style sheet that comes first into the head.
  return [...parsed.head.childNodes, ...parsed.body.childNodes];
}

function show(place, html) {
  place.replaceChildren(...cleaned(html));
  place.querySelectorAll("cwdb-action").forEach(connect);
  for (const form of place.querySelectorAll("form")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.querySelector("cwdb-action")?.previousElementSibling.click();
    });
  }
}

function connect(action) {
  const clicked = action.previousElementSibling;
  clicked.addEventListener("click", (event) => {
    event.preventDefault();
    act(action);
  });
  clicked.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act(action);
  });
}

async function act(action) {
  const isPopup = action.getAttribute("display") === "popup";
  const place = isPopup ? at("content") : at("widget");
  let html = action.innerHTML;
  if (action.getAttribute("action") === "call") {
    const mine = ++turn;
    isTouched ||= !isPopup;
    document.body.classList.add("waits");
    try {
      html = await call(JSON.parse(action.textContent || "{}"), action.getAttribute("endpoint"));
    } catch (error) {
      html = escaped(error.message);
    } finally {
      document.body.classList.remove("waits");
    }
    if (mine !== turn) return;
  }
  show(place, html);
  if (isPopup && !at("popup").open) at("popup").showModal();
}

function escaped(text) {
  const place = document.createElement("p");
  place.textContent = text;
  return place.outerHTML;
}

function isAtRest() {
  return !isTouched && !at("popup").open && !typed().lookup;
}

async function refreshWidget() {
  const mine = ++turn;
  const html = await call(params(), null);
  if (mine !== turn || !isAtRest()) return;
  const focused = document.activeElement?.name;
  show(at("widget"), html);
  if (focused) at("widget").querySelector(`[name="${focused}"]`)?.focus();
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
  at("graphs").replaceChildren(element("ul", "numbers", ...tiles), ...graphs.map(drawGraph));
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
    if (isAtRest()) await refreshWidget();
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

function startAnew() {
  const isDark = at("dark").checked;
  document.documentElement.classList.toggle("dark", isDark);
  // Until the widget was called again, what it returned before must stay legible.
  document.querySelectorAll(".dw").forEach((it) => it.classList.toggle("dw-dark", isDark));
  isTouched = false;
  const field = at("widget").querySelector("[name]");
  if (field) field.value = "";
  refresh();
}

at("dark").checked = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.classList.toggle("dark", at("dark").checked);
at("dark").addEventListener("change", startAnew);
at("numbers").addEventListener("change", startAnew);
at("refresh").addEventListener("click", startAnew);
at("close").addEventListener("click", () => at("popup").close());
at("popup").addEventListener("click", (event) => {
  if (event.target === at("popup")) at("popup").close(); // beside the dialog
});
keepFresh();
