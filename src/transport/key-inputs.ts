/** Names of the inputs that a private key came from, for the messages. */
export interface KeyInputs {
  readonly key: string;
  readonly passphrase: string;
}

/** Those of the managers. */
export const KEY_INPUTS: KeyInputs = { key: 'private-key', passphrase: 'passphrase' };
/** Those of the bastion. */
export const JUMP_KEY_INPUTS: KeyInputs = {
  key: 'jump-private-key',
  passphrase: 'jump-passphrase',
};

/**
 * The text of a key file that was put into its input as base64, as one line or several: secret stores
 * that take no line feeds make people do so. Undefined for any other text.
 */
export function keyInBase64(text: string): string | undefined {
  const packed = text.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]{40,}={0,2}$/.test(packed)) return undefined;
  const plain = Buffer.from(packed, 'base64').toString('utf8');
  return /^\uFEFF?\s*(-----BEGIN |PuTTY-User-Key-File-)/.test(plain) ? plain : undefined;
}
