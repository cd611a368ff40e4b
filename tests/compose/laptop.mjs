// Holds the profile "laptop" to its word: orders go through, real Jaeger has their waterfalls, and a collector that is killed or
// away costs no order and no span that was not counted. Exit status 1 and one line for what does not hold.
//
// usage: node laptop.mjs DOCKER WAYBILL -f compose.yaml ...
import { setTimeout as pause } from 'node:timers/promises';

import { SERVICES, address, allDelivered, compose, costs, eventually, holds, load, lost, main, say, silence, stored, tell } from './stack.mjs';

const held = (from) => stored(address('jaeger', 16686), from);
const cost = () => costs([...SERVICES, 'partners', 'collector', 'jaeger']);

/** Waits until the services count no further span, then compares with what Jaeger holds. */
async function settle(from) {
  const counts = await silence('collector');
  let last;
  const there = await eventually('Jaeger holds all that was acknowledged', async () => {
    last = await held(from);
    return SERVICES.every((s) => last.by[s] >= counts.by[s].exported) && last;
  }).catch((error) => {
    for (const s of SERVICES) say(`  ${s}: ${JSON.stringify(counts.by[s])}, Jaeger holds ${last?.by[s]}`);
    throw error;
  });
  say(`  spans: ${counts.processed} ended, ${counts.exported} acknowledged, ${counts.lost} dropped ${JSON.stringify(counts.dropped)}; Jaeger holds ${there.total}`);
  return { counts, held: there };
}

main('laptop', async () => {
  const from = Date.now() - 60_000;
  say('orders through containers');
  const first = await load('mobile-app', '--orders', '20', '--rate', '10');
  holds('20 orders delivered', first.delivered === 20);
  const whole = await eventually('20 whole waterfalls in Jaeger', async () => { const s = await held(from); return s.whole >= 20 && s; });
  holds(`${whole.whole} waterfalls of all eight services in Jaeger`, whole.whole === 20);
  const idle = cost();

  say('the collector is killed, and stopped, under load');
  const under = load('mobile-app', '--rate', '10', '--duration', '45s');
  await pause(8_000);
  compose('kill', '--signal', 'SIGKILL', 'collector');
  await pause(5_000);
  compose('start', 'collector');
  await pause(10_000);
  compose('stop', 'collector');
  await pause(12_000);
  compose('start', 'collector');
  const report = await under;
  holds(`${report.placed} orders placed, none lost, none failed`, allDelivered(report));
  const short = await settle(from);
  holds('no span was dropped: outages were shorter than 60 s', short.counts.lost === 0);
  holds('Jaeger holds exactly the spans that ended', short.held.total === short.counts.processed);
  const loaded = cost();

  say('a question from inside');
  compose('run', '--rm', '-T', 'ask', 'health', 'http://collector:8888/metrics', 'http://collector:8889/metrics');
  holds('what Prometheus would scrape answers inside the network', true);
  const verdict = lost('ask');
  const { books, differences_total: differences } = verdict.reconciliation;
  say(`  waybill lost: ${verdict.orders} orders, ${verdict.lost} stopped, ${books.delivered.count} delivered by the books, books silent: ${verdict.silent_books.length}`);
  holds('waybill lost, asked in a container, reads every book and finds each order delivered', verdict.lost === 0 && verdict.silent_books.length === 0
    && verdict.orders === first.placed + report.placed && books.delivered.count === verdict.orders && differences === 0);

  say('the collector is away for 90 s under load');
  const long = load('mobile-app', '--rate', '5', '--duration', '100s');
  await pause(5_000);
  compose('stop', 'collector');
  await pause(90_000);
  compose('start', 'collector');
  const away = await long;
  holds(`${away.placed} orders placed, none lost, none failed`, allDelivered(away));
  const end = await settle(from);
  holds('what was older than 60 s was dropped', end.counts.lost > 0);
  holds('each drop was counted: ended = in Jaeger + dropped', end.counts.processed === end.held.total + end.counts.lost);

  tell(idle, loaded, report.placed);
});
