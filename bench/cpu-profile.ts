/** What a CPU profile of V8 says about the software CPU: how long each part of it ran. */

/** The fields of a `.cpuprofile` (Profiler.Profile of V8's inspector protocol) that are used here. */
export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  /** The node that was running, and the microseconds since the sample before it. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

export interface Share {
  readonly name: string;
  readonly milliseconds: number;
}

/** How long each part, and within it each function, ran by itself; the longest first. Idle time is left out. */
export function selfTimes(profile: CpuProfile, projectFolder: string): { parts: Share[]; functions: Share[] } {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const parts = new Map<string, number>();
  const functions = new Map<string, number>();
  for (const [i, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    if (frame === undefined || frame.functionName === '(idle)') continue;
    const part = partOf(frame, projectFolder);
    const milliseconds = profile.timeDeltas[i]! / 1000;
    parts.set(part, (parts.get(part) ?? 0) + milliseconds);
    const name = functionOf(frame, part);
    functions.set(name, (functions.get(name) ?? 0) + milliseconds);
  }
  return { parts: sorted(parts), functions: sorted(functions) };
}

/** The name of a WebAssembly module of ours, the folder of a source, or `V8 and Node`. */
export function partOf({ functionName, url }: CallFrame, projectFolder: string): string {
  const named = /^wasm:\/\/wasm\/(.+)-[0-9a-f]+$/.exec(url)?.[1];
  if (named !== undefined) return `wasm: ${named}`;
  if (url.startsWith('wasm://')) return 'wasm: other';
  const at = url.indexOf(projectFolder);
  if (at >= 0) return url.slice(at + projectFolder.length).replace(/\/?[^/]*$/, '');
  if (functionName === '(garbage collector)') return 'garbage collector';
  return functionName === 'Module' && url === '' ? 'compiling WebAssembly' : 'V8 and Node';
}

/** Regions of the JIT are too many and too short-lived to be told apart. */
function functionOf({ functionName, url, lineNumber }: CallFrame, part: string): string {
  if (part === 'wasm: jit') return part;
  const line = url.startsWith('file:') ? `:${lineNumber + 1}` : '';
  return `${part}${line === '' ? '' : `/${url.slice(url.lastIndexOf('/') + 1)}${line}`} ${functionName || '(anonymous)'}`;
}

function sorted(times: ReadonlyMap<string, number>): Share[] {
  const shares = Array.from(times, ([name, milliseconds]) => ({ name, milliseconds }));
  return shares.sort((a, b) => b.milliseconds - a.milliseconds);
}
