import { type ForwardedPort, startPasst } from '../base/passt.ts';
import type { NetSpec } from './device-spec.ts';

/** The largest packet that passt takes. Nothing cuts packets up on this way, so the larger they are the fewer there are. */
const PASST_MTU = 65520;

/**
 * Connects a network card to the host's sockets, through passt. Whoever runs the card closes the descriptor of its wire,
 * and so ends passt. Throws `E_PASST`.
 */
export async function userNetwork(card: Omit<NetSpec, 'wire'>, forwards: readonly ForwardedPort[]): Promise<NetSpec> {
  return { ...card, mtu: card.mtu ?? PASST_MTU, wire: { kind: 'stream', fd: await startPasst(forwards) } };
}
