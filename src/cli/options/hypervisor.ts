import { CrosvmError } from '../../errors.ts';
import { choice, keyValues, optional, path, type ValueSyntax } from './syntax.ts';

/** Which hypervisor to run on. `device` is the path of the KVM device where one was named. */
export interface HypervisorOption {
  readonly kind: 'auto' | 'kvm' | 'soft';
  readonly device: string | undefined;
}

const kinds = choice('auto', 'kvm', 'soft');
const kvmKeys = keyValues({ device: optional(path(), 'The KVM device [default: /dev/kvm].') });

/** `auto`, `soft`, `kvm` or `kvm[device=PATH]`. */
export const hypervisorSyntax: ValueSyntax<HypervisorOption> = {
  metavar: 'auto|kvm|soft',
  keys: [
    { usage: 'auto', help: 'kvm where the machine has hardware virtualization, else soft.' },
    { usage: 'kvm[device=PATH]', help: 'Hardware virtualization by Linux KVM [default device: /dev/kvm].' },
    { usage: 'soft', help: 'Our software x86-64 CPU; runs everywhere.' },
  ],
  parse(text) {
    const [, word = '', , inside] = /^([^[]*)(\[(.*)\])?$/s.exec(text) ?? [];
    const kind = kinds.parse(inside === undefined ? text : word);
    if (inside === undefined) return { kind, device: undefined };
    if (kind !== 'kvm') throw new CrosvmError('E_OPTION', `${kind} takes no [...]`);
    return { kind, device: kvmKeys.parse(inside).device };
  },
};
