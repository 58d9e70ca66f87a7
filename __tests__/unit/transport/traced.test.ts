import { expect, it } from '@jest/globals';
import { PassThrough } from 'node:stream';
import { traced } from '../../../src/transport/traced.js';
import type { Transport } from '../../../src/transport/transport.js';

const transport: Transport = {
  description: 'local',
  run: (argv) =>
    argv[0] === 'gone'
      ? Promise.reject(new Error('connection lost'))
      : Promise.resolve({ code: 3, stdout: Buffer.from('four'), stderr: Buffer.alloc(2) }),
  open: () => Promise.resolve(new PassThrough()),
  close: () => Promise.resolve(),
};

it('tells of every command how it ended, and nothing of what went into it', async () => {
  const lines: string[] = [];
  const seen = traced(transport, (line) => lines.push(line.replace(/[\d.]+ ms$/, 'N ms')));
  await seen.run(
    [
      'docker',
      'stack',
      'deploy',
      '-c',
      'a file',
      'x'.repeat(500),
      ...Array<string>(99).fill('argument'),
    ],
    {
      input: 'hunter2',
    },
  );
  await expect(seen.run(['gone'])).rejects.toThrow('connection lost');
  await seen.open(['docker', 'system', 'dial-stdio']);
  expect(lines).toEqual([
    expect.stringMatching(
      /^command: docker stack deploy -c "a file" \(500 characters\)( argument){50,} ?\w*\.\.\. -> exit code 3, 6 bytes, N ms$/,
    ),
    'command: gone -> connection lost, N ms',
    'stream: docker system dial-stdio -> open, N ms',
  ]);
  expect(lines.join()).not.toContain('hunter2');
});
