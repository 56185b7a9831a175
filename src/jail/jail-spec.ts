/** What a jail is made of besides what all have. It travels as JSON. */
export interface JailSpec {
  /**
   * Programs of struct sock_filter in base64. `notify` tells the zygote which system call is refused; `kill` does the same
   * where the kernel cannot do that.
   */
  readonly filters: { readonly notify: string | undefined; readonly kill: string };
  /** The folder of the host that becomes the root; an empty one in memory if it is not given. */
  readonly root: string | undefined;
  /** How many threads the kernel may make for it. */
  readonly threads: number;
}

/** How jails are made, as options of the command line say it. */
export interface JailOptions {
  /** Where policies are, `TYPE_device.policy` and `block_uring_device.policy`; those of the package without it. */
  readonly policyFolder?: string | undefined;
  /** Calls that a policy refuses are written to the kernel's log, and done all the same. */
  readonly logFailures?: boolean | undefined;
  /** Device processes are programs that are spawned, also where a zygote could fork them. */
  readonly spawns?: boolean | undefined;
  /** An empty folder that becomes the root of device processes. */
  readonly root?: string | undefined;
}
