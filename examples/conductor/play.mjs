/**
 * Plays through the conductor in a real Electron, as a person would, and checks that everything really happened.
 *
 *     node play.mjs PICTURES [SWITCH...]
 *
 * IONBUS_ELECTRON names Electron, IONBUS_PYTHON the Python of the broker. Each step prints a line and most save a
 * picture. The exit status is 0 only when all went as it should.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { _electron } from "playwright-core-electron22";

const [pictures, ...switches] = process.argv.slice(2);
const { IONBUS_ELECTRON: electron } = process.env;
if (!pictures || !electron) {
  console.error("usage: IONBUS_ELECTRON=... node play.mjs PICTURES [SWITCH...]");
  process.exit(2);
}

const NODES = ["list", "hash", "duplicates", "words", "thumbs", "choose", "report"];
const STEP_TIMEOUT_MS = 30_000;

const start = performance.now();
const complaints = [];
const stderr = [];
const scratch = await mkdtemp(path.join(tmpdir(), "conductor-"));
await rm(pictures, { recursive: true, force: true });
await mkdir(pictures, { recursive: true });

const application = await _electron.launch({
  executablePath: electron,
  args: [...switches, fileURLToPath(new URL(".", import.meta.url)), `--user-data-dir=${scratch}/profile`],
});
application.process().stderr?.on("data", (chunk) => stderr.push(String(chunk)));
let page;
let isInterrupted = false;
process.once("SIGINT", () => {
  isInterrupted = true;
});

try {
  page = await application.firstWindow();
  page.setDefaultTimeout(STEP_TIMEOUT_MS);
  page.on("pageerror", (error) => complaints.push(`error in the page: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console of the page: ${message.text()}`);
  });
  await play();
  assert.deepEqual(complaints, []);
} catch (error) {
  process.exitCode = isInterrupted ? 130 : 1;
  if (!isInterrupted) await complain(error);
} finally {
  await application.close().catch(() => {});
  await rm(scratch, { recursive: true, force: true });
}
if (!process.exitCode) say(`Everything happened. Pictures: ${path.relative(process.cwd(), pictures)}/`);

async function complain(error) {
  console.error(`\n✗ ${error instanceof Error ? error.message : error}`);
  for (const complaint of complaints) console.error(complaint);
  console.error(stderr.join("").split("\n").slice(-30).join("\n"));
  await page?.screenshot({ path: path.join(pictures, "failed.png") }).catch(() => {});
}

async function play() {
  await watchStates();
  await until("the window is connected", () => state(), "open");
  await page.waitForSelector("#run:enabled");
  assert.deepEqual(await ids(), NODES);
  assert.equal(
    await page.evaluate(() => typeof globalThis.require + typeof globalThis.process),
    "undefinedundefined",
  );
  const first = await pythonPid();
  say(
    `The window is open: ${await text("#flow-name")}, ${await text("#folder")}; ${await text("#state-detail")}`,
  );
  await picture("1-open");

  await page.click("#run");
  await page.waitForSelector(".picture:nth-child(4)");
  await page.waitForSelector('#node-hash[data-look="running"]');
  say(
    `It runs: hashing says “${await text("#node-hash .message")}”, ${await text("#pictures-count")} so far`,
  );
  await picture("2-running");

  await page.waitForSelector("#question[open]");
  await until("its node says so", () => look("choose"), "waiting");
  await page.uncheck('#question input[value="dunes (copy).png"]');
  await page.fill("#question-title", "Two weeks with a sketchbook");
  say(`Python asks the window “${await text("#question-prompt")}”: ${await text("#question-count")}`);
  await picture("3-question");
  await page.click("#question-submit");

  await page.waitForSelector("#show-report");
  await until(
    "every node is done",
    looks,
    NODES.map(() => "finished"),
  );
  const report = await checkReport("Two weeks with a sketchbook");
  await checkPictures(9);
  say(`It has finished: ${await text("#outcome")}; the report and its hashes are right`);
  await picture("4-finished");

  await revealReport(report);
  say("“Show file” reached Electron's main process by way of Python");

  await lookInside();

  await page.selectOption("#breakage", "cycle");
  await page.click("#run");
  await page.waitForSelector("#banner");
  assert.deepEqual(
    [await look("hash"), await look("duplicates"), await look("words")],
    ["failed", "failed", "idle"],
  );
  assert.match(await text("#node-hash .message"), /takes files, not groups/);
  say(
    `A circle in the flow is refused at its nodes: ${(await page.locator("#banner li").allInnerTexts()).join(" ")}`,
  );
  await picture("6-invalid-flow");

  await page.selectOption("#breakage", "none");
  await page.click("#run");
  await page.waitForSelector('#node-hash[data-look="running"]');
  await page.waitForSelector(".picture:nth-child(2)");
  await page.click("#cancel");
  await page.waitForSelector('#node-report[data-look="cancelled"]');
  await until("the outcome says so", () => text("#outcome"), "Cancelled");
  assert.deepEqual(
    [await look("list"), await look("hash"), await look("thumbs")],
    ["finished", "cancelled", "cancelled"],
  );
  await logged("The run was cancelled");
  say("A run was cancelled: Python stopped, and its nodes say so");
  await picture("7-cancelled");

  await page.click("#run");
  await page.waitForSelector('#node-hash[data-look="running"]');
  await page.click("#kill");
  await until("the window reconnects", () => state(), "reconnecting");
  await picture("8-python-is-gone");
  await until("the process is gone", () => isAlive(first), false);
  await until("the window is connected again", () => state(), "open");
  const second = await pythonPid((pid) => pid !== first);
  await until("the lost run is told", () => text("#outcome").then((told) => told !== "Running…"), true);
  await logged("The run was lost with its Python process");
  await logged(`The broker is up, process ${second}`);
  say(
    `Python ${first} was killed in the middle of a run; the window went ${(await states()).slice(-3).join(", ")} by itself`,
  );

  await page.uncheck("#slow");
  await page.click("#run");
  await page.waitForSelector("#question[open]");
  await page.press("#question-title", "Enter");
  await page.waitForSelector("#show-report");
  await checkReport("Two weeks away");
  await checkPictures(9);
  say(`The same window runs the flow again, on Python ${second}: ${await text("#outcome")}`);
  await page.emulateMedia({ colorScheme: "dark" });
  await picture("9-recovered-dark");

  const folder = await otherFolder();
  await page.click("#choose-folder");
  await until("the other folder is open", () => text("#folder"), `${path.basename(folder)} · 2 files`);
  await page.click("#run");
  await page.waitForSelector("#question[open]");
  await page.press("#question-title", "Enter");
  await until(
    "its run is done",
    looks,
    NODES.map(() => "finished"),
  );
  assert.match(await text("#node-words .message"), /^4 words$/);
  say("A folder that was picked in Electron's dialog was read as well");

  assert.deepEqual(await states(), ["open", "reconnecting", "open"]);
  await application.close();
  await until("no Python is left", () => isAlive(second), false);
  say("The window is closed, and Python with it");
}

/** The other panes: what was published, the calls both ways, and an event that comes to nothing until Python is mended. */
async function lookInside() {
  await page.click("#inside");
  await page.waitForSelector("#events li:nth-child(9)");
  const [made, answered] = ["→ conductor.execute", "← conductor.ask"].map((hasText) =>
    page.locator("#calls li", { hasText }),
  );
  const [trace, same] = await Promise.all([made, answered].map((row) => row.locator(".trace").innerText()));
  assert.match(trace, /^[0-9a-f]{6}$/);
  assert.equal(same, trace);
  say(`The call to Python and the one that Python made for it are of one trace, ${trace}…`);
  await page.click("#stumble");
  await page.waitForSelector(".letter");
  assert.match(await text(".letter .detail"), /Python stumbled over its shoelace/);
  say(`An event at which Python's listener raised is a dead letter: “${await text(".letter .detail")}”`);
  await page.click("#block");
  const blocked = page.locator("#health .problem", { hasText: "The event loop was blocked" });
  say(`Python says what is wrong with it: “${(await blocked.first().innerText()).trim()}”`);
  await picture("5-inside");
  await page.click("#mend");
  await page.click(".letter .resend");
  await page.waitForSelector(".letter", { state: "detached" });
  await page.click("#inside");
  await logged("Python got over its shoelace");
  say("Python was mended, and the letter was sent again");
}

// --- What is on the screen --------------------------------------------------------------------------

async function text(selector) {
  return (await page.locator(selector).innerText()).trim();
}

async function look(nodeId) {
  return page.getAttribute(`#node-${nodeId}`, "data-look");
}

async function looks() {
  return Promise.all(NODES.map(look));
}

async function ids() {
  return page.$$eval(".node", (nodes) => nodes.map((node) => node.id.replace("node-", "")));
}

async function state() {
  return page.getAttribute("#state", "data-state");
}

/** Every state of the connection from `open` on, in order, also those that pass quickly. */
async function watchStates() {
  await page.evaluate(() => {
    const lamp = document.querySelector("#state");
    globalThis.seenStates = [lamp.dataset.state];
    new MutationObserver(() => {
      if (lamp.dataset.state !== globalThis.seenStates.at(-1)) globalThis.seenStates.push(lamp.dataset.state);
    }).observe(lamp, { attributeFilter: ["data-state"] });
  });
}

async function states() {
  return page.evaluate(() => globalThis.seenStates.slice(globalThis.seenStates.indexOf("open")));
}

/** The process that the status line names, once it names one that will do. */
async function pythonPid(willDo = () => true) {
  let pid = 0;
  await until(
    "the status line names a process",
    async () => {
      pid = Number(/process (\d+)/.exec(await text("#state-detail"))?.[1]);
      return pid > 0 && willDo(pid);
    },
    true,
  );
  return pid;
}

async function logged(message) {
  await page.locator("#log .text", { hasText: message }).last().waitFor();
}

async function picture(name) {
  // "initial": Playwright would hide the caret with an inline style, which the page's policy refuses.
  await page.screenshot({
    path: path.join(pictures, `${name}.png`),
    caret: "initial",
    animations: "disabled",
  });
}

// --- What is behind it ------------------------------------------------------------------------------

/** The report that the window names is there, and tells of each file what we find ourselves. */
async function checkReport(title) {
  assert.equal(await text("#report h3"), title);
  const report = await page.getAttribute("#report .path", "title");
  const html = await readFile(report, "utf8");
  assert.ok(html.includes(`<h1>${title}</h1>`));
  const folder = await page.getAttribute("#folder", "title");
  for (const file of ["alps-at-dawn.jpg", "dunes.png", "notes/été à Kraków.txt"]) {
    const hash = createHash("sha256")
      .update(await readFile(path.join(folder, file)))
      .digest("hex");
    assert.ok(html.includes(hash), `the report has no hash of ${file}`);
  }
  return report;
}

/** Each thumbnail has arrived as an image that the page can decode. */
async function checkPictures(count) {
  const widths = await page.$$eval(".picture img", (images) => images.map((image) => image.naturalWidth));
  assert.equal(widths.length, count);
  assert.ok(widths.every((width) => width > 0));
}

/** Press “Show file”, and see what Electron's main process would show. */
async function revealReport(report) {
  await application.evaluate(({ shell }) => {
    shell.showItemInFolder = (file) => {
      globalThis.revealed = file;
    };
  });
  await page.click("#show-report");
  await until("the file is shown", () => application.evaluate(() => globalThis.revealed), report);
}

/** A folder of two files, which Electron's dialog will give. */
async function otherFolder() {
  const folder = path.join(scratch, "other");
  await mkdir(folder);
  await writeFile(path.join(folder, "a.txt"), "just these four words\n");
  await writeFile(path.join(folder, "b.bin"), new Uint8Array(1000));
  await application.evaluate(({ dialog }, picked) => {
    dialog.showOpenDialog = async () => ({ canceled: false, filePaths: [picked] });
  }, folder);
  return folder;
}

/** Whether a process still runs; on Linux one that has ended may stay in the table until somebody asks for its status. */
async function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return !stat.includes(") Z ");
}

/** Ask until the answer is the expected one. */
async function until(what, ask, expected) {
  const end = performance.now() + STEP_TIMEOUT_MS;
  for (;;) {
    const answer = await ask();
    if (JSON.stringify(answer) === JSON.stringify(expected)) return;
    if (performance.now() > end) throw new Error(`${what}: still ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function say(what) {
  console.log(`${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s  ✓ ${what}`);
}
