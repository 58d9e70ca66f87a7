/** One request of a check: the runner's own way to the stack, as its users come. */
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { addressLimitMs } from '../transport/addresses.js';
import type { Answer } from './check.js';

/** Asks a URL once, and gives its answer or why there is none; throws nothing. */
export type Probe = (url: string, timeoutMs: number, signal: AbortSignal) => Promise<Answer>;

/** Bytes of a body that are read. */
const MAX_BODY = 1024 * 1024;
const CUT = 'the connection was closed before its body had ended';

export const probe: Probe = (url, timeoutMs, signal) =>
  new Promise((resolve) => {
    const request = new URL(url).protocol === 'https:' ? requestHttps : requestHttp;
    const chunks: Buffer[] = [];
    let size = 0;
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      resolve(answer);
      outgoing.destroy();
    };
    let begun: IncomingMessage | undefined;
    const answered = (incoming: IncomingMessage, isWhole: boolean): Answer => ({
      status: incoming.statusCode ?? 0,
      location: incoming.headers.location ?? '',
      body: Buffer.concat(chunks).subarray(0, MAX_BODY).toString('utf8'),
      isWhole,
    });
    /** @param error where nothing of the answer has come @param unfinished where some of it has */
    const broken = (error: string, unfinished: string): void =>
      end(begun === undefined ? { error } : { ...answered(begun, false), unfinished });
    const outgoing = request(url, {
      // A new connection each time: an old one may lead to a task that is gone.
      agent: false,
      signal,
      // An option of the socket, which goes on to it.
      ...{ autoSelectFamilyAttemptTimeout: addressLimitMs(timeoutMs) },
      headers: { 'User-Agent': 'swarm-deploy', Accept: '*/*', 'Accept-Encoding': 'identity' },
    });
    outgoing.on('response', (incoming) => {
      begun = incoming;
      incoming.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= MAX_BODY) end(answered(incoming, false));
      });
      incoming.once('end', () => end(answered(incoming, true)));
      incoming.once('error', (error) => broken(words(error), CUT));
    });
    outgoing.once('error', (error) => broken(words(error), CUT));
    const seconds = Number((timeoutMs / 1000).toFixed(1));
    const timer = setTimeout(
      () =>
        broken(`it did not answer within ${seconds} s`, `its body did not end within ${seconds} s`),
      timeoutMs,
    );
    outgoing.end();
  });

/** What the codes of node and OpenSSL mean. */
const MEANINGS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name cannot be resolved',
  EAI_AGAIN: 'its name cannot be resolved for now',
  ECONNREFUSED: 'the connection was refused: nothing listens there',
  ECONNRESET: 'the connection was closed before an answer came',
  EHOSTUNREACH: 'there is no way to that host from the runner',
  ENETUNREACH: 'there is no way to that network from the runner',
  ETIMEDOUT: 'no connection came about in time',
  EPIPE: 'the connection was closed before an answer came',
  CERT_HAS_EXPIRED: 'its TLS certificate has expired',
  CERT_NOT_YET_VALID: 'its TLS certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'its TLS certificate is self-signed, which the runner does not trust',
  SELF_SIGNED_CERT_IN_CHAIN:
    'its TLS certificate is from an authority that the runner does not trust (NODE_EXTRA_CA_CERTS names more)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its TLS certificate comes without the intermediate one that signed it, or from an authority that the runner does not trust',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its TLS certificate is from an authority that the runner does not trust (NODE_EXTRA_CA_CERTS names more)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its TLS certificate is for another name',
  EPROTO: 'it does not speak TLS there, or not this version',
  HPE_INVALID_CONSTANT: 'it does not speak HTTP there',
};

function words(error: NodeJS.ErrnoException): string {
  // Of a name with several addresses each has its own error.
  const first =
    error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException) : error;
  const code = first.code ?? '';
  const meaning = MEANINGS[code];
  return meaning === undefined ? first.message || code : `${meaning} (${code})`;
}
