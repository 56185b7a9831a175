/** What a policy says: for each system call, when it is allowed and what becomes of it otherwise. */

/** Compares an argument, an unsigned number of 64 bits. `&`: any of the bits is set; `in`: no other bit is set. */
export interface Atom {
  /** 0 to 5. */
  readonly argument: number;
  readonly operator: '==' | '!=' | '<' | '<=' | '>' | '>=' | '&' | 'in';
  readonly value: bigint;
}

export type Action =
  | { readonly kind: 'allow' }
  /** The process ends. */
  | { readonly kind: 'kill' }
  /** The call is allowed and the kernel's log says so. */
  | { readonly kind: 'log' }
  /** The thread gets SIGSYS. */
  | { readonly kind: 'trap' }
  /** The call fails with that error. */
  | { readonly kind: 'errno'; readonly errno: number };

export interface Rule {
  /** One of these has to be true, that is all atoms of it; then the call is allowed. Empty: never. */
  readonly allowedIf: readonly (readonly Atom[])[];
  /** What becomes of the call if it is not allowed; undefined is the policy's default. */
  readonly otherwise: Action | undefined;
}

export interface Policy {
  /** By the number of the system call. */
  readonly rules: ReadonlyMap<number, Rule>;
  /** Of system calls that have no rule. */
  readonly defaultAction: Action;
}
