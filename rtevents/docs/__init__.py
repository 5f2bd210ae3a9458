"""Pages shipped with the package; `rtevents docs TOPIC` renders them."""

TOPICS = {
    "events": "what an event is, every type and its data",
    "where": "the filter language: conditions on any field of an event",
    "reactions": "doing something about it: commands, webhooks, files, messages, waiting",
    "sse": "Server-Sent Events: frames, resuming, filters",
    "websocket": "the WebSocket protocol: messages and answers",
    "integration": "browser, curl, Python, shell, git",
    "risks": "the rules for risks, writing your own, and what caused what",
    "tasks": "task lists in Markdown, and commands: rtevents run",
    "recording": "export, import, replay",
    "analysis": "what happened, what changes together, what is surprising",
    "redis": "one log for several daemons",
    "monitoring": "health, thresholds, Prometheus, Grafana, traces",
    "security": "who may do what, tokens, the browser's login",
}
"""Each page and what it is about. A new page is a file here and a row in this table."""
