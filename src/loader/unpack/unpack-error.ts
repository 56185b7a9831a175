/**
 * What a decoder throws on bad input: `message` continues the sentence "the kernel's payload cannot be unpacked: ...".
 * Internal to the loader, which turns it into a CrosvmError that names the file.
 */
export class UnpackError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnpackError';
  }
}
