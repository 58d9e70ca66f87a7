/**
 * The docker CLI of a host whose swarm is in another process: `node swarm-host-docker.mjs SOCKET
 * ARGUMENT...`. The first line over the socket is the arguments as JSON; then either the Engine API
 * follows, or one answer, the result of the command as JSON.
 */
import { connect } from 'node:net';

const [socketPath = '', ...argv] = process.argv.slice(2);
const socket = connect(socketPath);
socket.once('error', () => process.exit(1));
socket.write(`${JSON.stringify(argv)}\n`);
if (argv.includes('dial-stdio')) process.stdin.pipe(socket).pipe(process.stdout);
else {
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) text += chunk;
  const { code, stdout, stderr } = JSON.parse(text);
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = code;
}
