// What the checks of both profiles ask a running stack: through the front door, through Jaeger's query API, and through the
// counters that the services keep of their own telemetry.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const [docker, waybill, ...files] = process.argv.slice(2);
export const SERVICES = ['mobile-app', 'auth', 'restaurant-availability', 'payment-gateway', 'restaurant-orders', 'delivery-assignment',
  'tracking', 'notification'];
// Longer than the interval at which services send their metrics (10 s) and the time for which they keep a batch (60 s).
const LIMIT = 120_000;

export const say = (line) => process.stderr.write(`${line}\n`);
const run = (...args) => execFileSync(docker, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
export const compose = (...args) => run('compose', ...files, ...args);
export const address = (service, port) => `http://${compose('port', service, String(port))}`;
/** The ids of a service's containers, one for each replica. */
export const replicas = (service) => compose('ps', '-q', service).split('\n').filter(Boolean);
export const signal = (container, name) => run('kill', '--signal', name, container);
/** A file of a container, as the tar archive that Docker makes of it. */
export const copied = (service, path) => execFileSync(docker, ['cp', `${replicas(service)[0]}:${path}`, '-'], { maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] });
export const start = (container) => run('start', container);

export function holds(what, is) {
  if (!is) throw new Error(what);
  say(`  holds: ${what}`);
}

export async function eventually(what, check, limit = LIMIT) {
  const end = Date.now() + limit;
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

export async function get(url) {
  const reply = await fetch(url, { signal: AbortSignal.timeout(60_000) });
  if (!reply.ok) throw new Error(`${url} answered ${reply.status}`);
  return reply;
}

/** Places orders at the front door; resolves with the run's report. */
export function load(door, ...args) {
  const child = spawn(waybill, ['load', '--url', address(door, 8080), '--json', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (part) => { out += part; });
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', () => { try { done(JSON.parse(out)); } catch { fail(new Error('waybill load gave no report')); } });
  });
}

/** What `waybill where ID` says, as JSON. */
export function where(id, jaeger) {
  try {
    return JSON.parse(execFileSync(waybill, ['where', id, '--json', '--no-witnesses', '--jaeger', jaeger], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  } catch (error) {
    // It ends with another status than 0 for an order that stopped, and says the same on stdout.
    return JSON.parse(error.stdout);
  }
}

/** What `waybill lost` says from inside, as JSON: of the traces, of every service's book, and of the dead letters where there is NATS. */
export function lost(asker) {
  const said = (text) => JSON.parse(text.trim().split('\n').pop());
  try {
    return said(compose('run', '--rm', '-T', asker, 'lost', '--json'));
  } catch (error) {
    // It ends with status 1 where an order stopped, and says the same on stdout.
    if (!error.stdout) throw error;
    return said(error.stdout);
  }
}

/** Puts a message into NATS by its own protocol, and waits until the server has it. */
export function publish(subject, body, user, pass) {
  const [host, port] = compose('port', 'nats', '4222').split(':');
  return new Promise((done, fail) => {
    const socket = connect(Number(port), host);
    socket.setTimeout(10_000, () => socket.destroy(new Error('NATS does not answer')));
    socket.on('error', fail);
    let said = '';
    socket.on('data', (part) => {
      said += part;
      if (said.includes('-ERR')) fail(new Error(said));
      if (said.includes('PONG')) { socket.end(); done(); }
    });
    socket.write(`CONNECT ${JSON.stringify({ user, pass, verbose: false })}\r\nPUB ${subject} ${Buffer.byteLength(body)}\r\n${body}\r\nPING\r\n`);
  });
}

/** What collectors count of spans and of traces that their sampler judged, summed over `services`. */
export async function tiers(...services) {
  const names = {
    accepted: 'receiver_accepted_spans', refused: 'receiver_refused_spans', sent: 'exporter_sent_spans', failed: 'exporter_send_failed_spans',
    begun: 'processor_tail_sampling_new_trace_id_received', early: 'processor_tail_sampling_sampling_trace_dropped_too_early',
    kept: 'processor_tail_sampling_global_count_traces_sampled', back: 'processor_tail_sampling_global_count_traces_sampled',
  };
  const sampled = { kept: 'sampled="true"', back: 'sampled="false"' };
  const sum = Object.fromEntries(Object.keys(names).map((key) => [key, 0]));
  for (const service of services) {
    const lines = (await (await get(`${address(service, 8888)}/metrics`)).text()).split('\n');
    for (const [key, name] of Object.entries(names)) {
      const own = lines.filter((line) => line.startsWith(`otelcol_${name}{`) || line.startsWith(`otelcol_${name} `));
      for (const line of own.filter((text) => text.includes(sampled[key] ?? ''))) sum[key] += Number(line.split(' ').pop());
    }
  }
  return sum;
}

/** All delivered, none lost, none failed. */
export const allDelivered = (report) =>
  report.placed > 0 && report.delivered === report.placed && report.never_seen_again === 0 && report.failed === 0;

/** What the services say of their spans: ended, exported, dropped by cause; summed over all, by service, and by instance. */
export async function counted(collector) {
  const text = await (await get(`${address(collector, 8889)}/metrics`)).text();
  const sum = { processed: 0, exported: 0, dropped: {}, by: {}, instances: {} };
  for (const line of text.split('\n')) {
    const match = /^otel_sdk_(processor_span_processed|exporter_span_exported)_total\{(.*)\} (\S+)$/.exec(line);
    if (!match) continue;
    const [, name, labels, value] = match;
    const service = /job="waybill\/([^"]+)"/.exec(labels)?.[1];
    const instance = /[{,]instance="([^"]+)"/.exec(`{${labels}`)?.[1];
    const error = /error_type="([^"]+)"/.exec(labels)?.[1];
    const n = Number(value);
    const own = sum.by[service] ??= { processed: 0, exported: 0, dropped: 0 };
    const drop = () => { sum.dropped[error] = (sum.dropped[error] ?? 0) + n; own.dropped += n; };
    if (error) {
      if (n > 0 && name.startsWith('exporter')) drop();
      if (n > 0 && name.startsWith('processor') && error === 'queue_full') { drop(); own.processed += n; sum.processed += n; }
    } else if (name.startsWith('processor')) {
      sum.processed += n; own.processed += n;
      const each = sum.instances[service] ??= {};
      each[instance] = (each[instance] ?? 0) + n;
    } else { sum.exported += n; own.exported += n; }
  }
  sum.lost = Object.values(sum.dropped).reduce((a, b) => a + b, 0);
  return sum;
}

/** Every span that Jaeger holds since `from`, each once, by service; and the names of the services in each trace. Until `calm` little has happened. */
export async function stored(jaeger, from, calm = from) {
  const spans = Object.fromEntries(SERVICES.map((s) => [s, new Set()]));
  const traces = new Map();
  const STEP = 5_000;
  for (const service of SERVICES) {
    for (let begin = from, end; begin < Date.now(); begin = end) {
      end = begin < calm ? calm : begin + STEP;
      const query = `service=${service}&start=${begin * 1000}&end=${end * 1000 - 1}&limit=5000`;
      const { data } = await (await get(`${jaeger}/api/traces?${query}`)).json();
      for (const trace of data) {
        const names = new Set();
        for (const span of trace.spans) {
          const name = trace.processes[span.processID].serviceName;
          names.add(name);
          spans[name]?.add(trace.traceID + span.spanID);
        }
        traces.set(trace.traceID, names);
      }
    }
  }
  const by = Object.fromEntries(SERVICES.map((s) => [s, spans[s].size]));
  const whole = [...traces.values()].filter((n) => SERVICES.every((s) => n.has(s))).length;
  return { by, total: Object.values(by).reduce((a, b) => a + b, 0), traces, whole };
}

/** Waits until the services count no further span; what they then say. */
export function silence(collector) {
  let before = -1;
  return eventually('the services count no further span', async () => {
    const now = await counted(collector);
    const still = now.processed > 0 && now.processed === before && now.exported + now.lost === now.processed;
    before = now.processed;
    if (!still) await pause(10_000);
    return still && now;
  });
}

/** Resident memory now and at its peak (MiB) and CPU time used (s) of each service's containers, summed. */
export function costs(services) {
  const rows = new Map();
  for (const service of services) {
    const row = { rss: 0, peak: 0, cpu: 0 };
    for (const container of replicas(service)) {
      const processes = run('top', container, '-o', 'pid').split('\n').slice(1).map((pid) => pid.trim());
      for (const pid of processes) {
        try {
          const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
          row.cpu += (Number(stat[11]) + Number(stat[12])) / 100;
          const mib = (file, key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))[1]) / 1024;
          if (processes.length === 1) { row.rss += mib('status', 'VmRSS'); row.peak += mib('status', 'VmHWM'); continue; }
          // Several processes share pages (PostgreSQL's buffers): each page counts once. Nobody keeps the peak of that sum.
          row.rss += mib('smaps_rollup', 'Pss');
          row.peak = NaN;
        } catch { /* ended meanwhile; or an engine on another machine: no /proc of its processes here */ }
      }
    }
    rows.set(service, row);
  }
  return rows;
}

/** The table of what a load of `orders` cost each service. */
export function tell(before, after, orders) {
  say('');
  say('| service | containers | resident, idle MiB | after load MiB | peak MiB | CPU s for the load |');
  say('|--|--|--|--|--|--|');
  for (const [service, row] of after) {
    const idle = before.get(service);
    // what was started again meanwhile is a new process
    const used = row.cpu >= idle.cpu ? row.cpu - idle.cpu : row.cpu;
    const peak = Number.isNaN(row.peak) ? '–' : row.peak.toFixed(0);
    say(`| ${service.replace(/^scale-/, '')} | ${replicas(service).length} | ${idle.rss.toFixed(0)} | ${row.rss.toFixed(0)} | ${peak} | ${used.toFixed(2)} |`);
  }
  say(`orders in that load: ${orders}`);
}

export const main = (profile, check) => check().then(
  () => say(`compose-test: profile ${profile}: all of it holds`),
  (error) => { say(`compose-test: profile ${profile}: does not hold: ${error.message}`); process.exitCode = 1; },
);
