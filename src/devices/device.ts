/** The small interfaces through which device models see the world; they import nothing from Node. */

/** Time for devices. */
export interface Clock {
  /** Nanoseconds since some fixed point before the VM started; never goes back. */
  now(): number;
  /** Wall-clock time, in milliseconds since 1970-01-01 UTC. */
  wallTime(): number;
}

/** A wire to an interrupt controller. */
export interface InterruptLine {
  /** Level of the wire. Edge-triggered users call set(true) and then set(false). */
  set(level: boolean): void;
}

/** A device that does something by itself when time passes. */
export interface TimedDevice {
  /** When `tick` is wanted next, in nanoseconds of the Clock; Infinity for never. Cheap: asked often. */
  deadline(): number;
  /** Catches up with the clock. May be called early or late; raises whatever is due. */
  tick(): void;
}

/** Why a VM ended. */
export type ExitReason = 'powered off' | 'reset' | 'crash' | 'panic' | 'stopped';

/** Where bytes that the guest sends go. Must not block for long and must not throw. */
export interface ByteSink {
  write(bytes: Uint8Array): void;
}
