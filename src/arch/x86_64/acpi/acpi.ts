import { CrosvmError } from '../../../errors.ts';
import type { Gpa } from '../../../memory/guest-memory.ts';
import { ascii, checksum, u16, u32, u64, zeros } from '../bytes.ts';
import { ACPI_TABLES, type AddressRange, SMBIOS_ENTRY_POINT } from '../memory-map.ts';
import { ECAM_ADDRESS, ECAM_BUSES } from '../platform.ts';
import { dsdtBody } from './dsdt.ts';
import { fadt, isUsableFadt, withPointers } from './fadt.ts';
import { madt } from './madt.ts';
import { HEADER_LENGTH, signatureOf, table } from './table.ts';

export interface AcpiConfig {
  /** APIC id of each vCPU. */
  readonly apicIds: readonly number[];
  readonly highMmio: AddressRange;
  /** Serial ports that exist: 1-4 for COM1-COM4. */
  readonly serialPorts: readonly number[];
  /**
   * Tables of the user. A FADT, MADT, MCFG or DSDT takes the place of ours (a FADT is given our pointers to FACS and
   * DSDT); the others are added.
   */
  readonly userTables?: readonly UserTable[];
}

export interface UserTable {
  /** The file, for messages. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface PlacedTable {
  readonly address: Gpa;
  readonly bytes: Uint8Array;
}

export interface AcpiTables {
  readonly rsdp: Gpa;
  readonly tables: readonly PlacedTable[];
}

const RSDP_LENGTH = 36;
const RSDP_V1_LENGTH = 20;
const FACS_LENGTH = 64;
const ALIGNMENT = 64;
const REPLACEABLE = ['DSDT', 'FACP', 'APIC', 'MCFG'];
/** Made by us only: they say where the others are. */
const RESERVED = ['RSD ', 'RSDT', 'XSDT', 'FACS'];

/**
 * The ACPI tables and their places, the RSDP at ACPI_TABLES. Deterministic. Throws `E_ACPI_TABLE` if a user's table is
 * broken or if all together do not fit.
 */
export function buildAcpi(config: AcpiConfig): AcpiTables {
  const user = new Map<string, Uint8Array>();
  const added: Uint8Array[] = [];
  for (const { name, bytes } of config.userTables ?? []) {
    const signature = checkUserTable(name, bytes);
    if (!REPLACEABLE.includes(signature)) added.push(bytes);
    else if (user.has(signature)) throw tableError(name, `there is already another ${signature} table`);
    else user.set(signature, bytes);
  }
  const tables: PlacedTable[] = [];
  let next = ACPI_TABLES + ALIGNMENT;
  const place = (bytes: Uint8Array): Gpa => {
    const address = next;
    next = Math.ceil((address + bytes.length) / ALIGNMENT) * ALIGNMENT;
    if (next > SMBIOS_ENTRY_POINT) {
      throw tableError(
        'ACPI',
        `the tables do not fit into ${SMBIOS_ENTRY_POINT - ACPI_TABLES} bytes; leave out some of --acpi-table`,
      );
    }
    tables.push({ address, bytes });
    return address;
  };
  const facs = place(facsTable());
  const dsdt = place(user.get('DSDT') ?? table('DSDT', 6, dsdtBody(config)));
  const userFadt = user.get('FACP');
  const listed = [
    userFadt === undefined ? fadt({ facs, dsdt }) : withPointers(userFadt, { facs, dsdt }),
    user.get('APIC') ?? madt(config.apicIds),
    user.get('MCFG') ?? mcfg(),
    ...added,
  ].map(place);
  const xsdt = place(table('XSDT', 1, listed.flatMap(u64)));
  return { rsdp: ACPI_TABLES, tables: [{ address: ACPI_TABLES, bytes: rsdpTable(xsdt) }, ...tables] };
}

/** Checks header, length and checksum; returns the signature. */
function checkUserTable(name: string, bytes: Uint8Array): string {
  if (bytes.length < HEADER_LENGTH) {
    throw tableError(name, `${bytes.length} bytes are not an ACPI table, its header alone has ${HEADER_LENGTH}`);
  }
  const signature = signatureOf(bytes);
  if (!/^[A-Z0-9_]{4}$/.test(signature)) throw tableError(name, 'this is not an ACPI table (bad signature)');
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(4, true);
  if (length !== bytes.length) {
    throw tableError(name, `the header of the ACPI table announces ${length} bytes, the file has ${bytes.length}`);
  }
  if (checksum(bytes) !== 0) throw tableError(name, 'the checksum of the ACPI table is wrong');
  if (RESERVED.includes(signature))
    throw tableError(name, `a table ${signature} cannot be given, crosvm makes it itself`);
  if (signature === 'FACP' && !isUsableFadt(bytes)) throw tableError(name, 'the FADT is too short');
  return signature;
}

/** Root pointer, revision 2 (5.2.5.3): the first checksum covers the part that version 1.0 had. */
function rsdpTable(xsdt: Gpa): Uint8Array {
  const bytes = Uint8Array.from([
    ...ascii('RSD PTR ', 8),
    0,
    ...ascii('CROSVM', 6),
    2,
    ...u32(0), // no RSDT
    ...u32(RSDP_LENGTH),
    ...u64(xsdt),
    0,
    ...zeros(3),
  ]);
  bytes[8] = checksum(bytes.subarray(0, RSDP_V1_LENGTH));
  bytes[32] = checksum(bytes);
  return bytes;
}

/** Firmware control structure (5.2.10), version 2; there is no firmware to wake. */
function facsTable(): Uint8Array {
  return Uint8Array.from([...ascii('FACS', 4), ...u32(FACS_LENGTH), ...zeros(24), 2, ...zeros(31)]);
}

/** Memory-mapped configuration space (PCI Firmware Specification 3.2, 4.1.2). */
function mcfg(): Uint8Array {
  return table('MCFG', 1, [...zeros(8), ...u64(ECAM_ADDRESS), ...u16(0), 0, ECAM_BUSES - 1, ...zeros(4)]);
}

function tableError(name: string, what: string): CrosvmError {
  return new CrosvmError('E_ACPI_TABLE', `${name}: ${what}`);
}
