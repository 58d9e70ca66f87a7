/**
 * An API that loses no request when it is stopped: what a rolling update asks of an application, in
 * the fewest lines. `npm run bench:downtime` measures this very file; docs/zero-downtime.md tells.
 */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { VERSION = 'dev', WARM_UP_MS = '0', DRAIN_MS = '5000' } = process.env;
let stopping = false;

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://api');
  // Swarm asks /health, whether the process is well. The proxy asks /ready, whether to send more.
  if (pathname === '/ready' && stopping) response.statusCode = 503;
  else if (pathname === '/work') await sleep(Number(searchParams.get('ms')));
  // A connection that is kept open would be closed under the next request.
  if (stopping) response.setHeader('Connection', 'close');
  response.end(VERSION);
});
// Longer than the proxy keeps a connection that nobody uses: then it is never the server that closes it.
server.keepAliveTimeout = 75_000;

process.once('SIGTERM', async () => {
  stopping = true; // /ready fails from here on
  await sleep(Number(DRAIN_MS)); // who has not noticed yet still gets an answer
  server.close(() => process.exit(0)); // takes no more, and ends with the last answer
});

await sleep(Number(WARM_UP_MS)); // connect to the database, fill caches, ...
server.listen(8080);
