/** The configs of a pretended swarm: made, found by id or name, relabelled and removed as Swarm does it. */

/**
 * @typedef {object} Config
 * @property {string} ID
 * @property {{Index: number}} Version
 * @property {{Name: string, Labels: Record<string, string>, Data: string}} Spec
 */

export class Configs {
  #index = 5000;
  #made = 0;
  /** @type {Config[]} */
  #all = [];

  /**
   * @param {string} method
   * @param {string} path without the API's version
   * @param {URLSearchParams} query
   * @param {string} body
   * @returns {[number, unknown]}
   */
  answer(method, path, query, body) {
    const [, , id = '', verb = ''] = path.split('/');
    if (method === 'GET' && id === '') return [200, this.#all];
    if (method === 'POST' && id === 'create') return this.#create(JSON.parse(body));
    const found = this.#all.find(({ ID, Spec }) => ID === id || Spec.Name === id);
    if (found === undefined) return [404, { message: `config ${id} not found` }];
    if (method === 'GET') return [200, found];
    if (method === 'DELETE') {
      this.#all = this.#all.filter((config) => config !== found);
      return [204, ''];
    }
    if (verb !== 'update') return [404, { message: `page not found: ${method} ${path}` }];
    if (query.get('version') !== String(found.Version.Index))
      return [500, { message: 'rpc error: code = Unknown desc = update out of sequence' }];
    found.Version = { Index: (this.#index += 1) };
    found.Spec = { ...found.Spec, Labels: JSON.parse(body).Labels };
    return [200, ''];
  }

  /**
   * @param {Config['Spec']} spec
   * @returns {[number, unknown]}
   */
  #create(spec) {
    if (this.#all.some(({ Spec }) => Spec.Name === spec.Name))
      return [409, { message: `config ${spec.Name} already exists` }];
    const config = {
      ID: `config${(this.#made += 1)}`,
      Version: { Index: (this.#index += 1) },
      Spec: spec,
    };
    this.#all.push(config);
    return [201, { ID: config.ID }];
  }
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @returns {Promise<string>} its body
 */
export async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(/** @type {Buffer} */ (chunk));
  return Buffer.concat(chunks).toString('utf8');
}
