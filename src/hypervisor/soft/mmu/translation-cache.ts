/**
 * What a vCPU remembers of linear addresses: its TLBs, which mmu.ts fills, and the jump cache, which says where the
 * decoded code of an address is. Here is all that forgets.
 */
import { CR4 } from '../architecture.ts';
import {
  AREA,
  areaOf,
  blockOf,
  CODE_PAGE_ENTRIES,
  CODE_PAGE_ENTRY_SIZE,
  FILL_LOG_ENTRIES,
  LARGE_MAP_SIZE,
  TLB_ENTRIES,
  TLB_ENTRY,
  TLB_ENTRY_SIZE,
  TLB_SIZE,
} from '../layout.ts';
import { JUMP_TAG_GENERATION, JUMP_TAG_VALID, MODE } from '../modes.ts';
import { CPU } from '../state.ts';
import { PTE } from './walk.ts';

/** From an entry of a TLB to the one that it replaced, in words. */
const REPLACED = AREA.replaced >> 2;

/**
 * Makes writes of `vcpu` to guest physical page `page` look for decoded code again. Any thread may call it: see the
 * TLB filler (mmu.ts) for the race with an entry that is being filled.
 *
 * Only the low word of the write tag is changed. It holds the bits that every address of the entry has, so a wrong one
 * matches nothing, whatever the vCPU itself stores to the entry's other words meanwhile.
 */
export function protectPage(words: Int32Array, vcpu: number, page: number): void {
  const area = areaOf(vcpu) >> 2;
  for (const first of [area, area + (AREA.replaced >> 2)]) {
    const end = first + ((2 * TLB_SIZE) >> 2);
    for (let entry = first; entry < end; entry += TLB_ENTRY_SIZE >> 2) {
      if (words[entry + (TLB_ENTRY.page >> 2)] !== page) continue;
      const never = (((entry - first) / (TLB_ENTRY_SIZE >> 2)) & (TLB_ENTRIES - 1)) ^ 1;
      Atomics.store(words, entry + (TLB_ENTRY.write >> 2), never << 12);
    }
  }
}

export class TranslationCache {
  readonly #words: Int32Array;
  /** Word indices of the vCPU's block and area. */
  readonly #block: number;
  readonly #area: number;

  /** `words`: the whole WebAssembly memory. */
  constructor(words: Int32Array, vcpu: number) {
    this.#words = words;
    this.#block = blockOf(vcpu) >> 2;
    this.#area = areaOf(vcpu) >> 2;
  }

  /** Code runs in `mode` (modes.ts) from now on, with privilege 3 or another one. */
  setMode(mode: number, user: boolean): void {
    this.#setField(CPU.tlb, (this.#area << 2) + (user ? AREA.tlbUser : AREA.tlbSupervisor));
    for (const tag of [CPU.jumpTagLow, CPU.jumpTagHigh]) {
      const generation = this.#field(tag) & JUMP_TAG_GENERATION.mask;
      this.#setField(tag, generation | mode | (user ? MODE.user : 0) | JUMP_TAG_VALID);
    }
  }

  /** Drops everything, global entries too. */
  flush(): void {
    for (let at = 0; at < 2 * TLB_SIZE; at += TLB_ENTRY_SIZE) this.#dropEntry(this.#area + (at >> 2));
    this.#clear(AREA.fillLog, 4);
    this.#clear(AREA.largeMap, LARGE_MAP_SIZE);
    this.flushJumps();
  }

  /** Drops what is not global: a load of CR3. */
  flushNonGlobal(): void {
    const log = this.#area + (AREA.fillLog >> 2);
    const count = this.#words[log]! >>> 0;
    if (count > FILL_LOG_ENTRIES) {
      this.flush();
      return;
    }
    for (let i = 0; i < count; i++) this.#dropEntry(this.#words[log + 1 + i]! >>> 2);
    this.#words[log] = 0;
    if (this.#hasGlobalPages()) this.#nextGeneration(CPU.jumpTagLow);
    else this.flushJumps();
  }

  /** INVLPG. */
  invalidatePage(va: bigint): void {
    const large = Number((va >> 21n) & BigInt(LARGE_MAP_SIZE - 1));
    const flags = this.#words[this.#area + ((AREA.largeMap + large) >> 2)]!;
    if (((flags >> ((large & 3) * 8)) & 0xff) !== 0) {
      this.flush();
      return;
    }
    const entry = Number((va >> 12n) & BigInt(TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
    this.#dropEntry(this.#area + ((AREA.tlbSupervisor + entry) >> 2));
    this.#dropEntry(this.#area + ((AREA.tlbUser + entry) >> 2));
    this.flushJumps();
  }

  /** Whether the TLB lets writes to the page of `va` through without a look. */
  mayWrite(va: bigint, user: boolean): boolean {
    const tlb = user ? AREA.tlbUser : AREA.tlbSupervisor;
    const entry = Number((va >> 12n) & BigInt(TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
    const at = this.#area + ((tlb + entry + TLB_ENTRY.write) >> 2);
    return (
      this.#words[at] === Number(BigInt.asIntN(32, va & ~0xfffn)) && this.#words[at + 1] === Number(va >> 32n) >> 0
    );
  }

  /** Forgets which code is at which linear address: mappings or decoded code have changed. */
  flushJumps(): void {
    this.#nextGeneration(CPU.jumpTagHigh);
    this.#nextGeneration(CPU.jumpTagLow);
  }

  /**
   * Whether the jump cache may keep the code that was just looked up: a load of CR3 leaves entries of the upper half
   * alone, so they must be of global pages, as a kernel's are (or there are no global pages, and it drops everything).
   */
  mayCacheJump(): boolean {
    const isLow = this.#field(CPU.fetchAddress + 4) >= 0;
    const isGlobal = (this.#field(CPU.scratch + 8) & PTE.global) !== 0;
    return isLow || isGlobal || !this.#hasGlobalPages();
  }

  #hasGlobalPages(): boolean {
    return (this.#field(CPU.cr4) & CR4.pge) !== 0;
  }

  #nextGeneration(tag: number): void {
    const old = this.#field(tag);
    const next = (old + JUMP_TAG_GENERATION.one) & JUMP_TAG_GENERATION.mask;
    if (next === 0) {
      this.#clear(AREA.jumpCache, AREA.fillLog - AREA.jumpCache);
      this.#clear(AREA.codePages, CODE_PAGE_ENTRIES * CODE_PAGE_ENTRY_SIZE);
    }
    this.#setField(tag, (old & ~JUMP_TAG_GENERATION.mask) | next);
  }

  /** The tags of an entry, and of the one that it replaced, become pages whose index is another one's, so no address can match them. */
  #dropEntry(entry: number): void {
    const words = this.#words;
    const index = ((entry - this.#area) / (TLB_ENTRY_SIZE >> 2)) & (TLB_ENTRIES - 1);
    const never = (index ^ 1) << 12;
    for (let at = entry; at <= entry + REPLACED; at += REPLACED) {
      const [read, write] = [at + (TLB_ENTRY.read >> 2), at + (TLB_ENTRY.write >> 2)];
      words[read] = never;
      words[read + 1] = 0;
      words[write] = never;
      words[write + 1] = 0;
      words[at + (TLB_ENTRY.page >> 2)] = -1;
    }
  }

  #field(offset: number): number {
    return this.#words[this.#block + (offset >> 2)]!;
  }

  #setField(offset: number, value: number): void {
    this.#words[this.#block + (offset >> 2)] = value;
  }

  /** Zeroes `bytes` of the area, both multiples of 4. */
  #clear(offset: number, bytes: number): void {
    const from = this.#area + (offset >> 2);
    this.#words.fill(0, from, from + (bytes >> 2));
  }
}
