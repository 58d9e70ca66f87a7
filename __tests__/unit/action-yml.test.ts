/** action.yml, the code and the docs say the same. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { entries, table, withTables } from '../../scripts/docs.mjs';
import { GREEN_OUTCOMES, RED_OUTCOMES } from '../../src/errors.js';
import { InvalidInput } from '../../src/errors.js';
import {
  credentialLines,
  inputDefaults,
  inputNames,
  type InputName,
  parseInputs,
} from '../../src/inputs.js';
import { CONFIDENTIAL } from '../../src/inputs/form.js';

const file = (name: string): string =>
  readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const text = file('action.yml');
const action = parse(text) as {
  name: string;
  description: string;
  author: string;
  branding: { icon: string; color: string };
  inputs: Record<string, { description: string; required?: boolean; default?: unknown }>;
  outputs: Record<string, { description: string }>;
  runs: Record<string, string>;
};

describe('action.yml', () => {
  it('runs the bundle for main and for post, always', () => {
    expect(action.runs).toEqual({
      using: 'node24',
      main: 'dist/index.js',
      post: 'dist/index.js',
      'post-if': 'always()',
    });
  });

  it('has what the marketplace asks for', () => {
    expect(action.name).not.toBe('');
    expect(action.author).not.toBe('');
    expect(action.description.length).toBeLessThan(125);
    expect(action.branding).toEqual({ icon: 'layers', color: 'blue' });
  });

  it('has the inputs that the code reads, each of them and no other', () => {
    const read = new Set<string>();
    const raw = (given: Partial<Record<InputName, string>>) => (name: InputName) => {
      read.add(name);
      return given[name] ?? '';
    };
    const least = { stack: 's', host: 'a@b', 'private-key': 'x', 'host-key-check': 'off' };
    parseInputs(raw(least), {});
    expect([...read].sort()).toEqual(Object.keys(action.inputs).sort());
    expect([...inputNames]).toEqual(Object.keys(action.inputs));
  });

  it('has the defaults of the code, as text', () => {
    for (const [name, input] of Object.entries(action.inputs)) {
      if (input.default !== undefined) expect(typeof input.default).toBe('string');
      expect([name, input.default ?? '']).toEqual([name, inputDefaults[name as InputName]]);
    }
  });

  it('requires what the code requires', () => {
    const required = Object.keys(action.inputs).filter((name) => action.inputs[name]?.required);
    expect(required).toEqual(['stack', 'host']);
  });

  it('describes everything, every outcome too', () => {
    for (const { description } of [
      ...Object.values(action.inputs),
      ...Object.values(action.outputs),
    ])
      expect(description).toMatch(/\S.*\.$/s);
    for (const outcome of [...GREEN_OUTCOMES, ...RED_OUTCOMES])
      expect(action.outputs.outcome?.description).toContain(`\`${outcome}\``);
    expect(Object.keys(action.outputs)).toEqual([
      'outcome',
      'reason',
      'revision',
      'previous-revision',
      'changed-services',
      'services',
      'has-changes',
      'duration',
      'report',
    ]);
  });
});

describe('the tables of the docs', () => {
  it('are fresh', async () => {
    const page = file('docs/inputs.md');
    expect(await withTables(page, text, 'all')).toBe(page);
  });

  it('have a line for every input and output', () => {
    expect(entries(text, 'inputs').map(({ name }) => name)).toEqual([...inputNames]);
    for (const name of inputNames) expect(table(text, 'inputs')).toContain(`\n| \`${name}\` |`);
    for (const name of Object.keys(action.outputs))
      expect(table(text, 'outputs')).toContain(`\n| \`${name}\` |`);
  });

  it('change with action.yml, and need their markers', async () => {
    const page = file('docs/inputs.md');
    expect(await withTables(page, text.replace('default: 15m', 'default: 16m'), 'all')).not.toBe(
      page,
    );
    await expect(withTables('# No markers\n', text, 'all')).rejects.toThrow('inputs:start');
    expect(await withTables('# No markers\n', text, 'some')).toBe('# No markers\n');
    await expect(
      withTables('<!-- inputs:end --><!-- inputs:start -->', text, 'some'),
    ).rejects.toThrow();
  });
});

describe('inputs that are secret', () => {
  /** By their names: whoever adds one is reminded here. */
  const secretNames = inputNames.filter((name) =>
    /key$|pass|secret|token|credential|^registries$/.test(name),
  );
  const canary = (name: InputName): string => `canary-of-${name}-7f3a`;

  it('are known to be', () => {
    expect(secretNames).toEqual(expect.arrayContaining(['private-key', 'registries']));
    for (const name of secretNames) expect(CONFIDENTIAL).toContain(name);
  });

  it('are masked before they are looked at', () => {
    const masked = credentialLines((name) => ` ${canary(name)}\nsecond line of ${name}\nx`);
    for (const name of secretNames.filter((each) => each !== 'registries'))
      expect(masked).toEqual(
        expect.arrayContaining([canary(name), ` ${canary(name)}`, `second line of ${name}`]),
      );
    // Too short to mask: the log would be unreadable.
    expect(masked).not.toContain('x');
  });

  it.each(inputNames)('are in no message when each stands in %s', (wrong) => {
    const given = Object.fromEntries(secretNames.map((name) => [name, canary(name)]));
    for (const secret of secretNames.filter((each) => each !== 'registries')) {
      const inputs: Partial<Record<InputName, string>> = {
        ...{ stack: 's', host: 'a@b', timeout: 'never' },
        ...given,
        [wrong]: canary(secret),
      };
      let said = '';
      try {
        parseInputs((name) => inputs[name] ?? '', {});
      } catch (error) {
        said = `${String((error as Error).stack)} ${JSON.stringify((error as InvalidInput).problems)}`;
        expect(error).toBeInstanceOf(InvalidInput);
      }
      expect(said).toContain('input ');
      for (const name of secretNames) expect(said).not.toContain(canary(name));
    }
  });
});
