import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { CrosvmError } from '../../../errors.ts';
import { checksum } from '../bytes.ts';
import { type AcpiConfig, buildAcpi, type PlacedTable } from './acpi.ts';
import * as aml from './aml.ts';
import { signatureOf, table } from './table.ts';

const CONFIG: AcpiConfig = {
  apicIds: [0, 1, 254, 255, 300],
  highMmio: { gpa: 2 ** 32, size: 2 ** 39 - 2 ** 32 },
  serialPorts: [1, 2, 3, 4],
};

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function find(tables: readonly PlacedTable[], signature: string): PlacedTable {
  const found = tables.filter((t) => signatureOf(t.bytes) === signature);
  assert.equal(found.length, 1, signature);
  return found[0]!;
}

describe('AML', () => {
  it('encodes names, integers, lengths and EISA ids as the specification does', () => {
    assert.deepEqual(Buffer.from(aml.path('\\_SB.PCI0')).toString('latin1'), '\\\x2e_SB_PCI0');
    assert.deepEqual(Buffer.from(aml.path('A.B.C')).toString('latin1'), '\x2f\x03A___B___C___');
    assert.deepEqual(aml.integer(0x1234), [0x0b, 0x34, 0x12]);
    assert.deepEqual(aml.integer(2 ** 32), [0x0e, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert.deepEqual(aml.eisaId('PNP0A03'), [0x0c, 0x41, 0xd0, 0x0a, 0x03]);
    assert.deepEqual(aml.scope('S', []), [0x10, 5, 0x53, 0x5f, 0x5f, 0x5f]);
    // 63 bytes with its length is the most for one byte of length, 4095 for two.
    const scopeOf = (size: number) => aml.scope('S', [new Array<number>(size - 5).fill(0xa3)]);
    assert.deepEqual(scopeOf(63).slice(0, 2), [0x10, 63]);
    assert.deepEqual(scopeOf(64).slice(0, 3), [0x10, 0x40 | (65 & 15), 65 >> 4]);
    assert.deepEqual(scopeOf(4094).slice(0, 3), [0x10, 0x4f, 0xff]);
    assert.deepEqual(scopeOf(4095).slice(0, 4), [0x10, 0x80 | (4097 & 15), (4097 >> 4) & 0xff, 1]);
  });

  it('refuses names that ACPI has not', () => {
    for (const bad of ['', 'TOOLONG', 'a', '1A', 'A..B']) assert.throws(() => aml.path(bad), RangeError, bad);
    assert.throws(() => aml.eisaId('PNP'), RangeError);
    assert.throws(() => aml.uuid('12'), RangeError);
    assert.throws(() => aml.pack(new Array(256).fill(aml.integer(0))), RangeError);
  });
});

describe('buildAcpi', () => {
  const { rsdp, tables } = buildAcpi(CONFIG);

  it('gives every table a valid checksum, length and a place of its own', () => {
    let end = rsdp;
    for (const { address, bytes } of tables) {
      assert.ok(address >= end, signatureOf(bytes));
      assert.equal(address % 64, 0);
      end = address + bytes.length;
      if (address === rsdp) continue;
      assert.equal(viewOf(bytes).getUint32(4, true), bytes.length, signatureOf(bytes));
      if (signatureOf(bytes) !== 'FACS') assert.equal(checksum(bytes), 0, signatureOf(bytes));
    }
    assert.ok(end <= 0xf0000);
  });

  it('leads from the RSDP to all tables', () => {
    const root = tables[0]!.bytes;
    assert.equal(Buffer.from(root.subarray(0, 8)).toString(), 'RSD PTR ');
    assert.equal(checksum(root.subarray(0, 20)), 0);
    assert.equal(checksum(root), 0);
    const xsdt = find(tables, 'XSDT');
    assert.equal(Number(viewOf(root).getBigUint64(24, true)), xsdt.address);
    const listed = Array.from({ length: (xsdt.bytes.length - 36) / 8 }, (_, i) =>
      Number(viewOf(xsdt.bytes).getBigUint64(36 + i * 8, true)),
    );
    assert.deepEqual(
      listed,
      ['FACP', 'APIC', 'MCFG'].map((s) => find(tables, s).address),
    );
    const fadt = viewOf(find(tables, 'FACP').bytes);
    assert.equal(fadt.byteLength, 276);
    assert.equal(fadt.getUint32(36, true), find(tables, 'FACS').address);
    assert.equal(fadt.getUint32(40, true), find(tables, 'DSDT').address);
    assert.equal(Number(fadt.getBigUint64(140, true)), find(tables, 'DSDT').address);
  });

  it('lists processors as local APICs below id 255 and as x2APICs from there', () => {
    const bytes = find(tables, 'APIC').bytes;
    const types = new Map<number, number>();
    let at = 44;
    while (at < bytes.length) {
      types.set(bytes[at]!, (types.get(bytes[at]!) ?? 0) + 1);
      assert.ok(bytes[at + 1]! > 0);
      at += bytes[at + 1]!;
    }
    assert.equal(at, bytes.length);
    assert.deepEqual(Object.fromEntries(types), { 0: 3, 1: 1, 2: 5, 4: 1, 9: 2, 10: 1 });
  });

  it('is the same each time', () => {
    assert.deepEqual(buildAcpi(CONFIG), { rsdp, tables });
  });
});

describe('tables of the user', () => {
  const build = (bytes: Uint8Array, ...more: Uint8Array[]) =>
    buildAcpi({ ...CONFIG, userTables: [bytes, ...more].map((b) => ({ name: 'my.aml', bytes: b })) });

  it('are added, or replace ours', () => {
    const ssdt = table('SSDT', 2, [1, 2, 3]);
    const apic = table('APIC', 5, [9, 9]);
    const { tables } = build(ssdt, apic, ssdt);
    assert.equal(tables.filter((t) => signatureOf(t.bytes) === 'SSDT').length, 2);
    assert.deepEqual(find(tables, 'APIC').bytes, apic);
    assert.equal(find(tables, 'XSDT').bytes.length, 36 + 5 * 8);
  });

  it('get our pointers if it is a FADT', () => {
    const { tables } = build(table('FACP', 6, new Array(240).fill(0x11)));
    const fadt = find(tables, 'FACP').bytes;
    assert.equal(viewOf(fadt).getUint32(40, true), find(tables, 'DSDT').address);
    assert.equal(fadt[50], 0x11);
    assert.equal(checksum(fadt), 0);
  });

  it('are refused if they are broken', () => {
    const refuses = (message: RegExp, ...tables: [Uint8Array, ...Uint8Array[]]) =>
      assert.throws(
        () => build(...tables),
        (e) => e instanceof CrosvmError && e.code === 'E_ACPI_TABLE' && message.test(e.message),
      );
    const good = table('SSDT', 2, [1, 2, 3]);
    refuses(/^my.aml: 10 bytes are not an ACPI table/, good.subarray(0, 10));
    refuses(/announces 39 bytes, the file has 38/, good.subarray(0, 38));
    refuses(
      /checksum/,
      good.map((b, i) => (i === 37 ? b ^ 1 : b)),
    );
    refuses(/signature/, table('\x00\x01\x02\x03', 1, []));
    refuses(/cannot be given/, table('XSDT', 1, []));
    refuses(/FADT is too short/, table('FACP', 1, []));
    refuses(/another DSDT/, table('DSDT', 2, []), table('DSDT', 2, []));
    refuses(/do not fit/, table('SSDT', 2, new Array(65000).fill(0)));
  });
});

describe('iasl', () => {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-acpi-'));
  after(() => rmSync(folder, { recursive: true }));
  const hasIasl = spawnSync('iasl', ['-v']).error === undefined;
  const options = hasIasl ? {} : { skip: 'SKIPPED: iasl (acpica-tools) is not installed' };
  const run = (...args: string[]) => spawnSync('iasl', args, { cwd: folder, encoding: 'utf8' });

  for (const { bytes } of buildAcpi(CONFIG).tables.slice(1)) {
    const signature = signatureOf(bytes);
    it(`takes ${signature} apart without complaint`, options, () => {
      writeFileSync(join(folder, `${signature}.dat`), bytes);
      const { status, stdout, stderr } = run('-d', `${signature}.dat`);
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stdout + stderr, /error|warning|invalid|unknown|incorrect/i);
      assert.doesNotMatch(
        readFileSync(join(folder, `${signature}.dsl`), 'utf8'),
        /\bError\b|Invalid|Unknown|incorrect/,
      );
    });
  }

  it('compiles the DSDT that it took apart', options, () => {
    const { status, stdout } = run('-ve', 'DSDT.dsl');
    assert.equal(status, 0, stdout);
    assert.match(stdout, /0 Errors, 0 Warnings/);
  });
});
