/**
 * Argument vectors as one command line: an SSH `exec` request carries a single string that the
 * login shell of the remote user parses, so every byte that we mean has to survive that shell.
 */

/**
 * Quotes one argument so that a POSIX shell reads back exactly this text.
 *
 * Quotes and backslashes stand outside of the single quotes, escaped one by one: a POSIX shell
 * would not need that for the backslash, but fish, a login shell that people do have, gives `\'`
 * and `\\` a meaning inside of single quotes.
 * @throws RangeError for text that no command line can carry: NUL, which ends a C string, and half
 *   a surrogate pair, which has no UTF-8 form and would arrive as another character
 */
export function quoteArgument(argument: string): string {
  if (argument.includes('\0')) {
    throw new RangeError('an argument of a command holds a NUL character, which can not be passed');
  }
  if (/\p{Surrogate}/u.test(argument)) {
    throw new RangeError('an argument of a command holds a broken character (half a UTF-16 pair)');
  }
  return `'${argument.replace(/['\\]/g, "'\\$&'")}'`;
}

/** Linux takes no single argument of this many bytes or more (MAX_ARG_STRLEN, 32 pages). */
const LONGEST_LINE = 131_072;

/** What csh, a login shell too, gives a meaning inside of single quotes. */
const HARD = /[!\n\r]/;

/**
 * The same line, spoken by `sh`, in signs that every login shell leaves alone between single quotes.
 * All of a line ends with a quote, so that no line feed is lost at its end.
 */
function spelledOut(line: string): string {
  const octal = (byte: number): string => `\\${byte.toString(8).padStart(3, '0')}`;
  const spelled = line.replace(/[^\w ./:=,@+-]/gu, (sign) =>
    [...Buffer.from(sign)].map(octal).join(''),
  );
  return `'sh' '-c' 'eval "$(printf "${spelled}")"'`;
}

/**
 * One line for a login shell that runs `argv[0]` with the other items as its arguments. The program
 * is quoted too, so that no alias, keyword or assignment is found in its name.
 * @throws RangeError as `quoteArgument`, for an empty vector, and for a line so long that no shell
 *   could be started with it
 */
export function commandLine(argv: readonly string[]): string {
  if (argv.length === 0) throw new RangeError('a command needs a program');
  const plain = argv.map(quoteArgument).join(' ');
  const line = HARD.test(plain) ? spelledOut(plain) : plain;
  if (Buffer.byteLength(line) >= LONGEST_LINE) {
    throw new RangeError(`the command line of "${commandTitle(argv)}" is longer than 128 KiB`);
  }
  return line;
}

/**
 * A short name of a command for messages: the program and up to two words that follow, without
 * options and what stands in front of docker, as `docker stack deploy`. Never more: what follows
 * may be long, or nobody's business.
 */
export function commandTitle(argv: readonly string[]): string {
  const title: string[] = [];
  const words = argv.slice(Math.max(argv.indexOf('docker'), 0));
  for (let index = 0; index < words.length && title.length < 3; index += 1) {
    const word = words[index] ?? '';
    if (word.startsWith('--')) index += word.includes('=') ? 0 : 1;
    else if (!/^[\w./-]+$/.test(word)) break;
    else if (!word.startsWith('-')) title.push(word);
  }
  return title.join(' ');
}
