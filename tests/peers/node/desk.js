// A courier fleet's front desk: hands every question on to COURIER_FLEET_URL, in spans of its own.
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const sdk = new NodeSDK({ instrumentations: [new HttpInstrumentation()] });
sdk.start();

const http = require('node:http'); // only now: the SDK has to come first
const { trace } = require('@opentelemetry/api');

const desk = http.createServer((question, reply) => {
  trace.getTracer('courier-desk').startActiveSpan('desk.ask_fleet', (span) => {
    const { host, connection, traceparent, tracestate, baggage, ...headers } = question.headers;
    const onward = http.request(process.env.COURIER_FLEET_URL + question.url, { method: question.method, headers });
    onward.on('response', (answer) => {
      reply.writeHead(answer.statusCode, answer.headers);
      answer.pipe(reply).on('finish', () => span.end());
    });
    onward.on('error', (error) => { span.recordException(error); span.end(); reply.writeHead(502).end(); });
    question.pipe(onward);
  });
});
desk.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('ready'));
process.on('SIGTERM', () => sdk.shutdown().finally(() => process.exit(0)));
