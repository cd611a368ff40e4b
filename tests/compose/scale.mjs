// Holds the profile "scale" to its word: both replicas of every service work, what they do is done once, and replicas, collectors,
// NATS and PostgreSQL may die under load without an order being lost; the two tiers keep whole traces, all of those that went
// wrong and a share of the others. Exit status 1 and one line for what does not hold.
//
// usage: node scale.mjs DOCKER WAYBILL -f compose.yaml ...
import { setTimeout as pause } from 'node:timers/promises';

import { SERVICES, address, compose, copied, costs, eventually, get, holds, load, main, replicas, say, signal, silence, start, stored, tell, where } from './stack.mjs';

const DOOR = 'scale-mobile-app';
const REPLICATED = SERVICES.filter((s) => s !== 'mobile-app').map((s) => `scale-${s}`);
const ENGINES = ['postgres', 'nats', 'collector-routing', 'collector-sampling-1', 'collector-sampling-2', 'jaeger-collector', 'jaeger-query', 'elasticsearch'];
const cost = () => costs([DOOR, ...REPLICATED, 'scale-partners', ...ENGINES]);
const jaeger = () => address('jaeger-query', 16686);

/** What is true of every load: what was taken came to its end; who was not served was told so. The old harbour has no courier, so its orders are refunded. */
const noneLost = (report) => report.never_seen_again === 0 && report.delivered > 0 && report.delivered + report.refunded === report.placed
  && report.failed_orders.every((line) => line.startsWith('-:'));
const allEnded = (report) => noneLost(report) && report.failed === 0 && report.refunded > 0;

const told = (report) => `${report.placed} orders taken: ${report.delivered} delivered, ${report.refunded} refunded, none lost; ${report.failed} customers were told to try again`;

/** Both processes of every replicated service did a share of the work. */
const spread = (counts) => REPLICATED.every((name) => {
  const shares = Object.values(counts.instances[name.slice('scale-'.length)] ?? {});
  return shares.length >= 2 && Math.min(...shares) * 10 >= Math.max(...shares);
});

async function away(service, ms) {
  compose('kill', '--signal', 'SIGKILL', service);
  await pause(ms);
  compose('start', service);
}

main('scale', async () => {
  const from = Date.now() - 1_000;
  say('orders through containers, each service twice');
  const idle = cost();
  const calm = await load(DOOR, '--rate', '5', '--duration', '60s');
  holds(`${calm.placed} orders ended: ${calm.delivered} delivered, ${calm.refunded} refunded for want of a courier`, allEnded(calm));
  const counts = await silence('collector-routing');
  for (const [service, each] of Object.entries(counts.instances)) say(`  ${service}: spans by instance ${JSON.stringify(Object.values(each))}`);
  holds('both replicas of every service worked', spread(counts));
  holds('no span was dropped', counts.lost === 0);
  const loaded = cost();

  say('what the second tier kept');
  let kept;
  await eventually('every refunded order in Jaeger', async () => {
    kept = await stored(jaeger(), from);
    kept.paid = [...kept.traces].filter(([, names]) => names.has('payment-gateway') && names.has('restaurant-orders'));
    return kept.paid.length - kept.whole >= calm.refunded;
  });
  holds(`all ${calm.refunded} refunded orders are kept: ${kept.paid.length - kept.whole}`, kept.paid.length - kept.whole === calm.refunded);
  holds(`of ${calm.delivered} delivered ones a share is: ${kept.whole}`, kept.whole > 0 && kept.whole < calm.delivered / 2);
  holds('what is kept is kept whole', kept.paid.every(([, names]) => !names.has('tracking') || SERVICES.every((s) => names.has(s))));
  const [refunded] = kept.paid.find(([, names]) => !names.has('tracking'));
  const trace = (await (await get(`${jaeger()}/api/traces/${refunded}`)).json()).data[0];
  const order = trace.spans.flatMap((span) => span.tags).find((tag) => tag.key === 'order.id').value;
  const found = (await (await get(`${jaeger()}/api/traces?service=mobile-app&lookback=1h&limit=20&tags=${encodeURIComponent(JSON.stringify({ 'order.id': order }))}`)).json()).data;
  holds(`${order} is found by its number`, found.some((t) => t.traceID === refunded));
  // Standing in for Elasticsearch: the file that the first tier writes.
  holds('its log lines left the first tier', copied('collector-routing', '/data/logs.json').includes(refunded));
  const verdict = where(order, jaeger());
  holds(`waybill where: ${verdict.sentence}`, verdict.sentence.includes('was refunded'));

  say('one replica of every service is killed under load, and comes back');
  const killed = load(DOOR, '--rate', '5', '--duration', '45s');
  await pause(8_000);
  const victims = REPLICATED.map((service) => replicas(service)[0]);
  for (const victim of victims) signal(victim, 'KILL');
  await pause(15_000);
  for (const victim of victims) start(victim);
  const survived = await killed;
  holds(told(survived), noneLost(survived));

  say('NATS, PostgreSQL and the first tier are killed under load, one after the other');
  const engines = load(DOOR, '--rate', '5', '--duration', '75s');
  await pause(8_000);
  await away('nats', 5_000);
  await pause(12_000);
  await away('postgres', 5_000);
  await pause(12_000);
  await away('collector-routing', 10_000);
  const through = await engines;
  holds(told(through), noneLost(through));
  for (const why of new Set(through.failed_orders.map((line) => line.replace(/^-: | \(trace .*$/g, '')))) say(`    ${why}`);
  const after = await load(DOOR, '--rate', '5', '--duration', '20s');
  holds(`afterwards ${after.placed} orders ended: ${after.delivered} delivered, ${after.refunded} refunded`, allEnded(after));

  tell(idle, loaded, calm.placed);
});
