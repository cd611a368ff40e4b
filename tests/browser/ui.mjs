// Drives the Jaeger UI of a running trace store as a person would, and fails on what a person would not see:
// failed API requests, console errors, violations of the content security policy, requests to other hosts.
//
//   node ui.mjs --base http://127.0.0.1:16686 --trace ID --order ID \
//     [--failed-trace ID --failed-order ID --failed-service NAME] \
//     [--screenshots DIR] [--chromium /usr/bin/chromium]

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: given } = parseArgs({
  options: {
    base: { type: "string", default: "http://127.0.0.1:16686" },
    trace: { type: "string" },
    order: { type: "string" },
    "failed-trace": { type: "string" },
    "failed-order": { type: "string" },
    "failed-service": { type: "string", default: "delivery-assignment" },
    screenshots: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
  },
});
if (!given.trace || !given.order) {
  console.error("usage: node ui.mjs --base URL --trace ID --order ID [--failed-trace ID ...]; see the top of this file");
  process.exit(2);
}
const base = given.base.replace(/\/$/, "");
const services = [
  "auth",
  "delivery-assignment",
  "mobile-app",
  "notification",
  "payment-gateway",
  "restaurant-availability",
  "restaurant-orders",
  "tracking",
];
// What the UI itself prints on the console; see the notes on its charts and formatters.
const knownNoise = [/The width\(-1\) and height\(-1\) of chart/, /width\(0\) and height\(0\) of chart/];

const profile = mkdtempSync(join(tmpdir(), "waybill-ui-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: given.chromium,
  headless: true,
  viewport: { width: 1600, height: 1000 },
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const faults = [];
// Parts of addresses that may fail now.
const allowed = [];
const page = browser.pages()[0] ?? (await browser.newPage());
watch(page);
let failed = 0;
try {
  await step("the search form finds orders by service", searchByService);
  await step("the tag order.id finds the order", searchByTag);
  if (given["failed-trace"]) await step("error=true finds the failed order", searchByError);
  await step("a deep link into search works after a search for another service", deepLink);
  await step("the waterfall shows the order in all its services", waterfall);
  await step("the order's attribute links to its traces, the trace to its logs", links);
  if (given["failed-trace"]) await step("the waterfall of the failed order shows where it failed", failedWaterfall);
  await step("System Architecture draws who calls whom", architecture);
  await step("Service Dependencies draws the paths through one service", serviceDependencies);
  await step("two traces can be compared", compare);
  await step("an uploaded OTLP file is drawn", upload);
  await step("a page without metrics says so", monitor);
  await step("the log page shows text as text", logPage);
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exit(failed === 0 ? 0 : 1);

// --- steps -------------------------------------------------------------------------------------------------------

async function searchByService() {
  await page.goto(`${base}/search`);
  await chooseService("mobile-app");
  await page.getByRole("button", { name: "Find Traces" }).click();
  await page.locator(".ResultItemTitle").first().waitFor();
  await shot("1-search-by-service");
  const titles = await page.locator(".ResultItemTitle").allInnerTexts();
  check(titles.some((title) => title.includes("mobile-app")), `results name mobile-app: ${titles}`);
}

async function searchByTag() {
  await page.goto(`${base}/search`);
  await chooseService("mobile-app");
  await page.getByPlaceholder("http.status_code=200 error=true").fill(`order.id=${given.order}`);
  await page.getByRole("button", { name: "Find Traces" }).click();
  await page.locator(".ResultItemTitle").first().waitFor();
  await shot("2-search-by-order");
  const links = await page.locator("a.ResultItemTitle--item").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  check(links.some((link) => link.includes(given.trace)), `the order's trace is among the results: ${links}`);
  if (given["failed-trace"]) {
    check(!links.some((link) => link.includes(given["failed-trace"])), "the other order's is not");
  }
}

async function searchByError() {
  const tags = encodeURIComponent(JSON.stringify({ error: "true" }));
  await page.goto(`${base}/search?service=${given["failed-service"]}&tags=${tags}&lookback=1h&limit=100`);
  await page.locator(".ResultItemTitle").first().waitFor();
  await shot("3-search-by-error");
  const links = await page.locator("a.ResultItemTitle--item").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  check(links.some((link) => link.includes(given["failed-trace"])), `the failed trace is among the results: ${links}`);
  check(!links.some((link) => link.includes(given.trace)), "the well one is not");
}

async function deepLink() {
  await page.goto(`${base}/search`);
  await page.evaluate(() => localStorage.setItem("lastSearch", JSON.stringify({ service: "auth", operation: "all" })));
  await page.goto(`${base}/search?service=tracking&lookback=1h&limit=20`);
  await page.locator(".ResultItemTitle").first().waitFor();
  await page.getByRole("button", { name: "Find Traces" }).waitFor();
  await shot("4-deep-link");
}

async function waterfall() {
  await page.goto(`${base}/trace/${given.trace}`);
  await page.locator(".span-row").first().waitFor();
  await shot("5-waterfall");
  const named = await namedServices();
  const missing = services.filter((service) => !named.has(service));
  check(missing.length === 0, `services missing from the waterfall: ${missing}`);
  const header = await page.locator(".TracePageHeader").innerText();
  check(/Services\s*8(?!\d)/.test(header), `the header counts eight services: ${header}`);
  check(!/Incomplete/.test(header), "no span is an orphan");
}

async function links() {
  await page.goto(`${base}/trace/${given.trace}`);
  await page.locator(".span-row").first().waitFor();
  const logs = await page.locator(`a[href*="/logs?trace_id="]`).first().getAttribute("href");
  check(logs.includes(given.trace.replace(/^0{16}/, "")), `the trace links to its logs: ${logs}`);
  await openTags();
  const link = page.locator(`.detail-row a[href*="order.id"]`).first();
  await link.waitFor();
  await shot("6-span-detail");
  const target = await link.getAttribute("href");
  await page.goto(new URL(target, base).href);
  await page.locator(".ResultItemTitle").first().waitFor();
  await shot("7-order-link");
  const found = await page.locator("a.ResultItemTitle--item").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  check(found.some((trace) => trace.includes(given.trace)), `following the link finds the order: ${found}`);
}

async function failedWaterfall() {
  await page.goto(`${base}/trace/${given["failed-trace"]}`);
  await page.locator(".span-row").first().waitFor();
  await shot("8-failed-waterfall");
  const broken = page.locator(".span-row").filter({ has: page.locator(".SpanBarRow--errorIcon") });
  const names = await broken.locator(".span-svc-name").allInnerTexts();
  check(names.some((name) => name.includes(given["failed-service"])), `the error is at ${given["failed-service"]}: ${names}`);
}

async function architecture() {
  await page.goto(`${base}/dependencies`);
  await page.getByText("mobile-app", { exact: true }).first().waitFor();
  await shot("9-system-architecture");
  const text = await page.locator("body").innerText();
  const missing = services.filter((service) => !text.includes(service));
  check(missing.length === 0, `services missing from the graph: ${missing}`);
}

async function serviceDependencies() {
  await page.goto(`${base}/deep-dependencies?service=restaurant-orders`);
  await page.getByText("delivery-assignment").first().waitFor();
  await shot("10-service-dependencies");
}

async function compare() {
  const other = given["failed-trace"] ?? given.trace;
  await page.goto(`${base}/trace/${given.trace}...${other}?cohort=${given.trace}&cohort=${other}`);
  await page.locator(".TraceDiff--graphWrapper, .TraceDiffGraph--graphWrapper").first().waitFor();
  await shot("11-compare");
}

async function upload() {
  const span = {
    traceId: "0af7651916cd43dd8448eb211c80319d",
    spanId: "b7ad6b7169203331",
    name: "uploaded-operation",
    kind: 2,
    startTimeUnixNano: "1700000000000000000",
    endTimeUnixNano: "1700000001000000000",
    attributes: [{ key: "<img src=x onerror=alert(1)>", value: { stringValue: "javascript:alert(1)" } }],
  };
  const service = { key: "service.name", value: { stringValue: "uploaded-service" } };
  const file = { resourceSpans: [{ resource: { attributes: [service] }, scopeSpans: [{ spans: [span] }] }] };
  await page.goto(`${base}/search`);
  await page.getByRole("tab", { name: "Upload" }).click();
  await page.locator("input[type=file]").setInputFiles({
    name: "trace.json",
    mimeType: "application/json",
    buffer: Buffer.from(JSON.stringify(file)),
  });
  const title = page.locator(".ResultItemTitle").filter({ hasText: "uploaded-operation" }).first();
  await title.waitFor();
  await title.locator("a").first().click();
  await openTags();
  await page.getByText("<img src=x onerror=alert(1)>").first().waitFor();
  await shot("12-uploaded");
  check((await page.locator(`.detail-row img, .detail-row a[href^="javascript:"]`).count()) === 0, "an attribute is text");
}

async function monitor() {
  allowed.push("/api/metrics/");
  await page.goto(`${base}/monitor`);
  await page.getByText("No metrics here").first().waitFor();
  await shot("13-monitor");
  allowed.length = 0;
}

async function logPage() {
  // a good order logs nothing
  await page.goto(`${base}/logs?trace_id=${given["failed-trace"] ?? given.trace}`);
  await page.locator("table tbody tr").first().waitFor();
  await shot("14-logs");
  check((await page.locator("td img").count()) === 0, "no log record became an element");
}

// --- tools -------------------------------------------------------------------------------------------------------

// Opens the first span's details and its tags. A click on a row that is still being drawn goes nowhere, so it is repeated.
async function openTags() {
  const details = page.locator(".detail-row").first();
  for (let attempt = 0; attempt < 5 && !(await details.isVisible()); attempt++) {
    await page.locator(".span-row .span-view").first().click();
    await details.waitFor({ timeout: 3000 }).catch(() => {});
  }
  await page.locator(".detail-row").getByText("Tags:").first().click();
}

async function chooseService(name) {
  const field = page.getByRole("combobox").first();
  await field.waitFor();
  await field.click({ force: true });
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
}

/// The waterfall draws only the rows in view: scroll through it.
async function namedServices() {
  const named = new Set();
  for (let turn = 0; turn < 20; turn += 1) {
    for (const name of await page.locator(".span-svc-name").allInnerTexts()) {
      for (const part of name.split(/[\s→]+/)) named.add(part.trim());
    }
    await page.mouse.move(800, 700);
    await page.mouse.wheel(0, 400);
    await page.waitForTimeout(50);
  }
  return named;
}

function watch(target) {
  target.on("console", (message) => {
    const text = message.text();
    if (message.type() !== "error" || knownNoise.some((noise) => noise.test(text))) return;
    if (expected(message.location().url)) return;
    faults.push(`console: ${text} (${message.location().url})`);
  });
  target.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
  target.on("response", (response) => {
    if (response.status() >= 400 && !expected(response.url())) faults.push(`${response.status()} ${response.url()}`);
  });
  target.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    // A request that the next page cut off is no fault.
    if (why !== "net::ERR_ABORTED") faults.push(`${why} ${request.url()}`);
  });
  target.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !/^(data|blob|about):/.test(url)) faults.push(`request to another host: ${url}`);
  });
}

function expected(url) {
  return allowed.some((part) => url.includes(part));
}

async function shot(name) {
  if (!given.screenshots) return;
  mkdirSync(given.screenshots, { recursive: true });
  await page.waitForTimeout(600);
  await page.screenshot({ path: join(given.screenshots, `${name}.png`) });
}

function check(truth, text) {
  if (!truth) throw new Error(text);
}

async function step(name, act) {
  page.setDefaultTimeout(15_000);
  const before = faults.length;
  let error;
  try {
    await act();
    await page.waitForTimeout(200);
  } catch (caught) {
    error = caught;
    await shot(`failed-${name.replace(/\W+/g, "-")}`).catch(() => {});
  }
  const own = faults.slice(before);
  const ok = !error && own.length === 0;
  if (!ok) failed += 1;
  console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
  if (error) console.log(`     ${error.message.split("\n").slice(0, 12).join("\n     ")}`);
  for (const fault of own) console.log(`     ${fault}`);
}
