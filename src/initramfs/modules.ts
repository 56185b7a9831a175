import { CrosvmError } from '../errors.ts';

/** More than any driver of a file system needs; a list that asks for them is broken. */
const MAX_MODULES = 64;

/** The lists that depmod and the kernel's build leave beside a kernel's modules (modules.dep(5), modules.builtin). */
export interface ModuleLists {
  /** How messages call the list of dependencies. */
  readonly name: string;
  /** Lines of `MODULE: MODULE...`, paths of files: what it needs. */
  readonly dependencies: string;
  /** Paths of what would be modules, but is part of the kernel; undefined if there is no such list. */
  readonly builtin: string | undefined;
}

/** Paths of modules in the order to load them, or one of those asked for that does not exist. */
export type ModuleChoice = { readonly paths: readonly string[] } | { readonly missing: string };

/** Chooses what must be loaded to have all of `wanted`, by name. Throws `E_MODULES` if the list is broken. */
export function chooseModules(wanted: readonly string[], lists: ModuleLists): ModuleChoice {
  const needs = parseDependencies(lists);
  const paths = new Map([...needs.keys()].map((path) => [moduleName(path), path]));
  const builtin = new Set(lists.builtin?.split('\n').map(moduleName));
  const order = new LoadOrder(needs, lists.name);
  for (const name of wanted) {
    if (builtin.has(name)) continue;
    const path = paths.get(name);
    if (path === undefined) return { missing: name };
    order.add(path);
  }
  return { paths: order.paths };
}

/** What the kernel calls the module in a file: without folder and extensions, and `_` for `-`. */
export function moduleName(path: string): string {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

function parseDependencies({ name, dependencies }: ModuleLists): Map<string, readonly string[]> {
  const needs = new Map<string, readonly string[]>();
  for (const [i, line] of dependencies.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, path, rest] = /^([^\s:]+):(.*)$/.exec(line) ?? [];
    if (path === undefined) fail(name, `line ${i + 1} is not "MODULE: MODULE..."`);
    needs.set(path, rest!.trim() === '' ? [] : rest!.trim().split(/\s+/));
  }
  return needs;
}

class LoadOrder {
  readonly paths: string[] = [];
  readonly #needs: ReadonlyMap<string, readonly string[]>;
  readonly #list: string;
  /** What is being added, with what needs it before it. */
  readonly #pending: string[] = [];

  constructor(needs: ReadonlyMap<string, readonly string[]>, list: string) {
    this.#needs = needs;
    this.#list = list;
  }

  /** Adds a module, and before it what it needs. */
  add(path: string): void {
    if (this.paths.includes(path)) return;
    const needs = this.#needs.get(path);
    if (needs === undefined) fail(this.#list, `"${path}", which "${this.#pending.at(-1)}" needs, has no line`);
    if (this.#pending.includes(path)) fail(this.#list, `"${path}" needs itself`);
    if (this.#pending.length + this.paths.length >= MAX_MODULES) fail(this.#list, 'a driver needs too many modules');
    this.#pending.push(path);
    for (const other of needs) this.add(other);
    this.paths.push(this.#pending.pop()!);
  }
}

function fail(list: string, what: string): never {
  throw new CrosvmError('E_MODULES', `${list}: ${what}`);
}
