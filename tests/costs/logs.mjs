// usage: node logs.mjs OPENSEARCH FILE...
// Writes the log lines that the exporter `file` wrote (OTLP as JSON, one request a line) into the data stream
// `logs-waybill.otel-default`, as the documents that the official exporter `elasticsearch` makes of them in its mapping mode `otel`,
// under the same templates as the suite "Jaeger on OpenSearch" (tests/system/open_search/{documents,logs}.rs). Says how many.
// COPIES=N writes each N times, with ids and times of its own, so that an index of many lines can be weighed.
import { randomBytes, randomInt } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [url, ...files] = process.argv.slice(2);
const BULK = 1000;

async function ask(method, path, body, type = 'application/json') {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const reply = await fetch(url + path, { method, body: text, headers: { 'content-type': type } });
  const answer = await reply.json();
  if (!reply.ok || answer.errors) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(answer).slice(0, 500)}`);
}

async function templates() {
  const keyword = { type: 'keyword' };
  const attributes = { type: 'object', dynamic: true };
  const mappings = {
    date_detection: false,
    dynamic: false,
    dynamic_templates: [{ strings: { match_mapping_type: 'string', mapping: { type: 'keyword', ignore_above: 1024 } } }],
    properties: {
      '@timestamp': { type: 'date' }, observed_timestamp: { type: 'date_nanos' },
      trace_id: keyword, span_id: keyword, severity_text: keyword, event_name: keyword, severity_number: { type: 'byte' },
      body: { properties: { text: { type: 'text' } } },
      data_stream: { properties: { type: keyword, dataset: keyword, namespace: keyword } },
      attributes, resource: { properties: { attributes } }, scope: { properties: { name: keyword, version: keyword } },
    },
  };
  const deployed = JSON.parse(readFileSync(new URL('../../deploy/elasticsearch/logs-otel-custom.json', import.meta.url)));
  // OpenSearch has no such life cycle.
  delete deployed.template.settings['index.lifecycle.name'];
  await ask('PUT', '/_component_template/logs-otel@mappings', { template: { mappings } });
  await ask('PUT', '/_component_template/logs-otel@custom', deployed);
  await ask('PUT', '/_index_template/logs-otel@template', {
    index_patterns: ['logs-*.otel-*'], priority: 120, data_stream: {}, composed_of: ['logs-otel@mappings', 'logs-otel@custom'],
  });
}

function value(v) {
  if ('intValue' in v) return Number(v.intValue);
  if ('arrayValue' in v) return (v.arrayValue.values ?? []).map(value);
  return v.stringValue ?? v.boolValue ?? v.doubleValue ?? null;
}
const all = (attributes) => Object.fromEntries((attributes ?? []).map(({ key, value: v }) => [key, value(v)]));
const milliseconds = (nanos) => `${nanos.slice(0, -6)}.${nanos.slice(-6)}`;

/** One document for each record of a request. */
function* documents(request) {
  for (const { resource, scopeLogs } of request.resourceLogs) {
    const attributes = all(resource?.attributes);
    const { 'data_stream.dataset': dataset, ...own } = attributes;
    for (const { scope, logRecords } of scopeLogs) {
      for (const r of logRecords) {
        const document = {
          '@timestamp': milliseconds(r.timeUnixNano ?? r.observedTimeUnixNano), observed_timestamp: milliseconds(r.observedTimeUnixNano),
          severity_number: r.severityNumber, attributes: all(r.attributes), body: { text: value(r.body ?? {}) },
          resource: { attributes: own }, scope: { name: scope?.name, version: scope?.version },
          data_stream: { type: 'logs', dataset: `${dataset}.otel`, namespace: 'default' },
        };
        const texts = { trace_id: r.traceId, span_id: r.spanId, severity_text: r.severityText, event_name: r.eventName };
        for (const [name, text] of Object.entries(texts)) if (text) document[name] = text;
        yield document;
      }
    }
  }
}

/** The same line of another order: what differs from line to line is drawn anew. */
function another(document, seconds) {
  const order = () => [0, 1, 2].map(() => Array.from({ length: 4 }, () => '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[randomInt(32)]).join('')).join('-');
  const copy = JSON.parse(JSON.stringify(document).replace(/\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b/g, order()));
  for (const field of ['@timestamp', 'observed_timestamp']) {
    copy[field] = `${Number(copy[field].split('.')[0]) + seconds * 1000 + randomInt(1000)}.${String(randomInt(1e6)).padStart(6, '0')}`;
  }
  if (copy.trace_id) Object.assign(copy, { trace_id: randomBytes(16).toString('hex'), span_id: randomBytes(8).toString('hex') });
  return copy;
}

await templates();
const copies = Number(process.env.COPIES ?? 1);
let lines = [];
let written = 0;
async function write() {
  if (lines.length > 0) await ask('POST', '/logs-waybill.otel-default/_bulk', lines.map((d) => `{"create":{}}\n${JSON.stringify(d)}\n`).join(''), 'application/x-ndjson');
  written += lines.length;
  lines = [];
}
for (const file of files) {
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    if (!line) continue;
    for (const document of documents(JSON.parse(line))) {
      for (let copy = 0; copy < copies; copy += 1) {
        lines.push(copy === 0 ? document : another(document, copy * 300));
        if (lines.length === BULK) await write();
      }
    }
  }
}
await write();
console.log(written);
