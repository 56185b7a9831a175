/** Numbers of SET_DEVICE_STATE_FD (vhost-user, "Migrating back-end state"). */

/** Directions. */
export const SAVE = 0;
export const LOAD = 1;

/** The only phase that there is: the device stands still. */
export const STOPPED = 0;

/** Of the answer: what is wrong, 0 if nothing is; and that no descriptor comes with it, so that the front end's pipe is used. */
export const STATE_ERROR = 0xffn;
export const THEIR_PIPE = 0x100n;
export const STATE_REFUSED = THEIR_PIPE | 1n;
