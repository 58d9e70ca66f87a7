import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import {
  fingerprintOf,
  openingFrom,
  openingParts,
  sealedFrom,
  sealedParts,
  type OpeningContent,
  type SealedContent,
} from '../../../src/ledger/content.js';
import type { Json, ServiceSpec } from '../../../src/model.js';

const ENGINE_20_10_TAKES = 500 * 1024;

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    '\u0000',
    '\ud800',
    '\u2028',
    '"\\',
    ': 12345678901234567890',
    '🚀',
    '${x}',
  ),
);
const bigint = fc
  .bigInt({ min: -(2n ** 63n), max: 2n ** 64n })
  .filter((value) => value > 2n ** 53n || value < -(2n ** 53n));
const exact = fc.oneof(bigint, fc.integer(), fc.constantFrom(2n ** 63n - 1n, 9007199254740993n));
const json: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, 0.1, 1.5e300),
    exact,
    hostile,
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(hostile, tie('json'), { maxKeys: 4 }),
  ),
})).json;
const spec = fc
  .tuple(hostile, fc.dictionary(hostile, json, { maxKeys: 5, noNullPrototype: true }))
  .map(([Name, rest]): ServiceSpec => ({ ...rest, Name }));
const service = fc.record({ name: hostile, spec });
const network = fc.record({ id: hostile, name: hostile });

const opening: fc.Arbitrary<OpeningContent> = fc.record({
  files: fc.array(fc.record({ name: hostile, text: hostile }), { maxLength: 4 }),
  attachments: fc.array(
    fc.record({
      name: hostile,
      content: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    }),
    { maxLength: 4 },
  ),
});
const sealed: fc.Arbitrary<SealedContent> = fc.record({
  services: fc.array(service, { maxLength: 4 }),
  networks: fc.array(network, { maxLength: 3 }),
  others: fc.array(fc.oneof(service, fc.record({ name: hostile })), { maxLength: 3 }),
  pinned: hostile,
});

/** Does not compress: as large in parts as it is. */
const noise = (bytes: number): OpeningContent => ({
  files: [{ name: 'docker-stack.yml', text: 'services: {}\n' }],
  attachments: [{ name: 'noise', content: randomBytes(bytes) }],
});

const api = (
  more: Record<string, Json> = {},
  template: Record<string, Json> = {},
): SealedContent => ({
  services: [
    {
      name: 'shop_api',
      spec: {
        Name: 'shop_api',
        Labels: { a: '1', b: '2' },
        TaskTemplate: {
          ContainerSpec: { Image: 'api:1@sha256:00' },
          Networks: [{ Target: 'net1' }],
          ForceUpdate: 0,
          ...template,
        },
        ...more,
      },
    },
  ],
  networks: [{ id: 'net1', name: 'shop_default' }],
  others: [],
  pinned: '',
});

describe('the parts of a content', () => {
  it('give it back exactly', () => {
    fc.assert(
      fc.property(opening, (content) => {
        expect(openingFrom(openingParts(content))).toEqual(content);
      }),
    );
    fc.assert(
      fc.property(sealed, (content) => {
        expect(sealedFrom(sealedParts(content))).toEqual(content);
      }),
      { numRuns: 500 },
    );
  });

  it('keep integers exact that no double holds', () => {
    const content = api({ Limit: 9223372036854775807n, Odd: -9007199254740993n, Small: 5 });
    expect(sealedFrom(sealedParts(content))?.services[0]?.spec).toEqual(content.services[0]?.spec);
  });

  it('are read where they name the services beside those of the files only, as older ones do', () => {
    const older = gzipSync('{"services":[],"networks":[],"others":["shop_old"],"pinned":""}');
    expect(sealedFrom([older])?.others).toEqual([{ name: 'shop_old' }]);
  });

  it('leave out what is no part of it, as the place where an attachment was read', () => {
    const attachment = { name: 'a', content: Buffer.from('x'), origin: '/home/ada/secret-place' };
    const parts = openingParts({ files: [], attachments: [attachment] });
    expect(openingFrom(parts)?.attachments).toEqual([{ name: 'a', content: Buffer.from('x') }]);
  });

  it.each([0, 1, 290_000, 310_000, 1_500_000])(
    'are as many as %i bytes take, each of a size that the engine takes',
    (bytes) => {
      const content = noise(bytes);
      const parts = openingParts(content);
      for (const part of parts) {
        expect(part.length).toBeGreaterThan(0);
        expect(part.length).toBeLessThan(ENGINE_20_10_TAKES);
      }
      expect(parts.length).toBe(Math.max(1, Math.ceil(Buffer.concat(parts).length / 400_000)));
      // Comparing large buffers byte by byte takes seconds.
      const [original, back] = [content, openingFrom(parts)].map((each) =>
        each?.attachments[0]?.content.toString('base64'),
      );
      expect(back).toBe(original);
    },
  );

  it('are the same for the same content', () => {
    expect(openingParts(noise(0))).toEqual(openingParts(noise(0)));
  });

  it('are nothing where one is missing, damaged or in the wrong place', () => {
    const parts = openingParts(noise(900_000));
    const [first, second, third] = parts as readonly [Buffer, Buffer, Buffer];
    expect(parts.length).toBeGreaterThanOrEqual(3);
    const flipped = Buffer.from(second);
    flipped.writeUInt8(flipped.readUInt8(1000) ^ 1, 1000);
    for (const damaged of [
      [],
      [first],
      [first, third],
      [second, first, ...parts.slice(2)],
      [first, flipped, ...parts.slice(2)],
      parts.slice(0, -1),
      [Buffer.from('services: {}')],
    ])
      expect(openingFrom(damaged)).toBeUndefined();
  });

  it('are nothing where they hold something else', () => {
    fc.assert(
      fc.property(json, (other) => {
        const text = JSON.stringify(other, (_, value: unknown) =>
          typeof value === 'bigint' ? String(value) : value,
        );
        expect(openingFrom([gzipSync(text)])).toBeUndefined();
        expect(sealedFrom([gzipSync(text)])).toBeUndefined();
      }),
    );
    expect(sealedFrom(openingParts(noise(0)))).toBeUndefined();
    expect(openingFrom([gzipSync('{"files":[{"name":1,"text":""}],"attachments":[]}')])).toBe(
      undefined,
    );
  });
});

describe('fingerprintOf', () => {
  it('is the same for the same specs, however they are told', () => {
    const told = api();
    const anew: SealedContent = {
      ...told,
      services: told.services.map(({ name, spec: { Name, ...rest } }) => ({
        name,
        spec: { ...Object.fromEntries(Object.entries(rest).reverse()), Name },
      })),
      pinned: 'else',
    };
    expect(fingerprintOf(anew)).toBe(fingerprintOf(told));
    expect(fingerprintOf(told)).toMatch(/^[\da-f]{32}$/);
  });

  it('stays what it was, as revisions in the swarm have it as a label', () => {
    const [first] = api().services as [SealedContent['services'][number]];
    const two = { ...api(), others: [{ name: 'shop_worker' }, { ...first, name: 'shop_b' }] };
    expect(fingerprintOf(two)).toBe('0dfb98d9aec6cd6b9d3a5e1adb31843d');
    expect(fingerprintOf({ ...api(), services: [] })).toBe('4f53cda18c2baa0c0354bb5f9a3ecbe5');
  });

  it('does not depend on the order of services', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(service, { maxLength: 4, selector: ({ name }) => name }),
        (list) => {
          const content = { ...api(), services: list };
          const reversed = { ...api(), services: [...list].reverse() };
          expect(fingerprintOf(reversed)).toBe(fingerprintOf(content));
        },
      ),
    );
  });

  it('is that of the stack as a whole, whichever of its services a file had', () => {
    const [{ name, spec }] = api().services as [SealedContent['services'][number]];
    const worker = { name: 'shop_worker', spec: { ...spec, Name: 'shop_worker' } };
    const first = { ...api(), others: [worker] };
    expect(fingerprintOf(first)).not.toBe(fingerprintOf(api()));
    const second = { ...api(), services: [worker], others: [{ name, spec }] };
    expect(fingerprintOf(second)).toBe(fingerprintOf(first));
    const moved = { ...worker, spec: { ...worker.spec, Labels: {} } };
    expect(fingerprintOf({ ...first, others: [moved] })).not.toBe(fingerprintOf(first));
  });

  it('outlives that networks are created anew and tasks are restarted by hand', () => {
    const anew = {
      ...api({}, { Networks: [{ Target: 'net2' }], ForceUpdate: 3 }),
      networks: [{ id: 'net2', name: 'shop_default' }],
    };
    expect(fingerprintOf(anew)).toBe(fingerprintOf(api()));
  });

  it.each([
    ['another digest', api({}, { ContainerSpec: { Image: 'api:1@sha256:01' } })],
    ['another label', api({ Labels: { a: '1', b: '3' } })],
    ['another network', { ...api(), networks: [{ id: 'net1', name: 'shop_other' }] }],
    ['a service more', { ...api(), services: [...api().services, ...api().services] }],
    ['a service of another name', { ...api(), services: [{ ...api().services[0]!, name: 'b' }] }],
    ['none', { ...api(), services: [] }],
  ])('tells %s', (_, other) => {
    expect(fingerprintOf(other)).not.toBe(fingerprintOf(api()));
  });
});
