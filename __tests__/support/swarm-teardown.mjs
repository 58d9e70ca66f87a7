/** Runs once after the swarm project: what is to be done, the set-up has decided. */
export default async function teardown() {
  const shared = /** @type {{ swarmTeardown?: () => Promise<void> }} */ (globalThis);
  await shared.swarmTeardown?.();
}
