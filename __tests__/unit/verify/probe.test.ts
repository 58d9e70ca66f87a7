import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer, Socket, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { probe } from '../../../src/verify/probe.js';

let server: Server;
let reply: RequestListener;
let url: string;

beforeEach(async () => {
  reply = (_, response) => response.end('well');
  server = createServer((request, response) => reply(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const ask = (target = url, timeoutMs = 5000, signal = new AbortController().signal) =>
  probe(target, timeoutMs, signal);

describe('one request', () => {
  it('gives status, body and where it leads', async () => {
    reply = (_, response) => {
      response.writeHead(302, { Location: '/login' }).end('elsewhere');
    };
    expect(await ask()).toEqual({
      ...{ status: 302, location: '/login', body: 'elsewhere', isWhole: true },
    });
  });

  it('logs in with what stands in the URL, and asks for the plain text', async () => {
    const seen: (string | undefined)[] = [];
    reply = ({ headers }, response) => {
      seen.push(headers.authorization, headers['accept-encoding']?.toString());
      response.end();
    };
    await ask(url.replace('//', '//me:ge%40heim@'));
    expect(seen).toEqual([`Basic ${Buffer.from('me:ge@heim').toString('base64')}`, 'identity']);
  });

  it('gives each address of a name time for the other side of the world', async () => {
    const connect = jest.spyOn(Socket.prototype, 'connect');
    try {
      await ask(url, 10_000);
      expect(connect.mock.calls.flat(2)).toContainEqual(
        expect.objectContaining({ autoSelectFamilyAttemptTimeout: 2500 }),
      );
    } finally {
      connect.mockRestore();
    }
  });

  it('reads a body without an end no further than a MiB', async () => {
    reply = (_, response) => {
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(65536), () => setImmediate(more));
      };
      more();
    };
    const answer = await ask();
    expect(answer).toMatchObject({ status: 200, isWhole: false });
    expect('body' in answer && answer.body.length).toBe(1024 * 1024);
  });

  it('ends where there is no answer in time, or half of one', async () => {
    reply = () => undefined;
    expect(await ask(url, 100)).toEqual({ error: 'it did not answer within 0.1 s' });
    const half = { status: 200, location: '', body: 'half', isWhole: false };
    reply = (_, response) => response.write('half');
    expect(await ask(url, 300)).toEqual({
      ...half,
      unfinished: 'its body did not end within 0.3 s',
    });
    reply = (_, response) => response.write('half', () => response.destroy());
    expect(await ask()).toEqual({
      ...half,
      unfinished: 'the connection was closed before its body had ended',
    });
  });

  it('ends where the run is cancelled', async () => {
    const cancel = new AbortController();
    reply = () => cancel.abort();
    expect(await ask(url, 60_000, cancel.signal)).toEqual({ error: expect.any(String) as unknown });
  });

  it('says in plain words why there is none', async () => {
    expect(await ask('http://127.0.0.1:1/')).toEqual({
      error: 'the connection was refused: nothing listens there (ECONNREFUSED)',
    });
    expect(await ask('http://nowhere.invalid/')).toEqual({
      error: expect.stringContaining('its name cannot be resolved') as unknown,
    });
    reply = ({ socket }) => socket.destroy();
    expect(await ask()).toEqual({
      error: 'the connection was closed before an answer came (ECONNRESET)',
    });
    expect(await ask(url.replace('http:', 'https:'))).toEqual({
      error: expect.stringContaining('does not speak TLS') as unknown,
    });
  });

  it('of something that speaks no HTTP says so', async () => {
    const other = createTcpServer((socket) => socket.end('220 smtp.example ESMTP\r\n'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expect(await ask(`http://127.0.0.1:${port}/`)).toEqual({
      error: expect.stringContaining('does not speak HTTP') as unknown,
    });
    other.close();
  });

  it('trusts no certificate that the runner does not', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'verify-'));
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-keyout', key, '-out', cert, '-days', '1', '-subj', '/CN=localhost'],
      ],
      { stdio: 'ignore' },
    );
    const secure = createTlsServer(
      { key: readFileSync(key), cert: readFileSync(cert) },
      (_, response) => response.end(),
    );
    secure.listen(0, '127.0.0.1');
    await once(secure, 'listening');
    const { port } = secure.address() as AddressInfo;
    expect(await ask(`https://127.0.0.1:${port}/`)).toEqual({
      error:
        'its TLS certificate is self-signed, which the runner does not trust (DEPTH_ZERO_SELF_SIGNED_CERT)',
    });
    secure.close();
    rmSync(directory, { recursive: true });
  });
});
