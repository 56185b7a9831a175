import { MADV_DONTFORK, shareMemoryWithForks } from '../base/fork-memory.ts';
import { filterSystemCalls, setNoNewPrivileges } from '../base/seccomp.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import type { DeviceMaker } from '../device-process/create-device.ts';
import type { DeviceSpec } from '../device-process/device-spec.ts';
import { MessageStream } from './message-stream.ts';
import { compilePolicy, encodeProgram } from './policy/compile-policy.ts';
import { syscallNumbers } from './policy/syscalls.ts';
import { Zygote } from './zygote.ts';

/** The connection to the VMM. */
const MASTER = 3;

/** Makes this process a zygote until its VMM goes away. All that its forks need is loaded. */
export function runZygote(makers: ReadonlyMap<DeviceSpec['type'], DeviceMaker>): void {
  ignoreDontFork();
  shareMemoryWithForks();
  new Zygote(new MessageStream(new StreamConnection(MASTER)), makers).run();
}

/** What V8 maps from now on is to be in forks, too: its requests for the opposite succeed without effect. */
function ignoreDontFork(): void {
  const rule = {
    allowedIf: [[{ argument: 2, operator: '!=', value: BigInt(MADV_DONTFORK) }]],
    otherwise: { kind: 'errno', errno: 0 },
  } as const;
  const rules = new Map([[syscallNumbers.get('madvise')!, rule]]);
  setNoNewPrivileges();
  filterSystemCalls(encodeProgram(compilePolicy({ rules, defaultAction: { kind: 'allow' } }, 'kill')));
}
