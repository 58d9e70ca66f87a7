/**
 * For `node --require`: writes down, in the file that WATCHED names, what a process connects to, which
 * names it looks up, which programs it starts and which modules it loads from files.
 */
const { appendFileSync } = require('node:fs');
const childProcess = require('node:child_process');
const dns = require('node:dns');
const Module = require('node:module');
const net = require('node:net');

/** @param {string} kind @param {unknown} what */
const note = (kind, what) =>
  appendFileSync(process.env['WATCHED'] ?? '', `${kind} ${String(what)}\n`);

/** @param {any} owner @param {string} name @param {(args: any[]) => void} tell */
function wrap(owner, name, tell) {
  const original = owner[name];
  owner[name] = function (/** @type {any[]} */ ...args) {
    tell(args);
    return original.apply(this, args);
  };
}

wrap(net.Socket.prototype, 'connect', ([first]) => {
  // Node's own callers pass their arguments as a list.
  const options = Array.isArray(first) ? first[0] : first;
  note('connect', options?.path ?? `${options?.host ?? 'localhost'}:${options?.port ?? first}`);
});
for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6'])
  wrap(dns, name, ([host]) => net.isIP(host) || note('lookup', host));
for (const name of ['spawn', 'spawnSync', 'exec', 'execFile', 'execSync', 'execFileSync', 'fork'])
  wrap(childProcess, name, ([file]) => note('start', file));
wrap(Module, '_load', ([request]) => {
  if (!Module.builtinModules.includes(request.replace(/^node:/, ''))) note('load', request);
});
