/** A name with several addresses, of which the runner may reach only some. */

/**
 * Milliseconds for one address of a name before the next is tried; the last one gets the rest. Node's own 250 give
 * up whatever is further away than that, and where the address after it is an IPv6 one, and the runner has no
 * IPv6, as hosted ones have none, nothing is reached at all (tried, 300 ms). A lost packet is sent again after 1 s.
 * @param limitMs for all of them
 */
export const addressLimitMs = (limitMs: number): number =>
  Math.max(250, Math.min(3000, Math.floor(limitMs / 4)));
