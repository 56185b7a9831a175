/**
 * Runs Linux on v86 with the serial port on the standard streams; `bench/v86.ts` starts it:
 * `node v86-runner.ts BUILD_FOLDER FIRMWARE_FOLDER KERNEL INITRD COMMAND_LINE MEMORY_MIB`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The part of v86's interface that is used here. */
interface V86 {
  add_listener(event: 'serial0-output-byte', listener: (byte: number) => void): void;
  serial_send_bytes(port: number, bytes: Uint8Array): void;
}
type V86Class = new (options: Record<string, unknown>) => V86;

const [build = '', firmware = '', kernel = '', initrd = '', cmdline = '', memory = ''] = process.argv.slice(2);
const MIB = 1 << 20;

const { V86: Emulator } = (await import(pathToFileURL(join(build, 'libv86.mjs')).href)) as { V86: V86Class };
const emulator = new Emulator({
  wasm_path: join(build, 'v86.wasm'),
  bios: image(join(firmware, 'bios.bin')),
  vga_bios: image(join(firmware, 'vgabios-stdvga.bin')),
  bzimage: image(kernel),
  initrd: image(initrd),
  cmdline,
  memory_size: Number(memory) * MIB,
  vga_memory_size: 2 * MIB,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
  autostart: true,
});
emulator.add_listener('serial0-output-byte', (byte) => process.stdout.write(Uint8Array.of(byte)));
process.stdin.on('data', (bytes) => emulator.serial_send_bytes(0, bytes));

function image(path: string): { buffer: ArrayBuffer } {
  return { buffer: Uint8Array.from(readFileSync(path)).buffer };
}
