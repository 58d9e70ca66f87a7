/** The failure dossier in the step summary: markdown that is safe whatever a container wrote. */
import type { Dossier, Verification } from './dossier.js';
import { code, safeCell } from './text.js';

/**
 * What failed and why, most important first; '' where nothing did.
 * @param verification the checks of `verify`
 */
export function dossierSection(
  dossier: Dossier,
  verification: readonly Verification[] = [],
): string {
  const failed = verification.filter(({ ok }) => !ok);
  if (dossier.length + failed.length === 0) return '';
  return [
    '### What failed',
    '',
    ...dossier.flatMap(({ service, cause, mend, place }) => [
      `**${safeCell(service)}**: ${safeCell(cause)}`,
      '',
      ...(place === undefined ? [] : [`Where: ${code(`${place.file}:${place.line}`)}`, '']),
      `**Mend:** ${safeCell(mend)}`,
      '',
    ]),
    ...failed.map(({ url, error }) => `- ${code(url)}: ${safeCell(error)}`),
    '',
  ].join('\n');
}
