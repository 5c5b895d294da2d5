// Plays the sandbox's page in a headless browser, as a visitor would, and looks at it:
// no error in the console, no request beyond loopback, no serious finding of axe-core.
//
//   npm ci && node play.mjs --program ../../target/debug/pipewright --folder ../..
//
// --pictures FOLDER keeps a picture of every step; --readme FOLDER makes the two of the README;
// --statics FOLDER takes the page's files from there instead of from the program, to work on them.
// It ends with one line: how many steps, pictures and checks, and how long it took from the
// command to the first plan on the screen.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: given } = parseArgs({
  options: {
    program: { type: "string" },
    folder: { type: "string", default: "." },
    pictures: { type: "string" },
    readme: { type: "string" },
    statics: { type: "string" },
  },
});
if (!given.program) throw new Error("say --program PATH");
const browserPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (!browserPath) throw new Error("no Chromium: install the package `chromium`");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
for (const folder of [given.pictures, given.readme]) if (folder) mkdirSync(folder, { recursive: true });

// What a visitor waits for at most, in milliseconds.
const PATIENCE = 20_000;

let steps = 0;
let pictures = 0;
let audits = 0;
const wrong = [];

function must(fact, what) {
  if (!fact) throw new Error(`not so: ${what}`);
}

function start() {
  const began = performance.now();
  const child = spawn(given.program, ["sandbox", "--folder", given.folder], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((found, failed) => {
    let said = "";
    child.on("exit", (code) => failed(new Error(`the sandbox ended with ${code}:\n${said}`)));
    child.stdout.on("data", (part) => {
      said += part;
      const url = said.match(/Open (http:\/\/\S+)/)?.[1];
      if (url) found({ child, url, began });
    });
  });
}

async function visitor(browser, url, name, viewport, scheme) {
  const context = await browser.newContext({ viewport, colorScheme: scheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const port = new URL(url).port;
  page.on("console", (line) => {
    // A refusal of the bot's GitHub is an answer, which the browser writes down as an error.
    const refused = line.text().includes("status of 409");
    if (["error", "warning"].includes(line.type()) && !refused) wrong.push(`${name}: console: ${line.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`${name}: ${error.message}`));
  page.on("request", (request) => {
    const { hostname, port: asked } = new URL(request.url());
    if (hostname !== "127.0.0.1" || asked !== port) wrong.push(`${name}: asks ${request.url()}`);
  });
  if (given.statics) {
    await page.route(/\.(js|css|svg)$|\/$/, (route) => {
      const path = new URL(route.request().url()).pathname;
      return route.fulfill({ path: `${given.statics}/${path === "/" ? "index.html" : path.slice(1)}` });
    });
  }
  await page.goto(url);
  return { page, name };
}

// One step: something is done, something is seen, and the page is looked at.
async function step({ page, name }, title, play) {
  steps += 1;
  const label = `${String(steps).padStart(2, "0")}-${name}-${title.replaceAll(/[^a-z]+/gi, "-").toLowerCase()}`;
  try {
    await play(page);
    await page.locator("body:not(.busy)").waitFor();
  } catch (error) {
    if (given.pictures) await page.screenshot({ path: `${given.pictures}/${label}-failed.png`, fullPage: true });
    throw new Error(`step ${label}: ${error.message}`);
  }
  const { violations } = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
  audits += 1;
  for (const { id, impact, nodes } of violations) {
    if (["serious", "critical"].includes(impact)) wrong.push(`${label}: ${impact} ${id} at ${nodes.length} places, first ${nodes[0].html}`);
  }
  const spills = await page.evaluate("document.documentElement.scrollWidth > innerWidth + 1");
  if (spills) wrong.push(`${label}: wider than the screen`);
  if (given.pictures) {
    await page.screenshot({ path: `${given.pictures}/${label}.png`, fullPage: true });
    pictures += 1;
  }
  console.log(`seen: ${label}`);
}

const press = (page, name) => page.getByRole("button", { name }).first().click();
const sees = (page, text) => page.getByText(text).first().waitFor();
const follow = (page) => page.locator("#follow").click();
// What was pressed has been answered, too: until then the page may still go elsewhere.
const next = async (page, title) => {
  await page.locator("#guide h2", { hasText: title }).waitFor();
  await page.locator("body:not(.busy)").waitFor();
};

async function readme(page, name, element) {
  if (!given.readme) return;
  await page.evaluate("scrollTo(0, 0)");
  await (element ?? page).screenshot({ path: `${given.readme}/${name}.png` });
}

async function whole(who) {
  await step(who, "the first plan", async (page) => {
    await sees(page, "Plan for 1 pipeline: 1 to create");
    await sees(page, "Who must agree");
    if (who.name === "desktop") {
      const fold = page.locator(".comment.bot summary", { hasText: "Who reaches what" });
      await fold.click();
      await readme(page, "comment", page.locator(".comment.bot article").first());
      await fold.click();
    }
  });
  await step(who, "a broken line", async (page) => {
    await page.getByRole("button", { name: /^Files changed/ }).click();
    await press(page, /^Edit as nina/);
    const editor = page.locator("#editor textarea");
    await editor.fill((await editor.inputValue()).replace("db_schema_name", "db_schema_nam"));
    await press(page, "Push as nina");
    await page.locator(".annotation", { hasText: "db_schema_name" }).first().waitFor();
  });
  await step(who, "mended", async (page) => {
    await next(page, "Mend it");
    await follow(page);
    await next(page, "Merge it");
    must((await page.locator(".annotation").count()) === 0, "no finding is left");
  });
  await step(who, "merged without consent", async (page) => {
    await follow(page);
    await next(page, "Let the owner agree");
    await page.locator(".badge.merged").first().waitFor();
    must((await page.locator(".node.schedule").count()) === 0, "nothing is applied");
  });
  await step(who, "agreed and applied", async (page) => {
    await follow(page);
    await next(page, "Ask for what is not yours");
    if (await page.locator("#sides").isVisible()) await press(page, "The world");
    await page.locator(".node.schedule.new").first().waitFor();
    if (who.name === "desktop") await readme(page, "page");
    await page.locator(".node.identity").first().click();
    await page.locator(".detail li", { hasText: "reads through" }).first().waitFor();
  });
  await step(who, "refused", async (page) => {
    await press(page, "Show me where");
    await page.locator("#comment").fill("/rerun");
    await page.getByRole("button", { name: "Comment", exact: true }).click();
    await next(page, "Run it now");
    await page.locator(".comment.bot", { hasText: "not done" }).first().waitFor();
  });
  await step(who, "rerun", async (page) => {
    await follow(page);
    await next(page, "Ask for a table that is not there");
    await page.locator(".comment.bot", { hasText: "customers" }).first().waitFor();
    if (await page.locator("#sides").isVisible()) await press(page, "The world");
    await page.locator(".runs td.copied").first().waitFor();
  });
  await step(who, "a run that fails", async (page) => {
    await follow(page);
    await next(page, "Take a right away");
    await sees(page, "The schema has no such table");
  });
  await step(who, "a right taken away", async (page) => {
    await follow(page);
    await next(page, "Watch it come back");
    await page.locator(".edge.gone").first().waitFor();
  });
  await step(who, "it comes back", async (page) => {
    await follow(page);
    await next(page, "Share the data with one person");
    await page.locator(".edge.new", { hasText: "reads through" }).first().waitFor();
  });
  await step(who, "denied by a rule", async (page) => {
    await follow(page);
    await next(page, "Share it with a group");
    await page.getByRole("button", { name: /^Files changed/ }).click();
    await page.locator(".annotation").first().waitFor();
  });
  await step(who, "shared with a group", async (page) => {
    for (const label of ["Make it a group", "Approve as the owner", "Merge it"]) {
      await page.locator("#follow", { hasText: label }).click();
    }
    await next(page, "Remove the pipeline");
    if (await page.locator("#sides").isVisible()) await press(page, "The world");
    await page.locator(".edge.can-reads.new").first().waitFor();
  });
  await step(who, "removed", async (page) => {
    await follow(page);
    await page.locator("#follow", { hasText: "Merge it" }).click();
    await sees(page, "You have seen it all");
    must((await page.locator(".node.schedule:not(.gone)").count()) === 0, "the schedule is gone");
  });
  await step(who, "from the beginning", async (page) => {
    await press(page, "Start over");
    await next(page, "Break a line");
    must((await page.locator(".badge.merged").count()) === 0, "nothing is merged");
  });
}

// What is not on the guide's way.
async function around(who) {
  await step(who, "a new pull request by keyboard", async (page) => {
    await page.getByRole("button", { name: "+ New pull request" }).focus();
    await page.keyboard.press("Enter");
    await page.locator("#proposal").waitFor();
    await page.getByRole("button", { name: "pipelines/orders/orders.yaml" }).press("Enter");
    const text = page.locator("#proposal textarea");
    await text.fill(`${await text.inputValue()}description: <img src=x onerror=alert(1)>\n`);
    await press(page, /^Open as nina/);
    await sees(page, "Plan for 1 pipeline");
    must((await page.locator("#github img").count()) === 0, "text stays text");
  });
  await step(who, "a refusal in words", async (page) => {
    await page.getByRole("button", { name: "sam" }).first().click();
    await press(page, "Merge pull request");
    await page.locator("#refusal", { hasText: "sam" }).waitFor();
  });
  await step(who, "the bot is killed", async (page) => {
    await press(page, "Understood");
    if (await page.locator("#sides").isVisible()) await press(page, "The world");
    await press(page, "Kill the bot");
    await sees(page, "another starts, and knows nothing");
  });
}

const { child, url, began } = await start();
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
let first;
try {
  const desktop = await visitor(browser, url, "desktop", { width: 1440, height: 900 }, "light");
  await desktop.page.getByText("Plan for 1 pipeline").first().waitFor();
  first = Math.round(performance.now() - began);
  await whole(desktop);
  await around(desktop);
  await desktop.page.context().close();
  const phone = await visitor(browser, url, "phone", { width: 390, height: 844 }, "dark");
  await step(phone, "the last state", (page) => page.locator("#github .pull").waitFor());
  await press(phone.page, "Start over");
  await next(phone.page, "Break a line");
  await whole(phone);
} finally {
  await browser.close();
  child.removeAllListeners("exit");
  child.kill("SIGINT");
}
for (const one of wrong) console.log(`WRONG: ${one}`);
console.log(`page: ${steps} steps, ${pictures} pictures, ${audits} audits, ${wrong.length} findings; from the command to the first plan on the screen ${first} ms`);
process.exitCode = wrong.length ? 1 : 0;
