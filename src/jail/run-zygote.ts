import { close } from '../base/fd.ts';
import { MADV_DONTFORK, shareMemoryWithForks } from '../base/fork-memory.ts';
import { exitNow, fork, openPidfd, SIGKILL, signalProcess, waitForEnd, wakeDescriptors } from '../base/process.ts';
import { waitReadable } from '../base/readable.ts';
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

/** Enough for V8 to collect garbage. */
const TRIAL_OBJECTS = 20_000;
const TRIAL_STATUS = 77;
const TRIAL_TIMEOUT_MS = 5_000;

/** Makes this process a zygote until its VMM goes away. All that its forks need is loaded. */
export function runZygote(makers: ReadonlyMap<DeviceSpec['type'], DeviceMaker>): void {
  const wakeFds = wakeDescriptors();
  ignoreDontFork();
  shareMemoryWithForks();
  if (!forksWork()) return;
  new Zygote(new MessageStream(new StreamConnection(MASTER)), makers, wakeFds).run();
}

/** Whether a fork of this Node lives through what JavaScript does: Node does not promise that. */
function forksWork(): boolean {
  const pid = fork();
  if (pid === 0) {
    let kept: unknown[] = [];
    for (let i = 0; i < TRIAL_OBJECTS; i++) kept.push({ i, list: [i] });
    kept = [];
    exitNow(TRIAL_STATUS);
  }
  const pidfd = openPidfd(pid);
  if (!waitReadable(pidfd, TRIAL_TIMEOUT_MS)) signalProcess(pid, SIGKILL);
  close(pidfd);
  const end = waitForEnd(pid);
  return 'exitStatus' in end && end.exitStatus === TRIAL_STATUS;
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
