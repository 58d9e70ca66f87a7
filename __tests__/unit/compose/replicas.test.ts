/** Numbers of replicas put into rendered files: Docker's own client of 28.5 says what they mean. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { scaledServices, withReplicas } from '../../../src/compose/replicas.js';
import { forClient } from '../../../src/compose/version.js';
import type { ServiceSpec } from '../../../src/model.js';
import { stackConfig, withDockerCli, writeFiles } from '../../support/docker-cli.js';

const render = (...texts: readonly string[]): RenderedStack =>
  renderStack({
    files: texts.map((text, index) => ({ path: `${index}.yml`, text: Buffer.from(text) })),
    stack: 'shop',
    variables: new Map([['N', '3']]),
    allowUnset: false,
    workingDirectory: '/nowhere',
    home: undefined,
    readFile: () => 'missing',
  });

const live = (name: string, mode: object): { readonly Spec: ServiceSpec } => ({
  Spec: { Name: `shop_${name}`, Mode: mode } as unknown as ServiceSpec,
});

describe('which services differ', () => {
  const { services } = render(`services:
  api: {image: a, deploy: {replicas: "\${N}"}}
  one: {image: a}
  same: {image: a, deploy: {replicas: 2}}
  agent: {image: a, deploy: {mode: global}}
  job: {image: a, deploy: {mode: replicated-job, replicas: 2}}
  scaled: {image: a, scale: 4}
  new: {image: a, deploy: {replicas: 7}}
`);

  it('goes by what is replicated on both sides', () => {
    const found = scaledServices('shop', services, [
      live('api', { Replicated: { Replicas: 5 } }),
      live('one', { Replicated: { Replicas: 0 } }),
      live('same', { Replicated: { Replicas: 2 } }),
      live('agent', { Replicated: { Replicas: 2 } }),
      live('job', { ReplicatedJob: { MaxConcurrent: 3, TotalCompletions: 3 } }),
      live('scaled', { Replicated: {} }),
      live('other', { Replicated: { Replicas: 9 } }),
    ]);
    expect(found.map(({ service, live: now, written }) => [service, now, written])).toEqual([
      ['api', 5, 3],
      ['one', 0, 1],
      ['scaled', 1, 4],
    ]);
  });
});

const FILES: Readonly<Record<string, readonly string[]>> = {
  plain: [
    'services:\n  api:\n    image: a\n    deploy:\n      replicas: 3 # three\n  web: {image: w}\n',
  ],
  'a variable': ['services:\n  api: {image: a, deploy: {replicas: "${N}", labels: {a: "b"}}}\n'],
  'no number': ['services:\n  api: {image: a}\n  web: {image: w, deploy: {replicas: 2}}\n'],
  scale: ['services:\n  api: {image: a, scale: 2}\n'],
  'several files': [
    'services:\n  api: {image: a, deploy: {replicas: 3, labels: {x: "y"}}}\n',
    'services:\n  api: {deploy: {replicas: 4, resources: {limits: {memory: 64m}}}}\n  web: {image: w}\n',
  ],
  'shared by an anchor': [
    'services:\n  api: &api\n    image: a\n    deploy: &deploy\n      replicas: 3\n  web:\n    <<: *api\n    image: w\n  more: {image: m, deploy: *deploy}\n',
  ],
  'of an anchor elsewhere': [
    'x-deploy: &deploy {replicas: 3, mode: replicated}\nservices:\n  api: {image: a, deploy: *deploy}\n  web: {image: w, deploy: *deploy}\n',
  ],
  // What Docker's merge of two files keeps one of.
  'one port for two protocols': [
    'services:\n  api:\n    image: a\n    ports: ["443:443/tcp", "443:443/udp"]\n    deploy: {replicas: 3}\n  web: {image: w, deploy: {replicas: 2}}\n',
  ],
  'ports without a number of the host': [
    'services:\n  api: {image: a, ports: ["80-82"]}\n  web: {image: w, ports: ["80", {target: 81}]}\n',
  ],
  'a port in a range and outside of it': [
    'services:\n  api: {image: a, ports: ["8000-8002:8000-8002", "8001:8001/udp"]}\n',
  ],
  'a config and a secret at two paths': [
    'services:\n  api:\n    image: a\n    configs: [c, {source: c, target: /d}]\n    deploy: &deploy {replicas: 3}\n  web: {image: w, deploy: *deploy}\nconfigs: {c: {external: true}}\n',
    'services:\n  api: {secrets: [s, {source: s, target: t}]}\nsecrets: {s: {external: true}}\n',
  ],
  'with a version': ['version: "3.8"\nservices:\n  api: {image: a, deploy: {replicas: 3}}\n'],
  'words that look like others': [
    'services:\n  api:\n    image: a\n    user: "010"\n    environment: {A: "yes", B: ~, C: "1e3", D: "a: b #c"}\n    command: [echo, "$$HOME", "{{.Node.ID}}", \'it\'\'s\']\n    deploy: {replicas: 3}\n    configs: [{source: c, mode: 0440}]\nconfigs: {c: {external: true}}\n',
  ],
};

await withDockerCli('28.5', 'the files with another number', (docker) => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'replicas-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  interface Config {
    readonly services: Readonly<Record<string, { deploy?: { replicas?: number } }>>;
  }
  const config = ({ files }: RenderedStack): Config => {
    writeFiles(
      directory,
      files.map(({ name, text }) => [name, text] as const),
    );
    const names = files.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const result = stackConfig(docker, directory, names, {});
    if ('refusal' in result) throw new Error(result.refusal);
    return result.merged as Config;
  };

  for (const [title, texts] of Object.entries(FILES))
    it.each([0, 1, 7])(`mean the same but for that: ${title}, %d`, (number) => {
      const rendered = render(...texts);
      const before = structuredClone(config(rendered));
      const api = before.services['api'];
      if (api === undefined) throw new Error('there is no service api');
      const expected = {
        ...before,
        services: {
          ...before.services,
          api: { ...api, deploy: { ...api.deploy, replicas: number } },
        },
      };
      const after = withReplicas(rendered, new Map([['api', number]]));
      expect(config(after)).toEqual(expected);
      expect(after.services.get('api')?.replicas).toBe(number);
    });

  it('leave no number in the files that a service goes to nothing over, for clients to which 0 is none', () => {
    const [first, second] = FILES['several files'] ?? [];
    const { files } = withReplicas(render(first ?? '', second ?? ''), new Map([['api', 0]]));
    const texts = files.map(({ text }) => text).join('\n');
    expect(texts.match(/replicas: \S+/g)).toEqual(['replicas: 0}}']);
  });

  it('leave none either where it is a later file that says 0', () => {
    const texts = [
      'services:\n  api: {image: a, deploy: {replicas: 3}}\n  web: {image: w, deploy: {replicas: 2}}\n',
      'services:\n  api: {deploy: {replicas: 0}}\n',
    ];
    const rendered = render(...texts);
    expect(config(rendered).services).toMatchObject({
      api: { image: 'a', deploy: { replicas: 0 } },
      web: { deploy: { replicas: 2 } },
    });
    const all = rendered.files.map(({ text }) => text).join('\n');
    expect(all.match(/replicas: \S+/g)).toEqual(['replicas: 2}}', 'replicas: 0}}']);
  });

  it('are all there where numbers are put in twice', () => {
    const rendered = render(
      'services:\n  api: {image: a, ports: ["1:1", "1:1/udp"], deploy: {replicas: 3}}\n  web: {image: w}\n  job: {image: j, deploy: {replicas: 2}}\n',
      'services:\n  api: {deploy: {replicas: 0}}\n  job: {deploy: {replicas: 0}}\n',
    );
    const twice = withReplicas(rendered, new Map(Object.entries({ api: 5, web: 0, job: 4 })));
    expect(config(twice).services).toMatchObject({
      api: { image: 'a', deploy: { replicas: 5 } },
      web: { image: 'w', deploy: { replicas: 0 } },
      job: { image: 'j', deploy: { replicas: 4 } },
    });
  });

  it('have one version for clients that need it', () => {
    const [text = ''] = FILES['plain'] ?? [];
    const { stack } = forClient(withReplicas(render(text), new Map([['api', 0]])), '20.10.24');
    expect(stack.files.map((file) => /^version: (.*)/m.exec(file.text)?.[1])).toEqual([
      '"3.9"',
      '"3.9"',
      '"3.9"',
    ]);
  });
});
