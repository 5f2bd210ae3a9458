// What an event says, as `rtevents tail` says it; foreign text, not made safe yet.

const firstLine = (text) => text.trim().split("\n", 1)[0];
const share = (d) => d.percent ?? (d.total ? (100 * d.done) / d.total : null);

const SUMMARIES = {
  FILE_CHANGE: (d) => `${d.change_type} ${d.old_path ? `${d.old_path} → ` : ""}${d.file_path}`,
  COMMIT: (d) => `${d.commit_hash.slice(0, 10)} ${firstLine(d.message)} (${d.author})${lines(d)}`,
  REF_UPDATE: (d) => {
    const name = d.ref.replace(/^refs\/(heads\/)?/, "");
    const way = [d.old, d.new].filter(Boolean).map((id) => id.slice(0, 10));
    return `${name} ${d.change}${d.forced ? ", forced" : ""} ${way.join(" → ")} ${d.reason ?? ""}`;
  },
  PROGRESS_UPDATE: (d) => {
    const part = share(d);
    const percent = part === null ? "" : `${Math.round(part)} %  `;
    return `${percent}${d.done} of ${d.total}${d.unit ? ` ${d.unit}` : ""}  ${d.label ?? ""}`;
  },
  RISK_ALERT: (d) =>
    `${d.severity}: ${d.message}${d.state && d.state !== "open" ? ` (${d.state})` : ""}`,
  TASK_UPDATE: (d) => {
    const ended = d.exit_code === undefined ? "" : `  exit ${d.exit_code}`;
    const took = d.duration === undefined ? "" : `  ${d.duration.toFixed(1)} s`;
    return `${d.task_id} ${d.status}  ${d.title ?? ""}${ended}${took}`;
  },
  SYSTEM_STATUS: (d) =>
    [d.status, d.event, d.node, (d.reasons ?? []).join("; ")].filter(Boolean).join("  "),
  DASHBOARD_UPDATE: (d) =>
    Object.entries(d.metrics)
      .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
      .join("  "),
  AUTO_COMMIT_START: (d) => `${d.changes_count} changes`,
  AUTO_COMMIT_RESULT: (d) =>
    `${d.success ? "done" : "not done"}, ${d.changes_count} changes: ${d.message}`,
  AUTO_COMMIT_ERROR: (d) => String(d.error),
};

function lines(d) {
  return d.insertions === undefined ? "" : `  +${d.insertions} −${d.deletions ?? 0}`;
}

export function summary(event) {
  if (event.corrupt) return "damaged on the disk";
  try {
    if (Object.hasOwn(SUMMARIES, event.type)) return SUMMARIES[event.type](event.data).trim();
  } catch {
    // An event of a log whose types were others.
  }
  return JSON.stringify(event.data);
}

// How much an event wants to be looked at: bad, warn, or nothing in particular.
export function tone(event) {
  const { severity, status, state, success } = event.data ?? {};
  if (event.type === "RISK_ALERT" && state === "closed") return "";
  if (["high", "critical"].includes(severity) || status === "failed") return "bad";
  if (event.type === "AUTO_COMMIT_ERROR" || success === false || event.corrupt) return "bad";
  return severity === "medium" || status === "degraded" ? "warn" : "";
}
