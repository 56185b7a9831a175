import { Socket } from 'node:net';

/** What a device has to say fits; one that was taken over is not to fill our memory, or the terminal. */
const MAX_LINE = 1000;
const MAX_LINES = 1000;
const NEWLINE = '\n';
/** Control characters, which a terminal would obey. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}]/gu;

/**
 * Hands whole lines that arrive at a socket to `onLine`: of each the first 1000 characters, printable ones, and of all the
 * first 1000. The socket becomes this function's. Settles when its other end is gone.
 */
export function readMessages(fd: number, onLine: (line: string) => void): Promise<void> {
  const socket = new Socket({ fd, readable: true, writable: false }).setEncoding('utf8');
  let partial = '';
  let lines = 0;
  const finish = () => {
    if (partial !== '' && ++lines <= MAX_LINES) onLine(partial.replace(UNPRINTABLE, '?'));
    partial = '';
  };
  socket.on('data', (text: string) => {
    for (const [i, piece] of text.split(NEWLINE).entries()) {
      if (i > 0) finish();
      partial += piece.slice(0, MAX_LINE - partial.length);
    }
  });
  return new Promise((resolve) => {
    socket.once('error', () => {}); // its end follows
    socket.once('close', () => {
      finish();
      resolve();
    });
  });
}
