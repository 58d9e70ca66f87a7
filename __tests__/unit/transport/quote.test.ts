import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { commandLine, commandTitle, quoteArgument } from '../../../src/transport/quote.js';

/** Every login shell of this machine; `sh` is always there. */
const shells = ['sh', 'bash', 'rbash', 'dash', 'busybox', 'zsh', 'ksh', 'fish', 'tcsh'].filter(
  (shell) => spawnSync(shell, shell === 'busybox' ? ['sh', '-c', ':'] : ['-c', ':']).status === 0,
);

/** Arguments as a program gets them that is started by this shell from this line. */
function readBack(shell: string, args: readonly string[]): Buffer {
  // `env` keeps the shell's own printf out: what arrives is what a program was given.
  const line = commandLine(['env', 'printf', '%s\\0', ...args]);
  const { status, stdout, stderr } = spawnSync(
    shell,
    shell === 'busybox' ? ['sh', '-c', line] : ['-c', line],
  );
  expect([status, stderr.toString()]).toEqual([0, '']);
  return stdout;
}

const sent = (args: readonly string[]): Buffer =>
  Buffer.from(args.map((arg) => `${arg}\0`).join(''));

describe('commandLine', () => {
  it('finds sh to be tested with', () => {
    expect(shells).toContain('sh');
  });

  it.each(shells)('passes known troublemakers through %s byte for byte', (shell) => {
    const args = [
      '',
      ' ',
      "'",
      "''",
      "it's",
      '"',
      '\\',
      "\\'",
      "'\\''",
      'a\\',
      '\\\\n',
      '$HOME $(id) `id` ${x:-y} $& $$',
      '!history #comment ~ * ? [a-z] {a,b} ; & | < > ( )',
      'line\nbreak\r\n\ttab',
      '-n',
      '--',
      'KEY=VALUE',
      '010 true 1e3',
      'Grüße 東京 🚀 \u200b \u00a0',
      '\u0001\u001b[31m\u007f',
      'x'.repeat(20_000),
    ];
    expect(readBack(shell, args).equals(sent(args))).toBe(true);
  });

  it.each(shells)('passes any text through %s byte for byte', (shell) => {
    const text = fc
      .string({
        unit: fc.oneof(
          fc.constantFrom("'", '\\', '$', '`', '\n', '"', '!'),
          fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
        ),
      })
      .filter((value) => !value.includes('\0'));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 80 }), (args) => {
        expect(readBack(shell, args).equals(sent(args))).toBe(true);
      }),
      { numRuns: 12 },
    );
  });

  it('takes a program by its name only, never as keyword or assignment', () => {
    expect(spawnSync('sh', ['-c', commandLine(['if'])]).status).toBe(127);
    expect(spawnSync('sh', ['-c', commandLine(['PATH=x', 'true'])]).status).toBe(127);
  });

  it('keeps backslashes out of the single quotes, where fish would read them', () => {
    expect(quoteArgument("a'b\\c")).toBe(`'a'\\''b'\\\\'c'`);
  });

  it('spells out what csh would read between single quotes, so that any shell passes it on', () => {
    const line = commandLine(['printf', '%s', "a!b\nc'd"]);
    expect(line).toMatch(/^'sh' '-c' 'eval "\$\(printf "[\w \\]+"\)"'$/);
    expect(spawnSync('sh', ['-c', line]).stdout.toString()).toBe("a!b\nc'd");
    expect(commandLine(['printf', '%s', 'plain'])).toBe("'printf' '%s' 'plain'");
  });

  it.each([
    ['NUL', 'a\0b', /NUL/],
    ['half a surrogate pair', 'a\ud800b', /broken character/],
  ])('refuses %s, which would not arrive', (_what, argument, message) => {
    expect(() => commandLine(['echo', argument])).toThrow(RangeError);
    expect(() => commandLine(['echo', argument])).toThrow(message);
  });

  it('refuses a line with which no shell can be started', () => {
    const longest = commandLine(['printf', 'x'.repeat(131_072 - "'printf' ''".length - 1)]);
    expect(spawnSync('sh', ['-c', longest]).stdout).toHaveLength(131_060);
    expect(spawnSync('sh', ['-c', `${longest} `]).error).toMatchObject({ code: 'E2BIG' });
    expect(() => commandLine(['printf', 'x'.repeat(131_061)])).toThrow(
      /"printf.*longer than 128 KiB/,
    );
  });

  it('refuses a command without a program', () => {
    expect(() => commandLine([])).toThrow(/needs a program/);
  });
});

describe('commandTitle', () => {
  it.each([
    [['docker', 'stack', 'deploy', '-c', 'x'], 'docker stack deploy'],
    [['docker', 'login', '--username', 'me', '--password-stdin'], 'docker login'],
    [['sh', '-c', 'echo secret'], 'sh'],
    [
      [
        'sudo',
        '-n',
        'docker',
        '--config',
        '/run/x',
        '--host=unix:///y',
        'stack',
        'deploy',
        '-c',
        'x',
      ],
      'docker stack deploy',
    ],
    [['env', '-u', 'NAME', 'docker', 'info', '--format', 'x'], 'docker info'],
    [['mkdir', 'a', 'b', 'c', 'd'], 'mkdir a b'],
    [['true'], 'true'],
  ])('names %j as %s', (argv, title) => {
    expect(commandTitle(argv)).toBe(title);
  });
});
