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
