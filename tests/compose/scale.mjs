// Holds the profile "scale" to its word: both replicas of every service work, what they do is done once, and replicas, collectors,
// NATS and PostgreSQL may die under load without an order being lost; the two tiers keep whole traces, all of those that went
// wrong and a share of the others. Exit status 1 and one line for what does not hold.
//
// usage: node scale.mjs DOCKER WAYBILL -f compose.yaml ...
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import { SERVICES, address, compose, copied, costs, counted, eventually, get, holds, load, lost, main, publish, replicas, say, signal, silence, start, stored, tell, tiers, where } from './stack.mjs';

const DOOR = 'scale-mobile-app';
const REPLICATED = SERVICES.filter((s) => s !== 'mobile-app').map((s) => `scale-${s}`);
const ENGINES = ['postgres', 'nats', 'collector-routing', 'collector-sampling-1', 'collector-sampling-2', 'jaeger-collector', 'jaeger-query', 'elasticsearch'];
const cost = () => costs([DOOR, ...REPLICATED, 'scale-partners', ...ENGINES]);
const jaeger = () => address('jaeger-query', 16686);

/**
 * What is true of every load: what was taken came to its end; who was not served was told so. The old harbour has no courier, so its
 * orders are refunded. An order whose customer got no clear answer, and that was taken all the same, has an end and no place in `placed`.
 */
function noneLost(report) {
  const named = report.failed_orders.filter((line) => !line.startsWith('-:'));
  for (const line of named) say(`    ${line}`);
  return report.never_seen_again === 0 && report.delivered > 0 && report.delivered + report.refunded >= report.placed && named.length === 0;
}
const allEnded = (report) => noneLost(report) && report.failed === 0 && report.refunded > 0;

const told = (report) => `${report.delivered + report.refunded} orders taken, ${report.placed} with a clear answer: ${report.delivered} delivered, ${report.refunded} refunded, none lost; ${report.failed} customers were told to try again`;

/** Both processes of every replicated service did a share of the work. */
const spread = (counts) => REPLICATED.every((name) => {
  const shares = Object.values(counts.instances[name.slice('scale-'.length)] ?? {});
  return shares.length >= 2 && Math.min(...shares) * 10 >= Math.max(...shares);
});

/** The same spans at every stop of their way, by the counters of each: services, first tier, second tier, Jaeger. */
async function agrees(from) {
  let now;
  const they = async () => {
    const { exported } = await counted('collector-routing');
    const [first, second] = [await tiers('collector-routing'), await tiers('collector-sampling-1', 'collector-sampling-2')];
    const held = await stored(jaeger(), from - 600_000, from);
    now = { exported, first, second, spans: held.total, traces: held.traces.size };
    return exported === first.accepted && first.accepted === second.accepted && second.begun === second.kept + second.back
      && second.sent === held.total && second.kept === held.traces.size;
  };
  await eventually('every span is accounted for', they).catch((error) => { say(`  ${JSON.stringify(now)}`); throw error; });
  const { first, second } = now;
  say(`  spans: ${now.exported} acknowledged by the first tier, ${second.accepted} taken by the second, ${second.sent} sent on, ${now.spans} in Jaeger`);
  say(`  traces: ${second.begun} judged, ${second.kept} kept, ${second.back} thinned; ${now.traces} in Jaeger`);
  holds('services and both tiers agree to the span, second tier and Jaeger to the span and to the trace', true);
  holds('neither tier refused or gave up a span, or judged early', [first, second].every((tier) => tier.refused === 0 && tier.failed === 0 && tier.early === 0));
}

/** Log lines of a trace: in Elasticsearch, or in the file that stands in for it where the image cannot be had. */
async function logged(trace) {
  if (process.env.PULL !== '1') return copied('collector-routing', '/data/logs.json').includes(trace);
  const { hits } = await (await get(`${address('elasticsearch', 9200)}/logs-waybill.otel-*/_search?size=1&q=trace_id:${trace}`)).json();
  return hits.hits.length > 0;
}

/** What only NATS knows: a message that no service can read is a dead letter, and `waybill lost` finds it beside all books. */
async function askedInside(calm) {
  const { username, password } = new URL(readFileSync('deploy/secrets/nats-url', 'utf8').trim());
  await publish('waybill.notification.nobody.order.unheard-of', '{', username, password);
  let told;
  await eventually('waybill lost tells of the dead letter', () => { told = lost('scale-ask'); return told.set_aside.total > 0; });
  const { books } = told.reconciliation;
  say(`  waybill lost: ${told.orders} orders, ${told.lost} stopped; by the books ${books.delivered.count} delivered, ${books.refunded.count} refunded; ${told.untraced} without a trace; books silent: ${told.silent_books.length}`);
  holds('waybill lost, asked in a container, finds the dead letter of NATS', told.set_aside.messages.some((m) => m.service === 'notification' && m.known_from.includes('nats')));
  holds('it reads every book, those of thinned traces too', told.lost === 0 && told.silent_books.length === 0
    && books.delivered.count === calm.delivered && books.refunded.count === calm.refunded);
}

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
  holds('its log lines left the first tier', await eventually('log lines', () => logged(refunded)));
  const verdict = where(order, jaeger());
  holds(`waybill where: ${verdict.sentence}`, verdict.sentence.includes('was refunded'));

  await agrees(from);

  say('a question from inside');
  await askedInside(calm);

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
