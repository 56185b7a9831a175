/** Told how far long work has come: bytes of all. */
export type Progress = (done: number, total: number) => void;
