/** What becomes of findings: which ones are annotations, where the rest stands, what can be ignored. */
import { describe, expect, it } from '@jest/globals';
import { InvalidInput } from '../../../src/errors.js';
import { inputDefaults, parseInputs } from '../../../src/inputs.js';
import { RULE_IDS, RULES, type RuleId } from '../../../src/lint/catalog.js';
import { expiry, registryOf } from '../../../src/lint/credentials.js';
import { mostImportant, type Finding } from '../../../src/lint/lint.js';
import { nearest } from '../../../src/lint/nearest.js';
import { durationMs } from '../../../src/lint/service.js';
import { createNarrator, type Narrator } from '../../../src/report/narrator.js';
import type { RunReport } from '../../../src/report/outcome.js';
import { reportOf, summaryOf } from '../../../src/report/render.js';

const finding = (id: RuleId, line: number, more: Partial<Finding> = {}): Finding => ({
  ...{ id, level: RULES[id].level, message: `service s${line}: something` },
  ...{ file: 'compose.yaml', line, service: `s${line}`, mend: RULES[id].mend },
  ...more,
});
/** Thirty services without a healthcheck, and a few other things at the end of the file. */
const MANY: readonly Finding[] = [
  ...Array.from({ length: 30 }, (_, index) => finding('no-healthcheck', index + 1)),
  ...Array.from({ length: 30 }, (_, index) => finding('no-resource-limits', index + 1)),
  finding('ignored-links', 100),
  finding('mutable-tag', 101),
  finding('engine-ulimits', 102),
];

describe('annotations', () => {
  it('are ten of each level, the first of every rule before the second of any', () => {
    const chosen = [...mostImportant(MANY, { warning: 10, notice: 8 })];
    expect(chosen.filter(({ level }) => level === 'warning')).toHaveLength(10);
    expect(chosen.filter(({ level }) => level === 'notice')).toHaveLength(8);
    expect(chosen.slice(0, 5).map(({ id, line }) => [id, line])).toEqual([
      ['no-healthcheck', 1],
      ['mutable-tag', 101],
      ['engine-ulimits', 102],
      ['ignored-links', 100],
      ['no-healthcheck', 2],
    ]);
  });

  /** A narrator, and what it sends to the runner: `W` and `N` are annotations. */
  function narrate(): {
    readonly narrator: Narrator;
    readonly said: string[];
    readonly folds: string[];
  } {
    const said: string[] = [];
    const folds: string[] = [];
    const narrator = createNarrator(
      {
        line: (text) => said.push(text),
        warning: (text, at) => said.push(`W ${at?.file ?? ''} ${at?.line ?? ''} ${text}`),
        notice: (text, at) => said.push(`N ${at?.file ?? ''} ${at?.line ?? ''} ${text}`),
        startGroup: (name) => folds.push(`${name}, from ${said.length}`),
        endGroup: () => folds.push(`to ${said.length}`),
      },
      { now: () => 0, sleep: () => Promise.resolve() },
    );
    return { narrator, said, folds };
  }
  const count = (said: readonly string[], start: string): number =>
    said.filter((line) => line.startsWith(start)).length;

  it('are folded in the log where they are very many', () => {
    const { narrator, folds } = narrate();
    narrator.lint(MANY.slice(0, 20));
    expect(folds).toEqual([]);
    narrator.lint(MANY);
    expect(folds).toEqual(['Lint of the stack files: 63 findings, from 20', 'to 83']);
  });

  it('stand at their file and line; the log has all the others, each once', () => {
    const { narrator, said } = narrate();
    narrator.lint(MANY);
    expect(new Set(narrator.findings())).toEqual(new Set(MANY));
    expect(narrator.warnings()).toEqual([]);
    expect(said).toHaveLength(MANY.length);
    expect([count(said, 'W '), count(said, 'N ')]).toEqual([7, 9]);
    expect(said).toContain(
      `W compose.yaml 101 compose.yaml:101: service s101: something. ${RULES['mutable-tag'].mend} (mutable-tag)`,
    );
    for (const { id, line } of MANY)
      expect(
        said.filter((text) => text.includes(`compose.yaml:${line}: `) && text.includes(`(${id})`)),
      ).toHaveLength(1);
  });

  it('are shared with all other warnings, which come first: never more than ten of a level', () => {
    const { narrator, said } = narrate();
    for (let at = 1; at <= 4; at += 1) narrator.warn(`before ${at}`);
    narrator.lint(MANY);
    expect([count(said, 'W '), count(said, 'N ')]).toEqual([7, 9]);
    const nodes = Array.from({ length: 5 }, (_, index) => finding('engine-ulimits', 200 + index));
    narrator.lint(nodes);
    expect(count(said, 'W ')).toBe(9);
    for (let at = 1; at <= 4; at += 1) narrator.warn(`after ${at}`, { file: 'compose.yaml' });
    expect(count(said, 'W ')).toBe(10);
    expect(said.slice(-4)).toEqual([
      'W compose.yaml  after 1',
      ...[2, 3, 4].map((at) => `warning: after ${at}`),
    ]);
    expect(narrator.warnings()).toHaveLength(8);
    expect(narrator.findings()).toHaveLength(MANY.length + 5);
    expect(said).toHaveLength(8 + MANY.length + 5);
  });

  it('are all for others where those fill them', () => {
    const { narrator, said } = narrate();
    for (let at = 1; at <= 30; at += 1) narrator.warn(`before ${at}`);
    narrator.lint(MANY);
    expect([count(said, 'W '), count(said, 'N ')]).toEqual([10, 9]);
    expect(said[9]).toBe('W   before 10');
    expect(said).toHaveLength(30 + MANY.length);
  });

  it('are in the order of the files in the report, whenever they were found', () => {
    const { narrator } = narrate();
    narrator.lint([finding('no-healthcheck', 3), finding('no-healthcheck', 9)]);
    narrator.lint([finding('engine-ulimits', 5)]);
    expect(narrator.findings().map(({ line }) => line)).toEqual([3, 5, 9]);
  });
});

describe('summary and report', () => {
  const run: RunReport = {
    ...{ stack: 'shop', mode: 'deploy', manager: '', outcome: 'deployed', reason: '' },
    ...{ message: '', hint: '', position: undefined, problems: [], services: [], failures: [] },
    ...{ warnings: [], lint: MANY, timeline: [], durationMs: 0, inputs: {}, tasks: [] },
    ...{ revision: undefined, previousRevision: undefined, history: [] },
    ...{ dossier: [], verification: [] },
  };

  it('fold them up, with nothing that a file can do to the page', () => {
    const summary = summaryOf(run);
    expect(summary).toContain('<details><summary>Lint of the stack files: 33 warnings, 30 notices');
    expect(summary).toContain('<code>compose&#46;yaml&#58;101</code>'.replace('&#46;', '.'));
    const evil = finding('mutable-tag', 1, { message: 'service a|b</details>: x', file: '`</td>' });
    const page = summaryOf({ ...run, lint: [evil] });
    expect(page.match(/<\/details>/g)).toHaveLength(1);
    expect(page).not.toContain('a|b');
    expect(summaryOf({ ...run, lint: [] })).not.toContain('Lint');
  });

  it('stay below the limit of GitHub with thousands of them', () => {
    const lint = Array.from({ length: 20_000 }, (_, index) => finding('no-healthcheck', index));
    const summary = summaryOf({ ...run, lint });
    expect(Buffer.byteLength(summary)).toBeLessThan(1_000_000);
    expect(summary).toContain('and 19500 more');
  });

  it('have them in the file, whole', () => {
    const { lint } = JSON.parse(reportOf(run)) as { lint: readonly Finding[] };
    expect(lint).toEqual(MANY);
    expect(Object.keys(lint[0]!).sort()).toEqual(
      ['file', 'id', 'level', 'line', 'mend', 'message', 'service'].sort(),
    );
  });
});

describe('lint-ignore', () => {
  const parse = (text: string): readonly string[] =>
    parseInputs(
      (name) =>
        ({ stack: 'shop', host: 'local', 'lint-ignore': text })[name as string] ??
        inputDefaults[name],
      { agentSocket: undefined },
    ).lintIgnore;

  it('takes ids, one per line', () => {
    expect(parse('')).toEqual([]);
    expect(parse('\n mutable-tag \n\n ignored-build\nmutable-tag\n')).toEqual([
      'mutable-tag',
      'ignored-build',
    ]);
    expect(parse(RULE_IDS.join('\n'))).toEqual(RULE_IDS);
  });

  it('names what may have been meant by one that there is not, and in which line', () => {
    let caught: unknown;
    try {
      parse('mutable-tag\ncontainer_name\nno-healtcheck');
    } catch (error) {
      caught = error;
    }
    if (!(caught instanceof InvalidInput)) throw new Error('accepted');
    expect(caught.problems.map(({ reason, message, hint }) => [reason, message, hint])).toEqual([
      [
        'input-invalid',
        'input lint-ignore, line 2: "container_name" is not a rule of the lint',
        expect.stringMatching(/^Near it: ignored-container-name, .*docs\/lint\.md/),
      ],
      [
        'input-invalid',
        'input lint-ignore, line 3: "no-healtcheck" is not a rule of the lint',
        expect.stringMatching(/^Near it: no-healthcheck, /),
      ],
    ]);
  });

  it('knows parts of names, too', () => {
    expect(nearest('volume', RULE_IDS).slice(0, 2)).toEqual([
      'engine-volume-subpath',
      'local-volume-moves',
    ]);
  });

  it('knows an id by any part of it, before those that only look like it', () => {
    const names = ['abcd', 'long-winding-abcx-name', 'abce'];
    expect(nearest('abcx', names)[0]).toBe('long-winding-abcx-name');
    expect(nearest('Winding_ABCX', names)[0]).toBe('long-winding-abcx-name');
    for (const id of RULE_IDS)
      for (const part of [id.slice(id.indexOf('-') + 1), id.slice(0, id.lastIndexOf('-'))])
        expect(
          nearest(part.replaceAll('-', '_'), RULE_IDS).some((each) => each.includes(part)),
        ).toBe(true);
  });

  it('is not slow on what is no id at all', () => {
    expect(nearest('x'.repeat(1_000_000), RULE_IDS)).toHaveLength(3);
  });
});

describe('logins that expire', () => {
  const of = (registry: string, username: string, password: string): string | undefined =>
    expiry(registry, username, (prefix) => password.startsWith(prefix));

  it.each([
    ['ghcr.io', 'octocat', 'ghs_abc'],
    ['123456789012.dkr.ecr.eu-west-1.amazonaws.com', 'AWS', 'x'],
    ['public.ecr.aws', 'AWS', 'x'],
    ['europe-docker.pkg.dev', 'oauth2accesstoken', 'x'],
    ['shop.azurecr.io', '00000000-0000-0000-0000-000000000000', 'x'],
  ])('%s as %s', (registry, username, password) => {
    expect(of(registry, username, password)).toMatch(/which ends (?:with|after) /);
  });

  it.each([
    ['ghcr.io', 'octocat', 'ghp_abc'],
    ['', 'AWS', 'x'],
    ['europe-docker.pkg.dev', '_json_key', '{}'],
    ['shop.azurecr.io', 'deploy', 'x'],
    ['registry.example.com', 'AWS', 'x'],
  ])('%s as %s lasts', (registry, username, password) => {
    expect(of(registry, username, password)).toBeUndefined();
  });

  it.each([
    ['nginx', ''],
    ['team/app:1', ''],
    ['docker.io/library/nginx', ''],
    ['index.docker.io/team/app', ''],
    ['localhost/app', 'localhost'],
    ['ghcr.io/team/app@sha256:0', 'ghcr.io'],
    ['10.0.0.1:5000/app', '10.0.0.1:5000'],
  ])('the registry of %s is "%s"', (image, registry) => {
    expect(registryOf(image)).toBe(registry);
  });
});

describe('durations as Go writes them', () => {
  it.each([
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['250ms', 250],
    ['1000000ns', 1],
    ['0', 0],
    ['10', undefined],
    ['', undefined],
    ['1m 30s', undefined],
    ['-5s', undefined],
    [undefined, undefined],
  ])('%s', (text, ms) => {
    expect(durationMs(text)).toBe(ms);
  });
});
