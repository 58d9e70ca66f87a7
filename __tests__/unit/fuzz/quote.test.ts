/** Arguments through real shells: what comes out is byte for byte what went in. */
import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { commandLine, commandTitle } from '../../../src/transport/quote.js';
import { fuzz } from '../../support/fuzz.js';

const WORDS_A_SHELL = 100;
/** Login shells that people have, as far as this machine has them; `sh` it has always. */
const SHELLS = ['sh', 'bash', 'dash', 'busybox', 'zsh', 'fish'].filter(
  (shell) => spawnSync(shell, shellArgs(shell, ':')).status === 0,
);

function shellArgs(shell: string, line: string): readonly string[] {
  return shell === 'busybox' ? ['sh', '-c', line] : ['-c', line];
}

const NASTY = [
  ...[
    "'",
    '"',
    '\\',
    '\\\\',
    "'\\''",
    '$',
    '$(id)',
    '`id`',
    '${IFS}',
    '!',
    '!!',
    '*',
    '?',
    '[a]',
    '~',
  ],
  ...[
    '#',
    ';',
    '&',
    '|',
    '>',
    '<',
    '(',
    ')',
    '{a,b}',
    '=',
    '%',
    '^',
    ' ',
    '\t',
    '\n',
    '\r',
    '\u0001',
  ],
  ...['\u001b', '\u007f', '-', '--', '-n', '-e', '\\c', 'é', '日本', '🙂', '\u202e', 'a'],
];
const word = fc.oneof(
  fc.array(fc.constantFrom(...NASTY), { maxLength: 8 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => !/[\0\p{Surrogate}]/u.test(text)),
);

/** What a shell makes of a command line: the words that the program gets. */
function through(shell: string, words: readonly string[]): readonly string[] {
  const line = commandLine(['printf', '%s\\0', ...words]);
  const { status, stdout, stderr } = spawnSync(shell, shellArgs(shell, line), {
    maxBuffer: 16 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`${shell}: ${stderr.toString()}`);
  return stdout.toString('utf8').split('\0').slice(0, -1);
}

describe('quoting', () => {
  it('is tried with the shell that every manager has', () => expect(SHELLS).toContain('sh'));

  fuzz(
    'every word arrives as it is, through every shell that is here',
    14,
    fc.property(
      fc.array(word, { minLength: WORDS_A_SHELL, maxLength: WORDS_A_SHELL }),
      fc.constantFrom(...SHELLS),
      (words, shell) => {
        expect(through('sh', words)).toEqual(words);
        if (shell !== 'sh') expect(through(shell, words)).toEqual(words);
      },
    ),
    WORDS_A_SHELL,
  );

  fuzz(
    'a script gets its arguments as they are, as those of the workspace are called',
    2,
    fc.property(fc.array(word, { minLength: WORDS_A_SHELL, maxLength: WORDS_A_SHELL }), (words) => {
      const script = 'for word; do printf "%s\\0" "$word"; done';
      const line = commandLine(['sh', '-c', script, 'swarm-deploy', ...words]);
      const { stdout } = spawnSync('sh', ['-c', line]);
      expect(stdout.toString('utf8').split('\0').slice(0, -1)).toEqual(words);
    }),
    WORDS_A_SHELL,
  );

  fuzz(
    'what no command line can carry is refused, and a title never tells an argument',
    3,
    fc.property(word, fc.constantFrom('\0', '\ud800', '\udc00x'), (text, bad) => {
      expect(() => commandLine(['docker', text + bad])).toThrow(RangeError);
      const title = commandTitle(['docker', '--config', text, 'stack', 'deploy', `=${text}`]);
      expect(title).toBe('docker stack deploy');
    }),
  );
});
