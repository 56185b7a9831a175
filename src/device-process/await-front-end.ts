import { type StreamConnection, StreamListener } from '../base/unix-stream.ts';

/**
 * The first who connects to a socket at `path`; it is gone from the file system then, or when a signal ends the wait.
 * Throws `E_SOCKET_PATH`, `E_SOCKET_IN_USE`.
 */
export async function awaitFrontEnd(path: string): Promise<StreamConnection> {
  const listener = new StreamListener(path);
  const end = (signal: NodeJS.Signals) => {
    listener.close();
    process.kill(process.pid, signal);
  };
  process.once('SIGTERM', end).once('SIGINT', end);
  try {
    return await new Promise((resolve) => listener.onConnection(resolve));
  } finally {
    // Without these, a signal ends the process by itself, also while it is blocked.
    process.off('SIGTERM', end).off('SIGINT', end);
    listener.close();
  }
}
