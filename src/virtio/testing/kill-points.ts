/** Ends code between any two of its stores to shared memory, as SIGKILL ends a process. */

const SETTERS = ['setUint8', 'setUint16', 'setUint32', 'setBigUint64'] as const;

class Killed extends Error {}

/** A process of which some code is run. */
export interface Mortal {
  /** Counts as a store, too. */
  store(): void;
  /** Runs `action` as somebody else, who is not killed. */
  spare<T>(action: () => T): T;
}

/**
 * Runs `life`, and kills it instead of its store number `stores` (from 0 on) by a DataView or `Atomics.store`. Returns
 * whether it came so far.
 */
export function killedAt(stores: number, life: (mortal: Mortal) => void): boolean {
  let left = stores;
  let spared = false;
  const count = () => {
    // What runs on after the first of these, to clean up, has no effect either.
    if (!spared && left-- <= 0) throw new Killed();
  };
  const undo = [...SETTERS.map((name) => wrap(DataView.prototype, name, count)), wrap(Atomics, 'store', count)];
  try {
    life({
      store: count,
      spare(action) {
        spared = true;
        try {
          return action();
        } finally {
          spared = false;
        }
      },
    });
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  } finally {
    for (const each of undo) each();
  }
}

/** Has `before` called before each call of a method; returns what puts the method back. */
function wrap<Name extends string>(owner: { [N in Name]: unknown }, name: Name, before: () => void): () => void {
  const method = owner[name] as (...args: unknown[]) => unknown;
  const replacement = function (this: unknown, ...args: unknown[]) {
    before();
    return method.apply(this, args);
  };
  Object.assign(owner, { [name]: replacement });
  return () => Object.assign(owner, { [name]: method });
}
