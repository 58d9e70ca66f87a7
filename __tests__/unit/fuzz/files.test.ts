/** Stack files, env files and variables: as text, as bytes, and damaged. */
import { describe, expect } from '@jest/globals';
import fc from 'fast-check';
import { parseDocument } from 'yaml';
import { renderEnvFile } from '../../../src/compose/env-file.js';
import { interpolate } from '../../../src/compose/interpolate.js';
import { renderStack, type RenderedStack } from '../../../src/compose/render.js';
import { collectVariables, parseDotenv } from '../../../src/compose/variables.js';
import { InvalidInput } from '../../../src/errors.js';
import { damaged, fuzz, soup } from '../../support/fuzz.js';

const VARIABLES = new Map([
  ['A', 'value of a'],
  ['EMPTY', ''],
  ['ODD', '"}\n${A}: $$ #'],
]);

const DOLLARS = soup(
  [
    '$',
    '$$',
    '${',
    '}',
    'A',
    'EMPTY',
    'ODD',
    'NONE',
    ':-',
    '-',
    ':?',
    '?',
    ':+',
    '+',
    ' ',
    '\n',
    'x',
  ],
  20,
);

const DOCUMENTS = [
  `services:
  api:
    image: "example/api:\${TAG:-v1}"
    command: ["sh", "-c", "echo $$HOME"]
    environment: {KEY: "\${ODD}", OTHER: 1}
    env_file: [app.env]
    ports: ["8080:80", {target: 90, published: 9090}]
    deploy: {replicas: 2, update_config: {order: start-first, monitor: 5s}}
    configs: [{source: c, target: /c, mode: 0444}]
    secrets: [s]
configs: {c: {content: "a \${A}\\n"}}
secrets: {s: {environment: A}}
networks: {default: {driver: overlay}}
`,
  `# comment
x-common: &common
  image: web:v1
  healthcheck: {test: [CMD, "true"], interval: 10s}
services:
  one: {<<: *common, depends_on: {two: {condition: service_healthy}}}
  two:
    <<: *common
    environment:
      - A
      - B=2
    volumes: ["data:/data:ro", {type: bind, source: /a, target: /b}]
  three: {image: "x:1", profiles: [extra]}
volumes: {data: {}}
`,
];
const YAML = soup([
  ...[
    'services:\n',
    '  a:\n',
    '    image: x\n',
    '    ',
    '  ',
    '\n',
    '- ',
    ': ',
    '{',
    '}',
    '[',
    ']',
  ],
  ...[
    'deploy: ',
    'replicas: ',
    'environment: ',
    'command: ',
    'configs: ',
    'secrets: ',
    'env_file: ',
  ],
  ...[
    '&a ',
    '*a',
    '<<: *a',
    '!reset null',
    '!!binary ',
    '|\n',
    '>-\n',
    '"',
    "'",
    '#',
    '---\n',
    '%',
  ],
  ...[
    'null',
    '~',
    '1',
    '0x1f',
    '.inf',
    'yes',
    '1e999',
    '${A}',
    '${',
    '$',
    '\t',
    '\u0000',
    '\u2028',
  ],
]);

function render(text: Uint8Array): RenderedStack | InvalidInput {
  try {
    return renderStack({
      files: [{ path: 'compose.yaml', text: Buffer.from(text) }],
      stack: 'shop',
      variables: VARIABLES,
      allowUnset: false,
      workingDirectory: '/work',
      home: '/home/me',
      readFile: (path) => (path.endsWith('.env') ? Buffer.from('A=1\nB="2') : 'missing'),
    });
  } catch (error) {
    if (error instanceof InvalidInput) return error;
    throw error;
  }
}

describe('variables', () => {
  fuzz(
    'text without a dollar stays as it is, and any other gives a value or says what is wrong',
    10,
    fc.property(DOLLARS, (text) => {
      const { value, faults } = interpolate(text, VARIABLES);
      expect(typeof value).toBe('string');
      for (const { expression } of faults) expect(text).toContain(expression);
      const plain = text.replaceAll('$', '');
      expect(interpolate(plain, VARIABLES)).toMatchObject({ value: plain, faults: [] });
      // Doubled, every dollar is one dollar.
      expect(interpolate(text.replaceAll('$', '$$$$'), VARIABLES)).toMatchObject({
        value: text,
        faults: [],
      });
    }),
  );

  const LINES = soup([
    ...['A=', 'B: ', 'export ', 'KEY', '=', '"', "'", '\\', '\\n', '$A', '${', '}', '#', ' #', ' '],
    ...['\n', '\r\n', '\t', '\ufeff', 'é'],
  ]);
  fuzz(
    'dotenv files of any bytes',
    8,
    fc.property(
      fc.oneof(
        LINES.map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      ),
      (text) => {
        const file = { path: '.env', text };
        const { values, problems } = parseDotenv(file, VARIABLES);
        for (const [name, value] of values)
          expect([typeof name, typeof value]).toEqual(['string', 'string']);
        const lines = text.toString('utf8').split('\n').length;
        for (const { position } of problems) expect(position?.line ?? 1).toBeLessThanOrEqual(lines);
        renderEnvFile(file, VARIABLES);
        const all = collectVariables({
          env: new Map([['A', 'wins']]),
          envFiles: [file],
          environment: { A: 'loses' },
          allowUnset: true,
        });
        expect(all.variables.get('A')).toBe('wins');
      },
    ),
  );
});

describe('stack files', () => {
  let rendered = 0;
  const property = fc.property(
    fc.oneof(
      { weight: 3, arbitrary: damaged(DOCUMENTS) },
      { weight: 2, arbitrary: YAML.map((text) => Buffer.from(text)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)) },
    ),
    (text) => {
      const result = render(text);
      if (result instanceof InvalidInput) {
        const lines = text.toString('utf8').split(/\r\n|\n|\r/).length;
        expect(result.problems.length).toBeGreaterThan(0);
        for (const { position } of result.problems)
          expect(position?.line ?? 1).toBeLessThanOrEqual(lines);
        return;
      }
      rendered += 1;
      for (const { text: out } of result.files) {
        // What goes to Docker is YAML, and no variable is left to be filled in there.
        expect(parseDocument(out, { merge: true, version: '1.1' }).errors).toEqual([]);
        expect(out).not.toContain('value of a: $$ #');
      }
    },
  );
  fuzz('of any bytes are rendered to YAML, or refused with every place in the file', 6, property);
  fuzz(
    'are rendered at all where nothing is damaged',
    0.1,
    fc.property(fc.constantFrom(...DOCUMENTS), (document) => {
      expect(render(Buffer.from(document))).not.toBeInstanceOf(InvalidInput);
      expect(rendered).toBeGreaterThan(0);
    }),
  );
});
