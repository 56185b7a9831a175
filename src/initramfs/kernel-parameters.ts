/** A word of a kernel's command line; a name without `=` has the empty text for its value. */
export type KernelParameter = readonly [name: string, value: string];

/**
 * The parameters of a command line, as Linux takes it apart (next_arg in lib/cmdline.c): quotes keep blanks in a word, and
 * what follows `--` is for init. In names, `-` is `_`.
 */
export function kernelParameters(commandLine: string): KernelParameter[] {
  const words: readonly string[] = commandLine.match(/(?:"[^"]*(?:"|$)|[^\s"])+/g) ?? [];
  const end = words.indexOf('--');
  return (end === -1 ? words : words.slice(0, end)).map(parameter);
}

/** The last of several with the same name is the one that counts. */
export function lastValue(parameters: readonly KernelParameter[], name: string): string | undefined {
  return parameters.findLast((each) => each[0] === name)?.[1];
}

/** A quote before the whole word or before the value goes, and one behind it. */
function parameter(word: string): KernelParameter {
  const text = unquoted(word);
  const equals = text.indexOf('=');
  if (equals <= 0) return [underscored(text), ''];
  return [underscored(text.slice(0, equals)), unquoted(text.slice(equals + 1))];
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1).replace(/"$/, '') : text;
}

function underscored(name: string): string {
  return name.replaceAll('-', '_');
}
