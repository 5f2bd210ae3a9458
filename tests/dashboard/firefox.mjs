// Firefox by WebDriver BiDi: a command a line on the input, {op, id, text}, an answer a line on
// the output, {value} or {error}, with what the pages complained of since the last one.

import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const [executablePath] = process.argv.slice(2);
const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true });
const known = new Map();
let number = 0;
let complaints = [];

function keep(made) {
  known.set(++number, made);
  return number;
}

async function page(context) {
  const made = await known.get(context).newPage();
  await made.setViewport({ width: 1280, height: 800 });
  const id = keep(made);
  made.on("console", (told) => told.type() === "error" && complaints.push([id, told.text()]));
  made.on("pageerror", (error) => complaints.push([id, String(error)]));
  return id;
}

const ops = {
  context: async () => keep(await browser.createBrowserContext()),
  page,
  goto: async (id, url) => void (await known.get(id).goto(url)),
  init: async (id, script) => void (await known.get(id).evaluateOnNewDocument(script)),
  evaluate: (id, script) => known.get(id).evaluate(script),
  close: async (id) => void (await known.get(id).close()),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { op, id, text } = JSON.parse(line);
  const answer = await ops[op](id, text).then(
    (value) => ({ value: value ?? null }),
    (error) => ({ error: String(error) }),
  );
  console.log(JSON.stringify({ ...answer, complaints }));
  complaints = [];
}
await browser.close();
