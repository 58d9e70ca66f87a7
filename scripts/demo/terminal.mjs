/**
 * What the demo prints: its own words, and the action's log as the Actions page would show it.
 */

const colourful = process.stdout.isTTY === true && !process.env['NO_COLOR'];

/** @param {number} code */
const style = (code) => (/** @type {string} */ text) =>
  colourful ? `\u001b[${code}m${text}\u001b[0m` : text;
export const bold = style(1);
export const dim = style(2);
export const red = style(31);
export const green = style(32);
export const yellow = style(33);
export const cyan = style(36);

/** @param {string} [text] */
export const say = (text = '') => void process.stdout.write(`${text}\n`);

/** @param {string} text one headline, above what it announces */
export function headline(text) {
  say();
  say(bold(cyan(`━━ ${text} ${'━'.repeat(Math.max(3, 96 - text.length))}`)));
}

/**
 * The runner's side of the log: carries out workflow commands and masks what must not be seen.
 * @param {readonly string[]} secrets those of the workflow, which the runner knows beforehand
 * @returns {(line: string) => void}
 */
export function actionsLog(secrets) {
  /** @type {string[]} the longest first, so that none hides a part of another */
  let masks = [];
  let indent = '';
  let resumeToken = '';

  const hide = (/** @type {string} */ secret) => {
    const lines = secret.split(/\r?\n/).map((line) => line.trim());
    const all = [...masks, ...lines.filter((line) => line.length > 3)];
    masks = [...new Set(all)].sort((a, b) => b.length - a.length);
  };
  const show = (/** @type {string} */ text, paint = (/** @type {string} */ words) => words) => {
    const masked = masks.reduce((words, mask) => words.replaceAll(mask, '***'), text);
    for (const line of masked.split('\n')) say(`${dim('│')} ${indent}${paint(line)}`);
  };
  secrets.forEach(hide);

  return (line) => {
    const command = /^::([\w-]+)(?: [^:]*(?::(?!:)[^:]*)*)?::(.*)$/.exec(line);
    const [, name = '', data = ''] = command ?? [];
    if (resumeToken !== '') {
      if (line === `::${resumeToken}::`) resumeToken = '';
      else show(line);
      return;
    }
    const text = decoded(data);
    switch (name) {
      case '':
        show(line);
        break;
      case 'group':
        indent = '';
        show(`▾ ${text}`, bold);
        indent = '  ';
        break;
      case 'endgroup':
        indent = '';
        break;
      case 'add-mask':
        hide(text);
        break;
      case 'stop-commands':
        resumeToken = text;
        break;
      case 'error':
        show(`Error: ${text}`, red);
        break;
      case 'warning':
        show(`Warning: ${text}`, yellow);
        break;
      case 'notice':
        show(`Notice: ${text}`);
        break;
      case 'debug':
        break;
      default:
        show(line);
    }
  };
}

/** @param {string} data of a workflow command, as @actions/core escapes it */
const decoded = (data) =>
  data.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%');
