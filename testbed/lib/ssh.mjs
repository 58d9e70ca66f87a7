/**
 * Keys, accounts and sshd settings of the nodes.
 */
import { createHash } from 'node:crypto';
import { chmod, chown, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { must } from './run.mjs';

/** Of the encrypted copy of the key. It protects nothing: the key opens test nodes alone. */
export const PASSPHRASE = 'correct horse battery staple';

const KEYGEN = ['ssh-keygen', '-q', '-t', 'ed25519'];

/**
 * One key for the whole testbed, plain and with a passphrase.
 * @param {string} directory
 */
export async function makeClientKeys(directory) {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const plain = join(directory, 'id_ed25519');
  const encrypted = join(directory, 'id_ed25519_encrypted');
  await must([...KEYGEN, '-N', '', '-C', 'testbed', '-f', plain]);
  await copyFile(plain, encrypted);
  await chmod(encrypted, 0o600);
  await must(['ssh-keygen', '-q', '-p', '-P', '', '-N', PASSPHRASE, '-f', encrypted]);
}

/**
 * @typedef {{line: string, fingerprint: string}} HostKey
 */

/**
 * @param {string} directory of the node's keys
 * @param {string} address
 * @returns {Promise<HostKey>} as a line for known_hosts, and as ssh shows it
 */
export async function readHostKey(directory, address) {
  const text = await readFile(join(directory, 'ssh_host_ed25519_key.pub'), 'utf8');
  const [type = '', key = ''] = text.trim().split(/\s+/);
  const hash = createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64');
  return { line: `${address} ${type} ${key}`, fingerprint: `SHA256:${hash.replace(/=+$/, '')}` };
}

/**
 * Accounts of a node: root, `deploy` (may use Docker) and `guest` (may not). The machine's own
 * accounts stay outside, and so does a locked root password, at which sshd without PAM refuses
 * keys too.
 */
const ACCOUNTS = [
  { name: 'root', uid: 0, home: '/root' },
  { name: 'deploy', uid: 2001, home: '/home/deploy' },
  { name: 'guest', uid: 2002, home: '/home/guest' },
];
const DOCKER_GROUP = 2000;

/** @returns {string} */
function shell() {
  return existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
}

/**
 * Writes the node's part of /etc and the home directories.
 * @param {{etc: string, home: string, root: string, publicKey: string}} paths
 */
export async function writeAccounts({ etc, home, root, publicKey }) {
  const passwd = ACCOUNTS.map(
    ({ name, uid, home: at }) => `${name}:x:${uid}:${uid}::${at}:${shell()}`,
  );
  const system = [
    'sshd:x:2003:65534::/run/sshd:/usr/sbin/nologin',
    'nobody:x:65534:65534::/:/bin/false',
  ];
  const groups = ACCOUNTS.map(({ name, uid }) => `${name}:x:${uid}:`);
  const extra = [`docker:x:${DOCKER_GROUP}:deploy`, 'tty:x:5:', 'nogroup:x:65534:'];
  const shadow = [...ACCOUNTS.map(({ name }) => name), 'sshd', 'nobody'];
  await writeLines(join(etc, 'passwd'), [...passwd, ...system]);
  await writeLines(join(etc, 'group'), [...groups, ...extra]);
  await writeLines(
    join(etc, 'shadow'),
    shadow.map((name) => `${name}:*:19000:0:99999:7:::`),
  );
  await chmod(join(etc, 'shadow'), 0o600);
  const keys = await readFile(publicKey, 'utf8');
  for (const { name, uid } of ACCOUNTS) {
    const at = name === 'root' ? root : join(home, name);
    await mkdir(join(at, '.ssh'), { recursive: true, mode: 0o700 });
    await writeFile(join(at, '.ssh', 'authorized_keys'), keys, { mode: 0o600 });
    for (const path of ['', '.ssh', '.ssh/authorized_keys']) await chown(join(at, path), uid, uid);
  }
}

/**
 * @param {string} path
 * @param {readonly string[]} lines
 */
export async function writeLines(path, lines) {
  await writeFile(path, `${lines.join('\n')}\n`);
}

/**
 * Makes the host key and the settings of a node's sshd.
 * @param {string} directory the node's /etc/ssh
 * @param {{sftp: boolean, extra: readonly string[], penalties: boolean}} options
 */
export async function writeSshd(directory, options) {
  await mkdir(directory, { recursive: true });
  await must([...KEYGEN, '-N', '', '-C', '', '-f', join(directory, 'ssh_host_ed25519_key')]);
  await writeLines(join(directory, 'sshd_config'), sshdLines(options));
}

/**
 * sshd takes the first value of a keyword, so lines of a test come before our own.
 * @param {{sftp: boolean, extra: readonly string[], penalties: boolean}} options
 * @returns {string[]}
 */
export function sshdLines({ sftp, extra, penalties }) {
  const plain = extra.findIndex((line) => /^\s*Match\b/i.test(line));
  const global = plain < 0 ? extra : extra.slice(0, plain);
  const matched = plain < 0 ? [] : extra.slice(plain);
  return [
    ...global,
    'HostKey /etc/ssh/ssh_host_ed25519_key',
    'PidFile /run/sshd.pid',
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'UsePAM no',
    'UseDNS no',
    'PrintMotd no',
    'LogLevel VERBOSE',
    // tests open many connections at once; the default starts to refuse at ten
    'MaxStartups 100:30:200',
    // from OpenSSH 9.8 on, a failed login makes sshd refuse that address for a while
    ...(penalties ? ['PerSourcePenalties no'] : []),
    ...(sftp ? ['Subsystem sftp internal-sftp'] : []),
    ...matched,
  ];
}
