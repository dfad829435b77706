// The page of scout dev. The server escapes text from others, and the page inserts it
// as text, never as markup.

const $ = (id) => document.getElementById(id);

// make returns an element with attributes and children, which may be text.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// call calls the page's API. If that fails, it throws an Error whose message is for the user.
async function call(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch("/_scout/" + path, options).catch(() => { throw new Error("scout dev does not respond; is it running?"); });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let error = text;
  try { error = JSON.parse(text).error; } catch { /* it is plain text */ }
  throw new Error(error);
}

function report(id, text, bad) {
  $(id).textContent = text;
  $(id).classList.toggle("bad", Boolean(bad));
}

// The list of messages.

const marks = { "enqueued": "✓", "duplicate": "=", "ignored": "·", "rejected": "✗", "failed": "✗", "dead set": "✗", "dead letter": "†" };
const messages = new Map(); // by id: the message and its row
const maxMessages = 500;
let selected = null; // the id of the selected message

const clock = (time) => new Date(time).toLocaleTimeString("en-GB");
const stateClass = (state) => state.split(" ")[0];

function mark(state) {
  return make("span", { class: "mark", "aria-hidden": "true" }, marks[state] ?? "");
}

// consequence returns the outcome of a message in one line.
function consequence(m) {
  if (m.detail) return m.detail;
  if (m.jobs.length === 0) return "";
  const [first] = m.jobs;
  if (m.jobCount === 1) return `${first.class} (${first.queue}) ${first.preview}`;
  return m.jobs.map((job) => `${job.class} (${job.queue})`).join(", ") + (m.jobCount > m.jobs.length ? " …" : "");
}

function fillRow(row, m) {
  const cell = (name, ...children) => make("td", { role: "gridcell", class: name }, ...children);
  const last = cell("", consequence(m));
  last.title = last.textContent;
  row.replaceChildren(
    cell("time", clock(m.time)),
    cell("state " + stateClass(m.state), mark(m.state), m.state),
    cell("source", m.source),
    cell("topic", m.topic || m.source || m.queue),
    cell("route", m.route),
    last,
  );
}

// showMessages shows messages that have arrived or changed, with one update of the
// layout.
function showMessages(list) {
  const scroll = $("scroll");
  const atEnd = scroll.scrollTop + scroll.clientHeight > scroll.scrollHeight - 40;
  for (const m of list) showMessage(m);
  while (messages.size > maxMessages) forget(messages.keys().next().value);
  if (!$("rows").querySelector('[tabindex="0"]')) $("rows").firstChild.tabIndex = 0;
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  const last = list.at(-1);
  announce(`${last.topic || last.source}: ${last.state}. ${consequence(last)}`);
  count();
}

function showMessage(m) {
  const known = messages.get(m.id);
  const row = known?.row ?? make("tr", { role: "row", tabindex: "-1", "aria-selected": "false", "data-id": m.id });
  messages.set(m.id, { ...m, row });
  fillRow(row, m);
  if (!known) $("rows").append(row);
  if (m.id === selected) loadMessage(m.id);
}

function forget(id) {
  messages.get(id).row.remove();
  messages.delete(id);
}

function count() {
  const counts = {};
  for (const m of messages.values()) counts[m.state] = (counts[m.state] ?? 0) + 1;
  $("counts").textContent = Object.entries(counts).map(([state, n]) => `${n} ${state}`).join(", ");
  $("empty").hidden = messages.size > 0;
}

// announce tells a screen reader about the latest message, once none has arrived for a second.
let announcing = 0;
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => { $("live").textContent = text.slice(0, 300); }, 1000);
}

function focusRow(row) {
  if (!row) return;
  $("rows").querySelectorAll('[tabindex="0"]').forEach((other) => { other.tabIndex = -1; });
  row.tabIndex = 0;
  row.focus();
}

function select(row) {
  for (const { row: other } of messages.values()) other.setAttribute("aria-selected", String(other === row));
  selected = row.dataset.id;
  report("replayed", "");
  openTab("message");
  return loadMessage(selected);
}

$("rows").addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  focusRow(row);
  select(row);
});

$("messages").addEventListener("focus", () => focusRow($("rows").querySelector('[tabindex="0"]')));

$("rows").addEventListener("keydown", async (event) => {
  const row = event.target.closest("tr");
  const rows = [...$("rows").children];
  const at = rows.indexOf(row);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    focusRow(rows[Math.max(0, Math.min(rows.length - 1, to))]);
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    await select(row);
    $("message-title").focus();
  }
});

document.querySelector(".pane").addEventListener("keydown", (event) => {
  if (event.key === "Escape") focusRow(messages.get(selected)?.row ?? $("rows").querySelector('[tabindex="0"]'));
});

// One message.

let shown = null; // the server's description of the selected message

async function loadMessage(id) {
  try {
    const m = await call("messages/" + id);
    if (id === selected) showDetails(m);
  } catch (error) {
    report("replayed", error.message, true);
  }
}

function showDetails(m) {
  shown = m;
  $("unselected").hidden = true;
  $("selected").hidden = false;
  $("message-title").textContent = m.topic || m.source || m.queue;
  $("outcome").className = stateClass(m.state);
  $("outcome").replaceChildren(mark(m.state), m.state + (m.detail ? `: ${m.detail}` : "") + (m.reason ? ` (${m.reason})` : ""));
  $("jobs").replaceChildren(...m.jobs.map((job, i) => make("div", { class: "job" },
    make("p", {}, `${job.class} on ${job.queue}`, ...(job.state === m.state ? [] : [make("span", { class: stateClass(job.state) }, `, ${job.state}`)])),
    block(m.payloads[i].json, m.payloads[i].cut, `Job ${job.jid}`),
  )));
  if (m.jobCount > m.jobs.length) $("jobs").append(make("p", { class: "job" }, `and ${m.jobCount - m.jobs.length} more jobs`));
  showOriginal(m);
  $("redeliver").disabled = $("edit").disabled = m.bodyCut;
  $("repeat").disabled = m.notRepeatable !== "";
  $("repeat-about").textContent = m.notRepeatable ? `Not possible: ${m.notRepeatable}.` : "Sends the same content with a new id, so it makes a new job.";
  showFacts(m);
}

// showOriginal shows the original message. For a notification, it also shows the envelope.
function showOriginal(m) {
  if (m.published) {
    const envelope = make("details", {}, make("summary", {}, "As SQS delivered it"), block(m.body, m.bodyCut, "Body"));
    envelope.open = $("original").querySelector("details")?.open ?? false;
    $("original").replaceChildren(block(m.published, false, "Message"), ...m.attributes.map(attributeLine), envelope);
  } else {
    $("original").replaceChildren(block(m.body, m.bodyCut, "Message"), ...m.attributes.map(attributeLine));
  }
}

function attributeLine(a) {
  return make("p", { class: "mono" }, `${a.name} (${a.type}): ${a.value}`);
}

function block(text, cut, label) {
  const box = make("div", {}, make("pre", { tabindex: "0", role: "region", "aria-label": label }, text));
  if (cut) box.append(make("p", { class: "hint" }, "Cut off here, because it is too long to keep."));
  return box;
}

function showFacts(m) {
  const facts = [["Source", m.source], ["Topic", m.topicArn], ["Route", m.route], ["SQS queue", m.queue], ["Received", `${clock(m.time)}, receive ${m.receives}`],
    ["Job id", m.jobs.map((job) => job.jid).join(" ")], ["Message id", m.messageId], ["SQS message id", m.sqsId]];
  $("facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

async function replay(as, done) {
  try {
    await call(`messages/${selected}/replay`, { as });
    report("replayed", done);
  } catch (error) {
    report("replayed", error.message, true);
  }
}

$("redeliver").addEventListener("click", () => replay("redelivery", "Redelivered. It is the last in the list."));
$("repeat").addEventListener("click", () => replay("new", "Sent as a new message. It is the last in the list."));
$("edit").addEventListener("click", () => {
  openTab("publish");
  fillForm(shown.draft);
  $("text").focus();
});

// Tabs.

const tabs = [...document.querySelectorAll("[role=tab]")];

function openTab(name) {
  for (const tab of tabs) {
    const open = tab.id === "tab-" + name;
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !open;
  }
  if (name === "sidekiq") loadSidekiq();
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener("click", () => openTab(tab.id.slice("tab-".length)));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    tabs[to % tabs.length].focus();
    tabs[to % tabs.length].click();
  });
}

// Publishing.

const otherTopic = "other";
let samples = [];

// destination returns the draft's destination from the form: a topic or a queue.
function destination() {
  const value = $("destination").value;
  if (value === otherTopic) return { topic: $("topic-name").value.trim() };
  return value.startsWith("queue:") ? { queue: value.slice("queue:".length) } : { topic: value };
}

function showDestinations(stack) {
  const before = $("destination").value;
  const topics = stack.topics.map((t) => {
    const isUnique = stack.topics.filter((other) => other.name === t.name).length === 1;
    return make("option", { value: t.arn }, (isUnique ? t.name : t.arn) + (t.route ? "" : " (no route)"));
  });
  topics.push(make("option", { value: otherTopic }, "another topic…"));
  const queues = stack.queues.map((name) => make("option", { value: "queue:" + name }, `${name}, without a topic`));
  $("destination").replaceChildren(make("optgroup", { label: "Topics" }, ...topics), make("optgroup", { label: "Queues" }, ...queues));
  const options = [...$("destination").options];
  (options.find((o) => o.value === before) ?? options[0]).selected = true; // a reload may remove the selected destination
  showFields();
}

function showFields() {
  const { topic, queue } = destination();
  $("other").hidden = $("destination").value !== otherTopic;
  $("with-subject").hidden = queue !== undefined;
  $("ordered").hidden = !(topic ?? queue).endsWith(".fifo");
}

function addAttribute(a, focus) {
  const n = $("attributes").children.length + 1;
  const type = make("select", { "aria-label": `Type of attribute ${n}` }, ...["String", "Number"].map((t) => make("option", {}, t)));
  const row = make("div", { class: "attribute" },
    make("input", { "aria-label": `Name of attribute ${n}`, placeholder: "name", maxlength: "256", spellcheck: "false", required: "" }),
    type,
    make("input", { "aria-label": `Value of attribute ${n}`, placeholder: "value", spellcheck: "false", required: "" }),
    make("button", { type: "button", "aria-label": `Remove attribute ${n}` }, "✕"));
  [row.children[0].value, row.children[2].value] = [a.name, a.value];
  if (![...type.options].some((o) => o.value === a.type)) type.append(make("option", {}, a.type));
  type.value = a.type;
  row.children[3].addEventListener("click", () => { row.remove(); $("add-attribute").focus(); });
  $("attributes").append(row);
  if (focus) row.children[0].focus();
}

// fillForm fills the form with a draft. It selects "another topic" for a topic that does not exist.
function fillForm(draft) {
  const options = [...$("destination").options];
  const option = options.find((o) => o.value === draft.topic || o.value.endsWith(":" + draft.topic) || o.value === "queue:" + draft.queue)
    ?? options.find((o) => (draft.topic !== undefined ? o.value === otherTopic : o.value.startsWith("queue:")));
  $("destination").value = option.value;
  $("topic-name").value = option.value === otherTopic ? draft.topic : "";
  $("text").value = draft.message;
  $("subject").value = draft.subject ?? "";
  $("group").value = draft.group || "1";
  $("attributes").replaceChildren();
  for (const a of draft.attributes ?? []) addAttribute(a);
  report("sent", "");
  showFields();
}

$("first").addEventListener("click", () => { openTab("publish"); $("text").focus(); });
$("add-attribute").addEventListener("click", () => addAttribute({ name: "", type: "String", value: "" }, true));
$("destination").addEventListener("change", showFields);
$("topic-name").addEventListener("input", showFields);
$("sample").addEventListener("change", () => {
  const sample = samples[$("sample").value];
  fillForm(sample ? sample.draft : { ...destination(), message: "" });
});

$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const to = destination();
  const attributes = [...$("attributes").children].map((row) => ({ name: row.children[0].value, type: row.children[1].value, value: row.children[2].value }));
  const draft = { ...to, message: $("text").value, attributes };
  if (to.topic !== undefined) draft.subject = $("subject").value;
  if (!$("ordered").hidden) draft.group = $("group").value;
  try {
    const { messageId } = await call("publish", draft);
    report("sent", `Published as ${messageId}.`);
  } catch (error) {
    report("sent", error.message, true);
  }
});

async function loadSamples() {
  samples = await call("samples");
  samples.forEach((sample, i) => $("sample").append(make("option", { value: i }, sample.name)));
}

// Sidekiq.

let sidekiqShown = ""; // the last response; an equal one changes nothing

async function loadSidekiq() {
  if ($("sidekiq").hidden || document.hidden) return;
  let lists;
  try {
    lists = await call("sidekiq");
  } catch (error) {
    sidekiqShown = "";
    $("lists").replaceChildren(make("p", { class: "bad", role: "alert" }, error.message));
    return;
  }
  const text = JSON.stringify(lists);
  if (text === sidekiqShown) return;
  sidekiqShown = text;
  const open = new Set([...$("lists").querySelectorAll("details[open]")].map((d) => d.dataset.key));
  const focused = document.activeElement.closest?.("details")?.dataset.key;
  $("lists").replaceChildren(...lists.flatMap((list) => sidekiqList(list, open)));
  if (focused) [...$("lists").querySelectorAll("details")].find((d) => d.dataset.key === focused)?.querySelector("summary").focus();
}

function sidekiqList(list, open) {
  const jobs = list.jobs.map((job, i) => {
    const key = `${list.kind} ${list.name} ${job.jid || i}`;
    const summary = make("summary", {}, `${job.class || "no job"} `, make("code", {}, job.preview));
    const details = make("details", { "data-key": key }, summary);
    if (job.at) details.append(make("p", { class: "hint" }, new Date(job.at).toLocaleString("en-GB")));
    if (job.error) details.append(make("p", { class: "bad" }, job.error));
    details.append(block(job.json, job.cut, `Job ${job.jid}`));
    details.open = open.has(key);
    return details;
  });
  const rest = list.size - list.jobs.length;
  if (rest > 0) jobs.push(make("p", { class: "hint" }, `and ${rest} more`));
  const size = list.size === 1 ? "1 job" : `${list.size} jobs`;
  const title = list.kind === "Queue" ? ["Queue ", make("span", {}, list.name)] : [make("span", {}, list.kind)];
  return [make("h4", {}, ...title, `, ${size}`), ...jobs];
}

setInterval(loadSidekiq, 2000);

// The server's stream of events.

const stream = new EventSource("/_scout/stream");
stream.addEventListener("open", () => { $("connection").textContent = "live"; $("connection").dataset.live = ""; });
stream.addEventListener("error", () => { $("connection").textContent = "disconnected"; delete $("connection").dataset.live; });
stream.addEventListener("reset", () => { [...messages.keys()].forEach(forget); count(); });
stream.addEventListener("messages", (event) => showMessages(JSON.parse(event.data)));
stream.addEventListener("stack", (event) => {
  const stack = JSON.parse(event.data);
  $("stack").textContent = `${stack.config}, jobs in ${stack.redis}`;
  $("endpoint").textContent = stack.endpoint;
  showDestinations(stack);
});

await loadSamples().catch((error) => report("sent", error.message, true));
