// Asks a running stack what became of orders and spans: through the front door, through Jaeger's query API, and through the
// counters that the services keep of their own telemetry. Exit status 1 and one line for what does not hold.
//
// usage: node check.mjs DOCKER WAYBILL -f compose.yaml ...
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const [docker, waybill, ...files] = process.argv.slice(2);
const SERVICES = ['mobile-app', 'auth', 'restaurant-availability', 'payment-gateway', 'restaurant-orders', 'delivery-assignment',
  'tracking', 'notification'];
// Longer than the interval at which services send their metrics (10 s) and the time for which they keep a batch (60 s).
const LIMIT = 120_000;

const say = (line) => process.stderr.write(`${line}\n`);
const compose = (...args) => execFileSync(docker, ['compose', ...files, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
const address = (service, port) => `http://${compose('port', service, String(port))}`;

function holds(what, is) {
  if (!is) throw new Error(what);
  say(`  holds: ${what}`);
}

async function eventually(what, check) {
  const end = Date.now() + LIMIT;
  for (;;) {
    let last;
    try {
      const value = await check();
      if (value) return value;
    } catch (error) { last = error; }
    if (Date.now() > end) throw new Error(`never happened: ${what}${last ? ` (${last.message})` : ''}`);
    await pause(1000);
  }
}

async function get(url) {
  const reply = await fetch(url, { signal: AbortSignal.timeout(60_000) });
  if (!reply.ok) throw new Error(`${url} answered ${reply.status}`);
  return reply;
}

/** Places orders; resolves with the run's report. */
function load(...args) {
  const child = spawn(waybill, ['load', '--url', address('mobile-app', 8080), '--json', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (part) => { out += part; });
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', () => { try { done(JSON.parse(out)); } catch { fail(new Error('waybill load gave no report')); } });
  });
}

/** What the services say of their spans: ended, exported, dropped by cause; summed over all, and by service. */
async function counted() {
  const text = await (await get(`${address('collector', 8889)}/metrics`)).text();
  const sum = { processed: 0, exported: 0, dropped: {}, by: {} };
  for (const line of text.split('\n')) {
    const match = /^otel_sdk_(processor_span_processed|exporter_span_exported)_total\{(.*)\} (\S+)$/.exec(line);
    if (!match) continue;
    const [, name, labels, value] = match;
    const service = /job="waybill\/([^"]+)"/.exec(labels)?.[1];
    const error = /error_type="([^"]+)"/.exec(labels)?.[1];
    const n = Number(value);
    const own = sum.by[service] ??= { processed: 0, exported: 0, dropped: 0 };
    if (error) {
      if (n > 0 && name.startsWith('exporter')) { sum.dropped[error] = (sum.dropped[error] ?? 0) + n; own.dropped += n; }
      if (n > 0 && name.startsWith('processor') && error === 'queue_full') { sum.dropped[error] = (sum.dropped[error] ?? 0) + n; own.dropped += n; own.processed += n; sum.processed += n; }
    } else if (name.startsWith('processor')) { sum.processed += n; own.processed += n; } else { sum.exported += n; own.exported += n; }
  }
  sum.lost = Object.values(sum.dropped).reduce((a, b) => a + b, 0);
  return sum;
}

/** Every span that Jaeger holds, each once, by service; and the traces that an order's eight services share. */
async function stored(from) {
  const spans = Object.fromEntries(SERVICES.map((s) => [s, new Set()]));
  const orders = new Map();
  const jaeger = address('jaeger', 16686);
  const STEP = 5_000;
  for (const service of SERVICES) {
    for (let start = from; start < Date.now(); start += STEP) {
      const query = `service=${service}&start=${start * 1000}&end=${(start + STEP) * 1000 - 1}&limit=5000`;
      const { data } = await (await get(`${jaeger}/api/traces?${query}`)).json();
      for (const trace of data) {
        const names = new Set();
        for (const span of trace.spans) {
          const name = trace.processes[span.processID].serviceName;
          names.add(name);
          spans[name]?.add(span.traceID + span.spanID);
        }
        orders.set(trace.traceID, names);
      }
    }
  }
  const by = Object.fromEntries(SERVICES.map((s) => [s, spans[s].size]));
  return { by, total: Object.values(by).reduce((a, b) => a + b, 0), whole: [...orders.values()].filter((n) => n.size === SERVICES.length).length };
}

/** Resident memory now and at its peak (MiB) and CPU time used (s) of every container's process. */
function costs() {
  const rows = [];
  for (const service of [...SERVICES, 'partners', 'collector', 'jaeger']) {
    const pid = execFileSync(docker, ['inspect', '-f', '{{.State.Pid}}', compose('ps', '-q', service)], { encoding: 'utf8' }).trim();
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
      const mib = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)[1]) / 1024;
      rows.push({ service, rss: mib('VmRSS'), peak: mib('VmHWM'), cpu: (Number(stat[11]) + Number(stat[12])) / 100 });
    } catch { /* an engine on another machine: no /proc of its processes here */ }
  }
  return rows;
}

/** Waits until the services count no further span, then compares with what Jaeger holds. */
async function settle(from) {
  let before = -1;
  const counts = await eventually('the services count no further span', async () => {
    const now = await counted();
    const still = now.processed > 0 && now.processed === before && now.exported + now.lost === now.processed;
    before = now.processed;
    if (!still) await pause(10_000);
    return still && now;
  });
  let last;
  const held = await eventually('Jaeger holds all that was acknowledged', async () => {
    last = await stored(from);
    return SERVICES.every((s) => last.by[s] >= counts.by[s].exported) && last;
  }).catch((error) => {
    for (const s of SERVICES) say(`  ${s}: ${JSON.stringify(counts.by[s])}, Jaeger holds ${last?.by[s]}`);
    throw error;
  });
  say(`  spans: ${counts.processed} ended, ${counts.exported} acknowledged, ${counts.lost} dropped ${JSON.stringify(counts.dropped)}; Jaeger holds ${held.total}`);
  return { counts, held };
}

async function main() {
  const from = Date.now() - 60_000;
  say('orders through containers');
  const first = await load('--orders', '20', '--rate', '10');
  holds(`20 orders delivered`, first.delivered === 20);
  const whole = await eventually('20 whole waterfalls in Jaeger', async () => { const s = await stored(from); return s.whole >= 20 && s; });
  holds(`${whole.whole} waterfalls of all eight services in Jaeger`, whole.whole === 20);
  const idle = costs();

  say('the collector is killed, and stopped, under load');
  const under = load('--rate', '10', '--duration', '45s');
  await pause(8_000);
  compose('kill', '--signal', 'SIGKILL', 'collector');
  await pause(5_000);
  compose('start', 'collector');
  await pause(10_000);
  compose('stop', 'collector');
  await pause(12_000);
  compose('start', 'collector');
  const report = await under;
  holds(`${report.placed} orders placed, none lost, none failed`, report.placed > 0 && report.delivered === report.placed && report.never_seen_again === 0 && report.failed === 0);
  const short = await settle(from);
  holds('no span was dropped: outages were shorter than 60 s', short.counts.lost === 0);
  holds('Jaeger holds exactly the spans that ended', short.held.total === short.counts.processed);
  const loaded = costs();

  say('the collector is away for 90 s under load');
  const long = load('--rate', '5', '--duration', '100s');
  await pause(5_000);
  compose('stop', 'collector');
  await pause(90_000);
  compose('start', 'collector');
  const away = await long;
  holds(`${away.placed} orders placed, none lost, none failed`, away.placed > 0 && away.delivered === away.placed && away.never_seen_again === 0 && away.failed === 0);
  const end = await settle(from);
  holds('what was older than 60 s was dropped', end.counts.lost > 0);
  holds('each drop was counted: ended = in Jaeger + dropped', end.counts.processed === end.held.total + end.counts.lost);

  say('');
  say('| container | resident, idle MiB | after load MiB | peak MiB | CPU s for the load |');
  say('|--|--|--|--|--|');
  for (const row of loaded) {
    const before = idle.find((r) => r.service === row.service);
    // the collector was a new process by then
    const used = row.cpu >= before.cpu ? row.cpu - before.cpu : row.cpu;
    say(`| ${row.service} | ${before.rss.toFixed(0)} | ${row.rss.toFixed(0)} | ${row.peak.toFixed(0)} | ${used.toFixed(2)} |`);
  }
  say(`orders in that load: ${report.placed}`);
}

main().then(() => say('compose-test: all of it holds'), (error) => { say(`compose-test: does not hold: ${error.message}`); process.exitCode = 1; });
