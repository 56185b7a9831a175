/**
 * An error meant for a person: `message` is one complete sentence that names the bad input, what is wrong with it and,
 * where there is one, what to do next. The CLI prints exactly that line. Errors of any other class are bugs of ours.
 */
export class CrosvmError extends Error {
  /** Stable and machine-readable, `E_` and upper case: `E_KERNEL_FORMAT`, `E_KVM_OPEN`, ... */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'CrosvmError';
    this.code = code;
  }
}
