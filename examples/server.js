// The small server of `scalesim serve`, in Node: to try `scalesim validate --start` on.
//
//   PORT=8080 node examples/server.js              one event loop
//   PORT=8080 node examples/server.js cluster 4    a primary and four workers on one port (default: one for each vCPU)
//
// GET / says what it is, as a scenario would; GET /api/N runs the course's loop N times; GET /pid says which process answers.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const os = require('node:os');

const [form = 'event-loop', count] = process.argv.slice(2);
const workers = Number(count ?? os.availableParallelism());
const port = Number(process.env.PORT ?? 8080);
const most = 5e9;

if (!['event-loop', 'cluster'].includes(form) || !Number.isInteger(workers) || workers < 1) {
  console.error('usage: PORT=8080 node server.js [event-loop | cluster [WORKERS]]');
  process.exit(2);
}

const runtime = form === 'cluster' ? `{ cluster = { workers = ${workers} } }` : '{ event-loop = {} }';

// In memory and not in a register: each addition waits for the one before, so that a hyper-thread next door costs it little.
const sum = new Float64Array(1);

function compute(n) {
  const began = process.hrtime.bigint();
  sum[0] = 0;
  for (let i = 0; i <= n; i++) sum[0] += i;
  const count = sum[0];
  return JSON.stringify({ n, count, nanos: Number(process.hrtime.bigint() - began), pid: process.pid });
}

function answer(path) {
  if (path === '/') return [200, `scalesim's small server, in Node\nruntime = ${runtime}`];
  if (path === '/pid') return [200, String(process.pid)];
  const n = /^\/api\/(\d{1,10})$/.exec(path);
  if (n === null) return [404, 'try /, /api/1000000 and /pid'];
  return Number(n[1]) <= most ? [200, compute(Number(n[1]))] : [400, `at most ${most} iterations`];
}

function listen() {
  const server = http.createServer((request, response) => {
    const [status, body] = answer(request.url);
    const headers = { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(body) };
    response.writeHead(status, headers).end(body);
  });
  server.on('error', (error) => {
    console.error(error.code === 'EADDRINUSE' ? `port ${port} is taken (EADDRINUSE)` : error.message);
    process.exit(2);
  });
  server.listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}, process ${process.pid}`));
}

// Whoever forks without asking this forks for ever: every worker runs this file from the top.
if (form === 'cluster' && cluster.isPrimary) {
  cluster.on('exit', (worker, code) => process.exit(code || 1));
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  listen();
}
