/**
 * The program of a zygote: descriptor 3 is its connection to the VMM. To be started with `ZYGOTE_FLAGS`, as forks of a
 * process have only one of its threads.
 */
import { MADV_DONTFORK, shareMemoryWithForks } from '../base/fork-memory.ts';
import { filterSystemCalls, setNoNewPrivileges } from '../base/seccomp.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import { DEVICE_TYPES, loadDeviceMaker } from '../device-process/create-device.ts';
import { MessageStream } from './message-stream.ts';
import { compilePolicy, encodeProgram } from './policy/compile-policy.ts';
import { syscallNumbers } from './policy/syscalls.ts';
import { Zygote } from './zygote.ts';

const MASTER = 3;

const makers = new Map(
  await Promise.all(DEVICE_TYPES.map(async (type) => [type, await loadDeviceMaker(type)] as const)),
);
ignoreDontFork();
shareMemoryWithForks();
new Zygote(new MessageStream(new StreamConnection(MASTER)), makers).run();

/** What V8 maps from now on is to be in forks too: its requests that it should not be succeed without effect. */
function ignoreDontFork(): void {
  const rule = {
    allowedIf: [[{ argument: 2, operator: '!=', value: BigInt(MADV_DONTFORK) }]],
    otherwise: { kind: 'errno', errno: 0 },
  } as const;
  const rules = new Map([[syscallNumbers.get('madvise')!, rule]]);
  setNoNewPrivileges();
  filterSystemCalls(encodeProgram(compilePolicy({ rules, defaultAction: { kind: 'allow' } }, 'kill')));
}
