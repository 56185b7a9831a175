import type { Ids } from '../../base/user-maps.ts';
import { Name } from '../name.ts';
import { MAX_MARK } from './inode-table.ts';

/** Whose all files at a path and beneath it are. */
export interface PathOwner {
  /** From the root of the folder: components, none of which is empty, `.` or `..`. None is the folder itself. */
  readonly path: readonly string[];
  /** Whom clients see. */
  readonly shown: Ids;
  /** Who makes files on the host. */
  readonly host: Ids;
  /** Permissions that new files do not get. */
  readonly umask: number;
}

export const MAX_PATH_OWNERS = MAX_MARK;

/** A component of paths, and what comes after it. */
interface Step {
  readonly name: Name;
  readonly next: Step[];
  /** The number of the owner whose path ends here; 0 if none does. */
  owner: number;
}

/** Finds the owner by the longest path that leads to a file. Owners have numbers from 1; 0 is none. */
export class PathOwners {
  readonly #owners: readonly PathOwner[];
  readonly #root: Step = { name: new Name(), next: [], owner: 0 };

  /** At most MAX_PATH_OWNERS, each with a path of its own. */
  constructor(owners: readonly PathOwner[]) {
    this.#owners = owners;
    owners.forEach(({ path }, i) => {
      let step = this.#root;
      for (const name of path) step = stepTo(step, name);
      step.owner = i + 1;
    });
  }

  /** The one of a number from 1. */
  get(owner: number): PathOwner {
    return this.#owners[owner - 1]!;
  }

  /**
   * The number of the owner at a path: names that `isNamed` compares, the last one first, and then perhaps `name`.
   */
  find(path: readonly number[], isNamed: (reference: number, name: Name) => boolean, name?: Name): number {
    let step: Step | undefined = this.#root;
    let { owner } = step;
    for (let i = path.length - 1; i >= 0; i--) {
      const reference = path[i]!;
      step = step.next.find((one) => isNamed(reference, one.name));
      if (step === undefined) return owner;
      if (step.owner !== 0) owner = step.owner;
    }
    if (name === undefined) return owner;
    const last = step.next.find((one) => one.name.equals(name));
    return last === undefined || last.owner === 0 ? owner : last.owner;
  }
}

function stepTo({ next }: Step, text: string): Step {
  const name = Name.of(text);
  const found = next.find((step) => step.name.equals(name));
  if (found !== undefined) return found;
  const step: Step = { name, next: [], owner: 0 };
  next.push(step);
  return step;
}
