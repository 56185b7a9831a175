/**
 * Changes the root of the processes in the mount namespace that it is started in, and with the rights for that, by
 * nsenter(1). Its argument is a `RootJob` as JSON.
 */
import { CrosvmError } from '../errors.ts';
import { changeRoot, explained } from './enter-jail.ts';
import type { RootJob } from './root-job.ts';

const { root, folders } = JSON.parse(process.argv[2]!) as RootJob;
try {
  explained(() => changeRoot(root, folders));
} catch (error) {
  if (!(error instanceof CrosvmError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
