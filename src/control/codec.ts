/** Control messages to and from the bytes of a packet. What arrives is not trusted; the transport has limited its size. */
import { CrosvmError } from '../errors.ts';
import { parseBalloonStats } from './balloon.ts';
import { type Payload, requestTable, type VmRequest, type VmResponse } from './messages.ts';
import { parseStatisticsAnswer } from './statistics.ts';

function refuse(message: string): never {
  throw new CrosvmError('E_CONTROL_MESSAGE', message);
}

export function encodeRequest(request: VmRequest): Uint8Array {
  return encode(requestTable[request.name].unit ? request.name : { [request.name]: request.payload });
}

/** Throws `E_CONTROL_MESSAGE` if the packet holds no request that we know. */
export function decodeRequest(packet: Uint8Array): VmRequest {
  const { name, payload } = variant(decode(packet));
  if (!Object.hasOwn(requestTable, name)) refuse(`unknown request ${quote(name)}`);
  const entry: Payload<unknown> = requestTable[name as VmRequest['name']];
  if (entry.unit !== (payload === undefined)) refuse(`${name} takes ${entry.unit ? 'no' : 'a'} payload`);
  return { name, payload: parsed(name, () => entry.parse(payload)) } as VmRequest;
}

/** What `parse` gives of the payload of variant `name`. */
function parsed<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof TypeError) refuse(`${name}: ${error.message}`);
    throw error;
  }
}

export function encodeResponse(response: VmResponse): Uint8Array {
  return encode(response);
}

/** Throws `E_CONTROL_MESSAGE` if the packet holds no answer. */
export function decodeResponse(packet: Uint8Array): VmResponse {
  const { name, payload } = variant(decode(packet));
  if (name === 'Ok' && payload === undefined) return 'Ok';
  if (name === 'Err' && payload !== undefined) return { Err: typeof payload === 'string' ? payload : quote(payload) };
  if (name === 'BalloonStats') return { BalloonStats: parsed(name, () => parseBalloonStats(payload)) };
  if (name === 'Stats') return { Stats: parsed(name, () => parseStatisticsAnswer(payload)) };
  return refuse(`unknown response ${quote(name)}`);
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function decode(packet: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(packet));
  } catch {
    return refuse('message is not JSON');
  }
}

/** Splits an externally tagged variant. */
function variant(value: unknown): { name: string; payload: unknown } {
  if (typeof value === 'string') return { name: value, payload: undefined };
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const entries = Object.entries(value);
    if (entries.length === 1) return { name: entries[0]![0], payload: entries[0]![1] };
  }
  return refuse('message is neither a name nor an object of one name');
}

/** Short enough for a message of one line. */
function quote(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
