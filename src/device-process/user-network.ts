import { type ForwardedPort, startPasst } from '../base/passt.ts';
import type { NetSpec } from './device-spec.ts';

/** The largest packet that passt takes. Nothing cuts packets up on this way, so the larger they are the fewer there are. */
const PASST_MTU = 65520;

/** A card with its wire, a descriptor, which is the caller's to close. When nobody has it any more, passt ends. */
interface UserCard {
  readonly spec: NetSpec;
  readonly wire: number;
}

/** Connects a network card to the host's sockets, through passt. Throws `E_PASST`. */
export async function userNetwork(card: Omit<NetSpec, 'wire'>, forwards: readonly ForwardedPort[]): Promise<UserCard> {
  const mtu = card.mtu ?? PASST_MTU;
  const wire = await startPasst(forwards, mtu);
  return { spec: { ...card, mtu, wire: { kind: 'stream', fd: wire } }, wire };
}
