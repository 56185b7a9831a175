import type { ByteStore } from '../byte-store.ts';
import { formatError, unsupported } from '../disk.ts';
import { readFields, writeFields } from './protobuf.ts';

const COMPOSITE_MAGIC = 'composite_disk\x1d';
const VERSION = 1;
/** An index is a few lines; more is an attack. */
const MAX_INDEX_BYTES = 1 << 20;
const MAX_PARTS = 1024;

/** Fields of the message CompositeDisk. */
const DISK_VERSION = 1;
const DISK_COMPONENT = 2;
const DISK_LENGTH = 3;
/** Fields of the message ComponentDisk. */
const COMPONENT_PATH = 1;
const COMPONENT_OFFSET = 2;
const COMPONENT_ACCESS = 3;
const READ_WRITE = 1;

/** A part of a composite disk: the file that begins at an offset of the disk. */
export interface Component {
  readonly path: string;
  readonly offset: number;
  readonly writable: boolean;
}

/** What the file of a composite disk says. */
export interface CompositeIndex {
  /** Bytes of the disk. */
  readonly length: number;
  /** By offset. Each goes as far as the next one, the last to the end. */
  readonly components: readonly Component[];
}

/** Reads the index of a composite disk. Throws `E_DISK_FORMAT`, or `E_DISK_UNSUPPORTED` for a version we do not know. */
export function readCompositeIndex(store: ByteStore): CompositeIndex {
  const { name, size } = store;
  if (size > MAX_INDEX_BYTES) throw formatError(name, `the index of a composite disk has ${size} bytes`);
  const bytes = new Uint8Array(size);
  store.read(0, bytes);
  try {
    return parse(name, bytes.subarray(COMPOSITE_MAGIC.length));
  } catch (error) {
    if (error instanceof RangeError)
      throw formatError(name, `the index of the composite disk is broken: ${error.message}`);
    throw error;
  }
}

function parse(name: string, bytes: Uint8Array): CompositeIndex {
  let version = 0;
  let length = 0;
  const components: Component[] = [];
  for (const { number, value } of readFields(bytes)) {
    if (number === DISK_VERSION) version = asNumber(value);
    else if (number === DISK_LENGTH) length = asNumber(value);
    else if (number === DISK_COMPONENT) components.push(parseComponent(asBytes(value)));
  }
  if (version !== VERSION) throw unsupported(name, `version ${version} of composite disks is not supported`);
  if (length === 0) throw formatError(name, 'the composite disk has no length');
  if (components.length > MAX_PARTS) throw formatError(name, `a composite disk of ${components.length} parts`);
  components.sort((a, b) => a.offset - b.offset);
  components.forEach(({ offset, path }, i) => {
    if (offset >= length) throw formatError(name, `part ${JSON.stringify(path)} begins behind the end of the disk`);
    if (components[i + 1]?.offset === offset) throw formatError(name, `two parts begin at offset ${offset}`);
  });
  return { length, components };
}

function parseComponent(bytes: Uint8Array): Component {
  let path = '';
  let offset = 0;
  let writable = false;
  for (const { number, value } of readFields(bytes)) {
    if (number === COMPONENT_PATH) path = new TextDecoder().decode(asBytes(value));
    else if (number === COMPONENT_OFFSET) offset = asNumber(value);
    else if (number === COMPONENT_ACCESS) writable = asNumber(value) === READ_WRITE;
  }
  return { path, offset, writable };
}

/** The file of a composite disk. */
export function encodeCompositeIndex({ length, components }: CompositeIndex): Uint8Array {
  const text = new TextEncoder();
  const message = writeFields([
    { number: DISK_VERSION, value: VERSION },
    ...components.map(({ path, offset, writable }) => ({
      number: DISK_COMPONENT,
      value: writeFields([
        { number: COMPONENT_PATH, value: text.encode(path) },
        { number: COMPONENT_OFFSET, value: offset },
        { number: COMPONENT_ACCESS, value: writable ? READ_WRITE : 0 },
      ]),
    })),
    { number: DISK_LENGTH, value: length },
  ]);
  const bytes = new Uint8Array(COMPOSITE_MAGIC.length + message.length);
  bytes.set(text.encode(COMPOSITE_MAGIC));
  bytes.set(message, COMPOSITE_MAGIC.length);
  return bytes;
}

function asNumber(value: number | Uint8Array): number {
  if (typeof value !== 'number') throw new RangeError('a number expected');
  return value;
}

function asBytes(value: number | Uint8Array): Uint8Array {
  if (typeof value === 'number') throw new RangeError('bytes expected');
  return value;
}
