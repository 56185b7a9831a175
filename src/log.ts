/** What the VMM has to say besides errors. Where it goes is for the program around the VM to decide. */
const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LEVELS)[number];

/** `message` is one line without its end. */
export type Log = (level: LogLevel, message: string) => void;

/** A log that passes on what is at least as important as `least`. */
export function filteredLog(least: LogLevel | 'off', write: Log): Log {
  const limit = least === 'off' ? -1 : LEVELS.indexOf(least);
  return (level, message) => {
    if (LEVELS.indexOf(level) <= limit) write(level, message);
  };
}
