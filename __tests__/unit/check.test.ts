/** `npm run check` finds what it is there for. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { anchors, deadLinks } from '../../scripts/check/pages.mjs';
import { isBundled, licenseProblems, sbom, sbomProblems } from '../../scripts/check/supply.mjs';
import {
  gateProblems,
  lint,
  misuse,
  tooMuch,
  typeProblems,
  unpinned,
} from '../../scripts/check/workflows.mjs';
import { REASONS } from '../../src/errors.js';
import { followers, notesOf, versionOf } from '../../scripts/release/versions.mjs';

const file = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const SHA = '3d3c42e5aac5ba805825da76410c181273ba90b1';
const job = (...lines: string[]): string =>
  ['on: push', 'permissions: {}', 'jobs:', '  one:', '    runs-on: ubuntu-24.04', ...lines].join(
    '\n',
  );
const step = (...lines: string[]): string =>
  job('    timeout-minutes: 5', '    steps:', ...lines.map((line) => `      ${line}`));

describe('workflows', () => {
  it('are linted', async () => {
    const good = step('- run: echo');
    expect(await lint({ path: 'a.yml', text: good })).toEqual([]);
    const bad = step('- run: echo', '  env:', '    X: ${{ steps.none.outputs.x }}');
    expect(await lint({ path: 'a.yml', text: bad })).toEqual([
      expect.stringMatching(/^a\.yml:10: property "none" is not defined/),
    ]);
  });

  it('pin actions by SHA, with a version beside it', () => {
    const pin = (uses: string, path = '.github/workflows/a.yml'): readonly string[] =>
      unpinned({ path, text: step(`- uses: ${uses}`) });
    expect(pin(`actions/checkout@${SHA} # v7.0.1`)).toEqual([]);
    expect(pin('./.github/actions/own')).toEqual([]);
    expect(pin('actions/checkout@v7')).toEqual([expect.stringContaining('not pinned')]);
    expect(pin(`actions/checkout@${SHA.slice(0, 12)} # v7.0.1`)).toHaveLength(1);
    expect(pin(`actions/checkout@${SHA}`)).toEqual([expect.stringContaining('no comment')]);
    expect(pin(`actions/checkout@${SHA} # v7`)).toHaveLength(1);
    expect(pin('org/swarm-deploy@v1', 'examples/a.yml')).toEqual([]);
    expect(pin('org/swarm-deploy@v1')).toHaveLength(1);
    expect(pin('org/swarm-deploy@main', 'examples/a.yml')).toHaveLength(1);
  });

  it('have no more rights than they need, and an end', () => {
    const problems = (text: string): readonly string[] => tooMuch({ path: 'a.yml', text });
    const checkout = [`- uses: actions/checkout@${SHA} # v7.0.1`];
    const kept = [...checkout, '  with:', '    persist-credentials: false'];
    expect(problems(step(...kept))).toEqual([]);
    expect(problems(step(...checkout))).toEqual([expect.stringContaining('persist-credentials')]);
    const loose = step(...kept).replace('permissions: {}\n', '');
    expect(problems(loose)).toEqual([expect.stringContaining('no permissions')]);
    for (const rights of ['write-all', '{ contents: write }'])
      expect(problems(step(...kept).replace('permissions: {}', `permissions: ${rights}`))).toEqual([
        expect.stringContaining('let every job write'),
      ]);
    expect(problems(step(...kept).replace('    timeout-minutes: 5\n', ''))).toEqual([
      expect.stringContaining('timeout-minutes'),
    ]);
    expect(problems(step('- run: echo ${{ github.head_ref }}'))).toEqual([
      expect.stringContaining('an expression in a script'),
    ]);
  });

  it('have a gate that forgets no job', () => {
    const path = '.github/workflows/ci.yml';
    const text = file(path);
    expect(gateProblems({ path, text })).toEqual([]);
    expect(gateProblems({ path, text: text.replace('bundle, dist,', 'bundle,') })).toEqual([
      expect.stringContaining('does not wait for the job dist'),
    ]);
    expect(gateProblems({ path, text: text.replace('    if: always()\n', '') })).toEqual([
      expect.stringContaining('is skipped'),
    ]);
    expect(gateProblems({ path, text: text.replace('"success"', '"failure"') })).toHaveLength(1);
    expect(
      gateProblems({ path, text: text.replace('  dist:\n', '  dist:\n    if: false\n') }),
    ).toEqual([expect.stringContaining('the job dist has an if')]);
    expect(gateProblems({ path, text: text.replace('  gate:\n', '  door:\n') })).toEqual([
      expect.stringContaining('no job gate'),
    ]);
  });
});

describe('examples', () => {
  const action = {
    inputs: { stack: { required: true }, host: { required: true }, env: {} },
    outputs: { outcome: {} },
  };
  const problems = (...lines: string[]): readonly string[] =>
    misuse({ path: 'examples/a.yml', text: step(...lines) }, action);
  const uses = ['- uses: org/swarm-deploy@v1', '  id: deploy', '  with:'];

  it('give inputs that there are, and those that are required', () => {
    expect(problems(...uses, '    stack: shop', '    host: local')).toEqual([]);
    expect(problems(...uses, '    stack: shop', '    hosts: local')).toEqual([
      'examples/a.yml: action.yml has no input hosts',
      'examples/a.yml: the required input host is missing',
    ]);
    expect(problems('- run: echo')).toEqual(['examples/a.yml: no step uses the action']);
  });

  it('read outputs that there are', () => {
    const whole = [...uses, '    stack: shop', '    host: local'];
    const reads = (name: string): string[] => [
      `- if: steps.deploy.outputs.${name} == 'x'`,
      '  run: echo',
    ];
    expect(problems(...whole, ...reads('outcome'))).toEqual([]);
    expect(problems(...whole, ...reads('result'))).toEqual([
      'examples/a.yml: action.yml has no output result',
    ]);
  });
});

describe('action-types.yml', () => {
  const types = file('action-types.yml');
  const action = file('action.yml');

  it('has every input and output of action.yml, and no other', () => {
    expect(typeProblems(types, action)).toEqual([]);
  });

  it('is missed, or wrong, by name', () => {
    const without = types.replace('  stack:\n    type: string\n', '');
    expect(typeProblems(without, action)).toEqual(['action-types.yml: inputs have no stack']);
    const more = types.replace('\noutputs:', '  other:\n    type: string\n\noutputs:');
    expect(typeProblems(more, action)).toEqual([
      expect.stringContaining('has no other among its inputs'),
    ]);
    const enumeration = types.replace('[rollback, keep]', '[keep]');
    expect(typeProblems(enumeration, action)).toEqual([
      'action-types.yml: on-failure is enum, and its default is rollback',
    ]);
    expect(typeProblems(types.replace('type: boolean', 'type: bool'), action)).toEqual([
      expect.stringContaining('has the type bool'),
    ]);
  });
});

describe('links', () => {
  const pages = [
    {
      path: 'README.md',
      text: '# A\n\n[one](docs/b.md#the-second-part) [two](#a) `[x](y)` [out](https://x.example/y)',
    },
    {
      path: 'docs/b.md',
      text: '# B\n\n## The `second` part\n\n## Again\n\n## Again\n\n[up](../README.md) [dir](../docs)',
    },
  ];
  const files = new Set(['README.md', 'docs/b.md', 'docs']);

  it('lead somewhere', () => {
    expect(deadLinks(pages, files)).toEqual([]);
    expect([...anchors(pages[1]?.text ?? '')]).toEqual([
      'b',
      'the-second-part',
      'again',
      'again-1',
    ]);
  });

  it('that lead nowhere are named', () => {
    const text = '[a](docs/c.md) [b](docs/b.md#third) [c](#none)\n\n```\n[d](e)\n```\n';
    expect(deadLinks([{ path: 'README.md', text }, pages[1]!], files)).toEqual([
      'README.md: docs/c.md is not there',
      'README.md: docs/b.md#third: no heading of docs/b.md has this anchor',
      'README.md: #none: no heading of README.md has this anchor',
    ]);
  });
});

describe('docs/troubleshooting.md', () => {
  it('has a section for each reason, and for no other', () => {
    const sections = [...file('docs/troubleshooting.md').matchAll(/^### `([a-z-]+)`$/gm)];
    expect(sections.map(([, reason]) => reason).sort()).toEqual([...REASONS].sort());
  });
});

describe('docs/migrating.md', () => {
  const rows = [...file('docs/migrating.md').matchAll(/^\|([^|\n]*)\|([^|\n]*)\|$/gm)];
  const inputs = Object.keys((parse(file('action.yml')) as { inputs: object }).inputs);

  it('names inputs that there are', () => {
    const named = rows
      .map(([, , here = '']) => here.split(/[(;]|, with|, for/)[0] ?? '')
      .filter((here) => /^ *`/.test(here))
      .flatMap((here) =>
        [...here.matchAll(/`([a-z-]+)(?::[^`]*)?`/g)].map(([, name = '']) => name),
      );
    // What is of a stack file or workflow, and values.
    const others = ['replicas', 'networks', 'image', 'on', 'keep'];
    expect(named.filter((name) => !inputs.includes(name) && !others.includes(name))).toEqual([]);
    expect(named.length).toBeGreaterThan(60);
  });
});

describe('docs/dependencies.md', () => {
  it('says of each runtime dependency why it is there, and what it costs', () => {
    const { dependencies } = JSON.parse(file('package.json')) as {
      dependencies: Record<string, string>;
    };
    const page = file('docs/dependencies.md');
    const reasons = [...page.matchAll(/^\| `([^`]+)` +\|/gm)].map(([, name]) => name);
    const costs = [...page.matchAll(/^\| `([^`]+)` (\S+) +\|/gm)].map(([, ...row]) => row);
    expect(reasons.sort()).toEqual(Object.keys(dependencies).sort());
    expect(costs.filter(([, version]) => /^\d/.test(version ?? ''))).toEqual(
      Object.entries(dependencies),
    );
  });
});

describe('what the bundle is made of', () => {
  const root = new URL('../..', import.meta.url).pathname;

  it('is in the SBOM, the same each time', () => {
    const made = sbom(root);
    expect(sbom(root)).toEqual(made);
    expect(sbomProblems(made, ['ssh2', 'yaml'])).toEqual([]);
    expect(made.components.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['@actions/core', 'ssh2', 'asn1', 'semver', 'yaml']),
    );
    expect(made.components.map(({ name }) => name)).not.toContain('jest');
    expect(sbomProblems(made, ['jest'])).toEqual(['the SBOM does not have jest']);
  });

  it('has its licenses beside it', () => {
    const text = 'asn1\nMIT\nCopyright\n\nshell\nMIT\n\nyaml\nISC\n\n';
    const one = (name: string, license: string, has = true): readonly string[] =>
      licenseProblems(text, [{ name, license, text: has }], ['MIT', 'ISC']);
    expect(one('asn1', 'MIT')).toEqual([]);
    expect(one('shell', 'MIT', false)).toEqual([]);
    expect(one('yaml', 'ISC')).toEqual([expect.stringContaining('no text')]);
    expect(one('other', 'MIT')).toEqual([expect.stringContaining('does not have other')]);
    expect(one('asn1', 'AGPL-3.0')).toEqual(['asn1 has the license AGPL-3.0']);
  });

  it('is told by its code', () => {
    const directory = mkdtempSync(join(tmpdir(), 'swarm-deploy-package-'));
    try {
      mkdirSync(join(directory, 'lib'));
      const line = 'const answer = computeTheAnswerToEverything(question, 42);';
      writeFileSync(join(directory, 'lib', 'index.js'), `'use strict';\n${line}\n`);
      expect(isBundled(`x\n    ${line}\ny`, directory)).toBe(true);
      expect(isBundled('const answer = 1;', directory)).toBe(false);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('a release', () => {
  it('has a version of three numbers', () => {
    expect(versionOf('v1.20.3')).toEqual([1, 20, 3]);
    for (const tag of ['1.2.3', 'v1.2', 'v1.2.3-rc.1', 'v01.2.3', 'v1']) {
      expect(versionOf(tag)).toBeUndefined();
      expect(() => followers(tag, [])).toThrow('is no version');
    }
  });

  it('takes v1 and v1.2 along, never back', () => {
    expect(followers('v1.2.3', ['v1.2.2', 'v1.2.3', 'v1', 'v0.9.0'])).toEqual(['v1', 'v1.2']);
    expect(followers('v1.2.3', ['v1.10.0', 'v1.2.3'])).toEqual(['v1.2']);
    expect(followers('v1.2.3', ['v1.2.4'])).toEqual([]);
    expect(followers('v1.2.3', ['v2.0.0', 'v1.2.3'])).toEqual(['v1', 'v1.2']);
  });

  it('has its notes from the changelog', () => {
    const text = '# Changelog\n\n## 1.2.3 (2026-01-02)\n\n- new\n\n## 1.2.2\n\n- old\n\n## 1.2.1\n';
    expect(notesOf(text, 'v1.2.3')).toBe('- new\n');
    expect(notesOf(text, 'v1.2.2')).toBe('- old\n');
    expect(() => notesOf(text, 'v1.2.1')).toThrow('says nothing about 1.2.1');
    expect(() => notesOf(text, 'v1.2')).toThrow('says nothing about 1.2');
  });
});
