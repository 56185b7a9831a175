/** So many findings are told in words; all are counted. */
const MAX_MESSAGES = 100;

/** What a check found. */
export class CheckReport {
  /** What may lose data: it has to be repaired before the image is written. */
  errors = 0;
  /** Clusters that nothing uses and nobody can: harmless. */
  leaks = 0;
  readonly messages: string[] = [];
  /** Guest clusters with data of their own in the image, and how many of them are compressed. */
  allocatedClusters = 0;
  compressedClusters = 0;
  /** Guest clusters that do not lie behind the one before. */
  fragmentedClusters = 0;
  totalClusters = 0;
  /** Behind the last cluster in use. */
  imageEnd = 0;

  error(message: string): void {
    this.errors++;
    this.#tell(message);
  }

  leak(message: string): void {
    this.leaks++;
    this.#tell(message);
  }

  #tell(message: string): void {
    if (this.messages.length < MAX_MESSAGES) this.messages.push(message);
    else if (this.messages.length === MAX_MESSAGES) this.messages.push('and more');
  }
}
