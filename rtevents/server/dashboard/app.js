// The live list: one EventSource that resumes by itself, newest entry on top.

const ROWS = 500; // rows kept on the page: older ones are in the history

const $ = (id) => document.getElementById(id);
const pending = []; // entries that came while paused
let source = null;
let isPaused = false;

async function logIn() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("t");
  if (!ticket) return;
  history.replaceState(null, "", location.pathname);
  const answer = await fetch("v1/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ticket }),
  });
  if (!answer.ok) notice((await answer.json()).detail);
}

async function fillTypes() {
  const answer = await fetch("v1/types");
  if (answer.status === 401) {
    state("not logged in");
    notice("Not logged in. Run: rtevents dashboard");
    return false;
  }
  for (const { name } of (await answer.json()).types) {
    if (name !== "HEALTH_CHECK") $("type").append(new Option(name, name));
  }
  return true;
}

function connect() {
  source?.close();
  const query = new URLSearchParams();
  for (const key of ["type", "project", "path"]) {
    if ($(key).value.trim()) query.set(key, $(key).value.trim());
  }
  // A new filter begins with what is kept; the same filter goes on by itself, by Last-Event-ID.
  query.set("since", "10m");
  source = new EventSource(`v1/events/stream?${query}`);
  source.onopen = () => state("live");
  source.onmessage = (message) => arrive(JSON.parse(message.data));
  source.onerror = () => {
    state(source.readyState === EventSource.CLOSED ? "refused" : "reconnecting");
    if (source.readyState === EventSource.CLOSED) explain(query);
  };
  source.addEventListener("gap", (message) => {
    const gap = JSON.parse(message.data);
    notice(`Events ${gap.after + 1} to ${gap.before - 1} can no longer be read (${gap.reason}).`);
  });
  source.addEventListener("bye", (message) => state(`ended: ${JSON.parse(message.data).reason}`));
}

async function explain(query) {
  const answer = await fetch(`v1/events?${query}&limit=1`);
  if (!answer.ok) notice((await answer.json()).detail);
}

function arrive(event) {
  if (isPaused) {
    pending.push(event);
    $("pause").textContent = `Resume (${pending.length})`;
  } else {
    show([event]);
  }
}

function show(events) {
  const rows = events.map(row).reverse();
  $("feed").prepend(...rows);
  while ($("feed").rows.length > ROWS) $("feed").lastElementChild.remove();
  $("empty").hidden = $("feed").rows.length > 0;
}

function row(event) {
  const tr = document.createElement("tr");
  tr.dataset.type = event.type;
  if (event.data.severity) tr.dataset.severity = event.data.severity;
  const time = new Date(event.timestamp * 1000);
  const cells = [
    event.seq,
    time.toLocaleTimeString(),
    event.project_id ?? "",
    event.type,
    summary(event),
  ];
  for (const text of cells) {
    const td = document.createElement("td");
    td.textContent = text;
    tr.append(td);
  }
  tr.cells[1].title = time.toISOString();
  tr.title = JSON.stringify(event.data);
  return tr;
}

const SUMMARIES = {
  FILE_CHANGE: (d) => `${d.change_type} ${d.old_path ? `${d.old_path} → ` : ""}${d.file_path}`,
  COMMIT: (d) => `${d.commit_hash.slice(0, 8)} ${d.message.split("\n")[0]} (${d.author})`,
  PROGRESS_UPDATE: (d) => `${d.label ?? ""} ${d.done} of ${d.total}`,
  RISK_ALERT: (d) => `${d.severity}: ${d.message}`,
  TASK_UPDATE: (d) => `${d.task_id} ${d.status} ${d.title ?? ""}`,
  SYSTEM_STATUS: (d) => `${d.status} ${d.event ?? ""} ${(d.reasons ?? []).join("; ")}`,
  AUTO_COMMIT_START: (d) => `${d.changes_count} changes`,
  AUTO_COMMIT_RESULT: (d) => `${d.success ? "done" : "not done"}: ${d.message}`,
  AUTO_COMMIT_ERROR: (d) => d.error,
};

function summary(event) {
  return visible((SUMMARIES[event.type] ?? JSON.stringify)(event.data));
}

// Bidirectional and invisible characters of foreign text are shown, not obeyed.
function visible(text) {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function state(text) {
  $("state").textContent = text;
  $("state").dataset.state = text.split(":")[0];
}

function notice(text) {
  $("notice").textContent = visible(text);
  $("notice").hidden = false;
}

$("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  $("feed").replaceChildren();
  $("notice").hidden = true;
  connect();
});

$("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  $("pause").setAttribute("aria-pressed", String(isPaused));
  $("pause").textContent = isPaused ? "Resume" : "Pause";
  if (!isPaused) show(pending.splice(0));
});

await logIn();
if (await fillTypes()) connect();
