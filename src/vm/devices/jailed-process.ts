/** The process of a device in its jail, as the VMM sees it. */
export interface JailedProcess {
  /** Settles when it is gone, with how that was: `exit status 1`, `killed by SIGKILL`. Never rejects. */
  readonly ended: Promise<string>;
  kill(): void;
}

/** What V8 is to do with one thread, and with little memory. */
export const NODE_FLAGS = ['--single-threaded', '--v8-pool-size=0', '--max-semi-space-size=1'];

const ENVIRONMENT = ['PATH', 'TMPDIR', 'NODE_COMPILE_CACHE'];

/** Where compiled code is kept, and programs; what else there is may be secret, and is nothing to a device. */
export function deviceEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => ENVIRONMENT.includes(name)));
}
