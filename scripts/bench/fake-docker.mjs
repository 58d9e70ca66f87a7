/**
 * The docker CLI beside a simulated engine: `node fake-docker.mjs SOCKET ARGUMENT...`. It knows
 * `system dial-stdio` and `stack deploy`, and no more.
 */
import { request } from 'node:http';
import { connect } from 'node:net';

const [socketPath = '', ...argv] = process.argv.slice(2);
const words = argv.join(' ');

/** @param {string} path */
async function tell(path) {
  const status = await new Promise((done, failed) => {
    const outgoing = request({ socketPath, method: 'POST', path }, (incoming) => {
      incoming.resume();
      incoming.once('end', () => done(incoming.statusCode));
    });
    outgoing.once('error', failed);
    outgoing.end();
  });
  if (status !== 200) throw new Error(`the simulator answered ${status}`);
}

if (words.endsWith('system dial-stdio')) {
  const socket = connect(socketPath);
  process.stdin.pipe(socket).pipe(process.stdout);
  socket.once('error', () => process.exit(1));
} else if (words.includes('stack deploy')) {
  await tell('/_simulator/deploy');
} else {
  process.stderr.write(`docker: '${words}' is not a docker command.\n`);
  process.exitCode = 1;
}
