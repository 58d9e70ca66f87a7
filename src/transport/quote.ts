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

/**
 * One line for a POSIX shell that runs `argv[0]` with the other items as its arguments. The program
 * is quoted too, so that no alias, keyword or assignment is found in its name.
 * @throws RangeError as `quoteArgument`, and for an empty vector
 */
export function commandLine(argv: readonly string[]): string {
  if (argv.length === 0) throw new RangeError('a command needs a program');
  return argv.map(quoteArgument).join(' ');
}

/**
 * A short name of a command for messages: the program and the words before its first option, as
 * `docker stack deploy`. Never more: what follows may be long, or nobody's business.
 */
export function commandTitle(argv: readonly string[]): string {
  const option = argv.findIndex((word) => word.startsWith('-'));
  return argv.slice(0, Math.min(3, option === -1 ? argv.length : Math.max(option, 1))).join(' ');
}
