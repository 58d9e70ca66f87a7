/** The summaries of all acts as one page. */
import { renderSummary, SUMMARY_CSS } from '../render-summary.mjs';

/**
 * @param {readonly {title: string, summary: string}[]} acts
 * @returns {string} a whole HTML page that needs nothing else
 */
export function summaryPage(acts) {
  const sections = acts.map(
    ({ title, summary }) =>
      `<section>\n<h2 class="act">${title}</h2>\n<article class="summary">\n${renderSummary(summary)}</article>\n</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>swarm-deploy: the step summaries of the demo</title>
<style>${SUMMARY_CSS}
main { max-width: 1012px; margin: 0 auto; padding: 32px 24px 48px; }
main > h1 { margin: 0 0 4px; font-size: 1.5em; font-weight: 600; }
main > p { margin: 0; color: var(--muted); }
.act { margin: 32px 0 8px; font-size: 1em; font-weight: 600; color: var(--muted); }
</style>
</head>
<body>
<main>
<h1>swarm-deploy</h1>
<p>What the action wrote into the step summary, deploy by deploy.</p>
${sections.join('\n')}
</main>
</body>
</html>
`;
}
