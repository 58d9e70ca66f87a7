/**
 * One host of the test swarm: namespaces with an address, an sshd and an engine of their own.
 */
import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';

import { askEngine, engineJson } from './engine.mjs';
import { connectNode } from './network.mjs';
import { versionIn } from './packages.mjs';
import {
  describeProcess,
  endProcesses,
  isAlive,
  listProcesses,
  pidNamespace,
  signalProcess,
} from './processes.mjs';
import { lastLines, must, run } from './run.mjs';
import { spawnDetached } from './spawn.mjs';
import { readHostKey, sshdLines, writeAccounts, writeLines, writeSshd } from './ssh.mjs';
import { directoryOf } from './state.mjs';
import { until } from './wait.mjs';

/**
 * @typedef {import('./state.mjs').State} State
 * @typedef {import('./state.mjs').NodeState} NodeState
 * @typedef {import('./processes.mjs').ProcessInfo} ProcessInfo
 *
 * @typedef {object} ExecOptions
 * @property {string | Buffer} [input]
 * @property {number} [timeoutMs]
 * @property {Record<string, string>} [env]
 */

/** Of a command that comes upon a write of someone else. */
const WRITE_ATTEMPTS = 10;

/** What a login of root has on a Debian host; nothing of the caller's environment gets in. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
};

/**
 * Runs as the first steps inside the new namespaces and then becomes the node's first process.
 *
 * The unpacked packages are laid over /usr, so that programs are where they are on a real host. /etc
 * is the machine's with all changes going to the node's own directory; the machine's settings of
 * Docker and SSH are taken out of it. `rm` there is safe only on the overlay, hence the check.
 * /usr/local and /opt are empty: a docker in /usr/local would come first in PATH, and containerd
 * makes a directory in /opt. Without the AppArmor files the engine does not load its profile, which
 * would stay in the kernel. /var/tmp comes last, as the node's own directories are below it.
 */
const INIT = `
set -eu
node=$1 name=$2 disk=$3 layers=$4
[ "$disk" = yes ] || mount -t tmpfs -o mode=755 tmpfs "$node/rw"
mkdir -p "$node/rw/etc" "$node/rw/work" "$node/rw/lib"
mount -t overlay -o "lowerdir=$layers:/usr" overlay /usr
mount -t overlay -o "lowerdir=/etc,upperdir=$node/rw/etc,workdir=$node/rw/work" overlay /etc
grep -q '^overlay /etc overlay ' /proc/self/mounts
rm -rf /etc/docker /etc/containerd /etc/ssh /etc/resolv.conf
cp -a "$node/etc/." /etc/
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/lock
mount --bind "$node/root" /root
mount --bind "$node/home" /home
mount --bind "$node/rw/lib" /var/lib
mount --bind "$node/log" /var/log
mount --bind "$node/tmp" /tmp
mount --bind "$node/empty" /usr/local
mount --bind "$node/opt" /opt
mount --bind "$node/tmp" /var/tmp
if [ -d /sys/kernel/security/apparmor ]; then umount -l /sys/kernel/security || true; fi
hostname "$name"
cd /
exec tini -s -- sleep infinity
`;

/** A host of the test swarm. */
export class SwarmNode {
  /** @type {State} */
  #state;
  /** @type {NodeState} */
  #node;

  /**
   * @param {State} state
   * @param {NodeState} node
   */
  constructor(state, node) {
    this.#state = state;
    this.#node = node;
    /** @readonly */
    this.name = node.name;
    /** @readonly */
    this.role = node.role;
    /** @readonly */
    this.address = node.address;
    /** @readonly */
    this.port = 22;
    /** A line for known_hosts; set by `loadHostKey`. */
    this.hostKeyLine = '';
    /** As `ssh-keygen -l` shows it. */
    this.fingerprint = '';
  }

  /** @returns {string} the directory on this machine that holds what the node writes */
  get directory() {
    return join(directoryOf(this.#state.name), 'nodes', this.name);
  }

  /** @returns {string} the engine's socket, reachable from outside through the node's root */
  get socketPath() {
    return `/proc/${this.#init().pid}/root/run/docker.sock`;
  }

  /** Makes the host: files, namespaces, network. Engine and sshd are started separately. */
  async create() {
    await this.#writeFiles();
    const disk = this.#state.disk ? 'yes' : 'no';
    const script = [INIT, 'init', this.directory, this.name, disk, this.#lowerDirectories()];
    const namespaces = ['--mount', '--uts', '--net', '--ipc', '--pid', '--fork', '--kill-child'];
    const command = ['unshare', ...namespaces, '--propagation', 'private', '--mount-proc'];
    const outer = spawnDetached([...command, 'sh', '-c', ...script], {
      id: this.#state.id,
      log: this.#log('init'),
    });
    const what = `the namespaces of ${this.name} are made`;
    const init = await until(what, () => findInit(outer.pid), { detail: () => this.logTail() });
    this.#node.init = { pid: init.pid, start: init.start };
    await connectNode({
      bridge: this.#state.bridge,
      veth: this.#node.veth,
      pid: init.pid,
      address: this.address,
      gateway: this.#state.gateway,
    });
  }

  async #writeFiles() {
    const at = (/** @type {string} */ name) => join(this.directory, name);
    for (const name of ['etc', 'root', 'home', 'log', 'empty', 'opt', 'rw']) {
      await mkdir(at(name), { recursive: true });
    }
    await must(['install', '-d', '-m', '1777', at('tmp')]);
    const publicKey = join(directoryOf(this.#state.name), 'keys', 'id_ed25519.pub');
    await writeAccounts({ etc: at('etc'), home: at('home'), root: at('root'), publicKey });
    await writeLines(at('etc/hostname'), [this.name]);
    await writeLines(at('etc/hosts'), ['127.0.0.1 localhost', `${this.address} ${this.name}`]);
    // nobody listens there, so a look-up of an outside name fails at once instead of hanging
    await writeLines(at('etc/resolv.conf'), [`nameserver ${this.#state.gateway}`]);
    await writeSshd(at('etc/ssh'), this.#sshdOptions([]));
    await this.loadHostKey();
  }

  /** @param {readonly string[]} lines */
  #sshdOptions(lines) {
    const { sftp, sshdConfig } = this.#state.settings;
    const version = versionIn(this.#state.layers, 'openssh-server');
    const [major = 0, minor = 0] = version.split(/[^\d]/).map(Number);
    return {
      sftp,
      penalties: major > 9 || (major === 9 && minor >= 8),
      extra: [...lines, ...(sshdConfig[this.name] ?? []), ...(sshdConfig['*'] ?? [])],
    };
  }

  #lowerDirectories() {
    return this.#state.layers.map((layer) => join(layer, 'usr')).join(':');
  }

  /** Reads the host key, for the fields that show it. */
  async loadHostKey() {
    const key = await readHostKey(join(this.directory, 'etc/ssh'), this.address);
    this.hostKeyLine = key.line;
    this.fingerprint = key.fingerprint;
  }

  /** @returns {boolean} whether its namespaces still are there */
  get isUp() {
    return isAlive(this.#node.init);
  }

  #init() {
    const init = this.#node.init;
    if (!init || !isAlive(init)) throw new Error(`The node ${this.name} is not running.`);
    return init;
  }

  /**
   * Runs a command inside the node as root, beside SSH.
   * @param {readonly string[] | string} command words, or a line for the shell
   * @param {ExecOptions} [options]
   * @returns {Promise<import('./run.mjs').RunResult>}
   */
  async exec(command, { input, timeoutMs, env } = {}) {
    return run(this.execCommand(command), {
      input,
      timeoutMs,
      env: { ...this.environment, ...env },
      cwd: '/',
    });
  }

  /** @returns {Record<string, string>} the environment of commands in the node */
  get environment() {
    return { ...ENVIRONMENT };
  }

  /**
   * @param {readonly string[] | string} command
   * @returns {string[]} the command that runs it from outside
   */
  execCommand(command) {
    const words = typeof command === 'string' ? ['sh', '-c', command] : command;
    const target = String(this.#init().pid);
    return ['nsenter', '--target', target, '-m', '-u', '-n', '-i', '-p', '--', ...words];
  }

  /**
   * Runs the docker CLI in the node and gives its standard output.
   *
   * A command that found its object written by someone else in between is run again: the CLI reads,
   * changes and writes it (docker/cli, node/update.go), and the swarm itself writes nodes and services
   * at any time.
   * @param {string[]} args
   * @returns {Promise<string>}
   */
  async docker(...args) {
    for (let left = WRITE_ATTEMPTS; ; left -= 1) {
      const { code, stdout, stderr } = await this.exec(['docker', ...args]);
      if (code === 0) return stdout;
      if (left > 1 && /update out of sequence/.test(stderr)) continue;
      const words = `\`docker ${args.join(' ')}\` on ${this.name} failed with exit code ${code}`;
      throw new Error(`${words}: ${stderr.trim()}`);
    }
  }

  /**
   * Runs the docker CLI with `--format '{{json .}}'`.
   * @param {string[]} args
   * @returns {Promise<any[]>} one value a line of output
   */
  async dockerJson(...args) {
    const text = await this.docker(...args, '--format', '{{json .}}');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }

  /**
   * Asks the node's engine over its socket.
   * @param {string} method
   * @param {string} path such as '/services?status=true'
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async api(method, path, body) {
    return engineJson(this.socketPath, method, path, body);
  }

  /**
   * Starts the engine and waits until it answers, as a member of its swarm if it is one. Wakes it
   * up if it was stopped by SIGSTOP. Does nothing if it runs.
   */
  async startEngine() {
    const [running] = this.#processes('dockerd');
    if (running) signalProcess(running, 'SIGCONT');
    else await this.#startInBackground('dockerd', this.#engineFlags());
    const ready = async () => {
      const info = await engineJson(this.socketPath, 'GET', '/info', undefined, 5000);
      return ['active', 'inactive'].includes(info.Swarm.LocalNodeState) && info;
    };
    const detail = () => this.logTail();
    await until(`the engine of ${this.name} is ready`, ready, { timeoutMs: 180_000, detail });
  }

  #engineFlags() {
    return [
      '--storage-driver=overlay2',
      '--exec-opt=native.cgroupdriver=cgroupfs', // there is no systemd inside
      `--cgroup-parent=${this.#state.cgroup}/${this.name}`,
      // with every port: a test may have a server of its own in front of the registry
      `--insecure-registry=${this.#state.subnet}`,
    ];
  }

  /**
   * Starts a program, and starts it again where it ends with Go's exit code for a panic, as Docker's own
   * unit for systemd would (`Restart=always`, after 2 s). dockerd 20.10 panics at times where a service
   * is removed whose tasks fail quickly (swarmkit manager/orchestrator/service.go, SetServiceTasksRemove).
   * @param {string} program
   * @param {readonly string[]} flags
   */
  async #startInBackground(program, flags) {
    const again = 'while "$@"; [ $? = 2 ]; do sleep 2; done';
    const script = `log=$1; shift; setsid sh -c '${again}' sh "$@" >>"$log" 2>&1 </dev/null &`;
    const log = `/var/log/${program}.log`;
    const { code, stderr } = await this.exec(['sh', '-c', script, 'sh', log, program, ...flags]);
    if (code !== 0) throw new Error(`${program} on ${this.name} does not start: ${stderr}`);
  }

  /**
   * Sends a signal to the engine. SIGTERM and SIGKILL: waits until it has ended. SIGSTOP: it hangs
   * until `startEngine`. Containers go on after SIGKILL, as after a crash.
   * @param {NodeJS.Signals} [signal]
   */
  async stopEngine(signal = 'SIGTERM') {
    const running = this.#processes('dockerd');
    if (signal === 'SIGSTOP') for (const one of running) signalProcess(one, signal);
    else await endProcesses(running, signal);
  }

  /** Starts sshd if it does not run, and waits until it greets. */
  async startSsh() {
    if (this.#listeners().length === 0) {
      const command = ['/usr/sbin/sshd', '-E', '/var/log/sshd.log'];
      const { code, stderr } = await this.exec(command);
      if (code !== 0) throw new Error(`sshd on ${this.name} does not start: ${stderr.trim()}`);
    }
    const greets = () => readGreeting(this.address, this.port);
    const detail = () => this.logTail();
    await until(`sshd of ${this.name} greets`, greets, { detail });
  }

  /** Ends the listening sshd: new connections are refused, sessions go on. */
  async stopSsh() {
    await endProcesses(this.#listeners(), 'SIGTERM');
  }

  /**
   * Restarts sshd with additional lines in its configuration, or, without lines, as it was. Only
   * starts it, if need be, when these are its lines already.
   * @param {readonly string[]} [lines]
   */
  async configureSsh(lines = []) {
    const text = `${sshdLines(this.#sshdOptions(lines)).join('\n')}\n`;
    const { stdout: current } = await this.exec(['cat', '/etc/ssh/sshd_config']);
    if (current === text) return this.startSsh();
    const write = 'cat >/etc/ssh/sshd_config && /usr/sbin/sshd -t';
    const { code, stderr } = await this.exec(write, { input: text });
    if (code !== 0) throw new Error(`sshd on ${this.name} refuses this: ${stderr.trim()}`);
    await this.stopSsh();
    await this.startSsh();
  }

  /**
   * Cuts all SSH connections of this node by ending their sshd processes. New ones can be made.
   * @returns {Promise<number>} how many processes it ended
   */
  async killSsh() {
    const listeners = new Set(this.#listeners().map(({ pid }) => pid));
    const sessions = [...this.#processes('sshd'), ...this.#processes('sshd-session')];
    const targets = sessions.filter(({ pid }) => !listeners.has(pid));
    await endProcesses(targets);
    return targets.length;
  }

  /**
   * Cuts the SSH connections of a client by ending their sshd processes here.
   * @param {readonly number[]} ports of the client's side
   * @returns {Promise<number>} how many processes it ended
   */
  async killSshOf(ports) {
    const { stdout } = await this.exec([
      'ss',
      '-tnpH',
      'state',
      'established',
      'sport',
      '=',
      ':22',
    ]);
    const pids = stdout
      .split('\n')
      .filter((line) => ports.some((port) => new RegExp(`:${port}\\b`).test(line)))
      .flatMap((line) => [...line.matchAll(/pid=(\d+)/g)].map(([, pid = '']) => pid));
    if (pids.length > 0) await this.exec(['kill', '-KILL', ...new Set(pids)]);
    return new Set(pids).size;
  }

  /**
   * Drops what a client sends to sshd here, so that its connections are dead and nobody is told.
   * @param {readonly number[]} ports of the client's side
   */
  async dropPackets(ports) {
    for (const port of ports) {
      const rule = ['-p', 'tcp', '--dport', '22', '--sport', String(port), '-j', 'DROP'];
      await this.#must(['iptables', '-w', '-I', 'INPUT', ...rule]);
    }
  }

  /**
   * Drops all packets from and to other hosts, which may go on with each other.
   * @param {readonly string[]} addresses
   */
  async cutOff(addresses) {
    const list = addresses.join(',');
    await this.#must(['iptables', '-w', '-I', 'INPUT', '-s', list, '-j', 'DROP']);
    await this.#must(['iptables', '-w', '-I', 'OUTPUT', '-d', list, '-j', 'DROP']);
  }

  /** Undoes all `dropPackets` and `cutOff`. */
  async passPackets() {
    for (const chain of ['INPUT', 'OUTPUT']) await this.#must(['iptables', '-w', '-F', chain]);
  }

  /**
   * Lays a small disk over a directory, which new files go to, with so much room left on it.
   * @param {string} directory
   * @param {number} [kilobytes] room; it is in pages of 4
   */
  async fillDisk(directory, kilobytes = 0) {
    const script = `mount -t tmpfs -o size=1m,mode=1777 tmpfs "$1" && chmod 1777 "$1" &&
      dd if=/dev/zero of="$1/full" bs=1k count=$((1024 - $2)) 2>/dev/null; true`;
    await this.#must(['sh', '-c', script, 'sh', directory, String(kilobytes)]);
  }

  /**
   * Takes what is left of the room on a small disk.
   * @param {string} directory
   */
  async useUp(directory) {
    await this.#must([
      'sh',
      '-c',
      'dd if=/dev/zero of="$1/rest" bs=1k 2>/dev/null; true',
      'sh',
      directory,
    ]);
  }

  /**
   * Takes the small disk away again, with all that is on it.
   * @param {string} directory
   */
  async freeDisk(directory) {
    await this.#must(['umount', '-l', directory]);
  }

  /** @param {readonly string[]} command */
  async #must(command) {
    const { code, stderr } = await this.exec(command);
    if (code !== 0) throw new Error(`${command.join(' ')} on ${this.name}: ${stderr.trim()}`);
  }

  /**
   * Pulls the node's network cable, or plugs it in.
   * @param {'up' | 'down'} state
   */
  async link(state) {
    await must(['ip', 'link', 'set', this.#node.veth, state]);
  }

  /** @returns {Promise<boolean>} whether the engine answers at once */
  async engineAnswers() {
    try {
      const { status } = await askEngine(this.socketPath, 'GET', '/_ping', undefined, 5000);
      return status === 200;
    } catch {
      return false;
    }
  }

  /**
   * @param {string} comm
   * @returns {ProcessInfo[]} processes of this node (not of its containers) by name
   */
  #processes(comm) {
    const namespace = pidNamespace(this.#init().pid);
    return listProcesses().filter((info) => {
      return info.comm === comm && pidNamespace(info.pid) === namespace;
    });
  }

  /** @returns {ProcessInfo[]} the sshd that listens; it says so in its title */
  #listeners() {
    return this.#processes('sshd').filter(({ pid }) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('[listener]');
      } catch {
        return false;
      }
    });
  }

  /** @param {string} name */
  #log(name) {
    return join(this.directory, 'log', `${name}.log`);
  }

  /**
   * @param {number} [count] lines of each log
   * @returns {Promise<string>} the end of the node's logs, for an error
   */
  async logTail(count = 12) {
    const parts = [];
    for (const name of ['init', 'sshd', 'dockerd']) {
      const text = await readFile(this.#log(name), 'utf8').catch(() => '');
      if (text) parts.push(`${this.name}, ${name}.log:\n${lastLines(text, count)}`);
    }
    return parts.join('\n');
  }
}

/**
 * unshare forks: its child is the first process of the new PID namespace. It counts once it has
 * become tini, as only then all mounts are made.
 * @param {number} parent
 * @returns {ProcessInfo | undefined}
 */
function findInit(parent) {
  if (!describeProcess(parent)) throw new Error('it ended early');
  return listProcesses().find((info) => info.ppid === parent && info.comm === 'tini');
}

/**
 * @param {string} address
 * @param {number} port
 * @returns {Promise<string>} the line that an SSH server sends first
 */
function readGreeting(address, port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    socket.setTimeout(2000, () => socket.destroy(new Error('no greeting in 2 s')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed without a greeting')));
    socket.on('data', (/** @type {Buffer} */ data) => {
      resolve(data.toString('utf8'));
      socket.destroy();
    });
  });
}
