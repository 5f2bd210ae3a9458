// The worker that all tabs of a browser share: one stream, told to each of them.

import { Source } from "./source.js";

const ports = new Set();
const source = new Source((message) => ports.forEach((port) => port.postMessage(message)));

function join(port, bookmark) {
  source.flush(); // the place that is told now is the one before whatever comes next
  ports.add(port);
  if (!source.stream || ["ended", "not logged in"].includes(source.state)) source.open(bookmark);
  port.postMessage({ ...source.now(), kind: "joined" });
}

addEventListener("connect", ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data.kind === "join") join(port, data.bookmark);
    if (data.kind === "leave") ports.delete(port);
  };
});
