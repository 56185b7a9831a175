/**
 * Makes the block device that its argument specifies (JSON) where the host refuses io_uring, and prints what became of
 * it: "made", or the message of the error.
 */
import { filterSystemCalls, setNoNewPrivileges } from '../../base/seccomp.ts';
import { CrosvmError } from '../../errors.ts';
import { compilePolicy, encodeProgram } from '../../jail/policy/compile-policy.ts';
import { parsePolicy } from '../../jail/policy/parse-policy.ts';
import { prepareBlock } from '../create-block.ts';
import type { DiskRequest } from '../device-spec.ts';
import { openDiskFiles } from '../open-disk-files.ts';

const policy = parsePolicy('no rings', '@default allow\nio_uring_setup: return EPERM', () => '');
setNoNewPrivileges();
filterSystemCalls(encodeProgram(compilePolicy(policy, 'kill')));
try {
  prepareBlock(openDiskFiles(JSON.parse(process.argv[2]!) as DiskRequest).spec).finish();
  console.log('made');
} catch (error) {
  if (!(error instanceof CrosvmError)) throw error;
  console.log(error.message);
}
