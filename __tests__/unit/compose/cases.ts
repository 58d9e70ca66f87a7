/**
 * Cases as text files: sections that start with `=== <kind> <name> [flags]`. What is under
 * `rendered` was proved by fixtures/prove.mjs to mean the same to Docker's own client as the
 * originals do with the variables in its environment.
 */
export interface Case {
  readonly variables: Readonly<Record<string, string>>;
  readonly stackFiles: ReadonlyMap<string, Buffer>;
  readonly otherFiles: ReadonlyMap<string, Buffer>;
  /** The sections in front of the first rendered one, as they are. */
  readonly given: string;
  readonly rendered: ReadonlyMap<string, string>;
}

export function parseCase(text: string): Case {
  const stackFiles = new Map<string, Buffer>();
  const otherFiles = new Map<string, Buffer>();
  const rendered = new Map<string, string>();
  let variables: Record<string, string> = {};
  const marker = /^=== (\w+) ?(\S*) ?(.*)\n/gm;
  const heads = [...text.matchAll(marker)];
  for (const [index, head] of heads.entries()) {
    const body = text.slice(head.index + head[0].length, heads[index + 1]?.index);
    const [, kind = '', name = '', flags = ''] = head;
    if (kind === 'variables') variables = JSON.parse(body) as Record<string, string>;
    else if (kind === 'stack') stackFiles.set(name, encode(body, flags));
    else if (kind === 'file') otherFiles.set(name, encode(body, flags));
    else rendered.set(name, body);
  }
  const given = text.slice(0, heads.find(([, kind]) => kind === 'rendered')?.index);
  return { variables, stackFiles, otherFiles, given, rendered };
}

/** What git or an editor would not keep in a file is told by flags: crlf, bom, utf16le. */
function encode(body: string, flags: string): Buffer {
  const lines = flags.includes('crlf') ? body.replaceAll('\n', '\r\n') : body;
  const marked = flags.includes('bom') ? `\ufeff${lines}` : lines;
  return Buffer.from(marked, flags.includes('utf16le') ? 'utf16le' : 'utf8');
}

export function formatRendered(files: ReadonlyMap<string, string>): string {
  return [...files].map(([name, text]) => `=== rendered ${name}\n${text}`).join('');
}
