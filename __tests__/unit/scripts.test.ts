/** The commands of package.json, to whoever tries them. */
import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

/** Those of the project itself; jest answers for what `npm test` is given. */
const commands = Object.entries(scripts).flatMap(([name, line]) => {
  const [, file] = /^node (\S+\.mjs)$/.exec(line) ?? [];
  return file === undefined ? [] : [{ name, file }];
});

interface Said {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

const say = (file: string, option: string): Promise<Said> =>
  new Promise((resolve) => {
    // One that does its work instead must not get far.
    const limits = { cwd: ROOT, timeout: 20_000, killSignal: 'SIGKILL' as const };
    execFile(process.execPath, [file, option], limits, (failure, out, error) => {
      const code = failure === null ? 0 : typeof failure.code === 'number' ? failure.code : -1;
      resolve({ code, out, error });
    });
  });

describe('a command', () => {
  it('is each of these', () => {
    expect(commands.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['demo', 'bench', 'test:engines', 'faults', 'fuzz', 'testbed']),
    );
  });

  it.each(commands)('$name says how it is used, and does nothing else', async ({ file }) => {
    const { code, out, error } = await say(file, '--help');
    expect({ code, error }).toEqual({ code: 0, error: '' });
    expect(out).toMatch(/\n {2}\S/);
  });

  it.each(commands)('$name refuses in a sentence what it does not know', async ({ file }) => {
    const { code, out, error } = await say(file, '--no-such-option');
    expect(code).toBeGreaterThan(0);
    expect(out).toBe('');
    expect(error).toMatch(/no-such-option/);
    expect(error).not.toMatch(/^ +at /m);
  });
});
