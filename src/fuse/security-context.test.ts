/** Labels that guests with SELinux and its like give to new files (struct fuse_secctx). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { O_RDWR } from '../host-folder/constants.ts';
import * as errno from '../host-folder/errno.ts';
import { MemoryFolder } from '../host-folder/memory/memory-folder.ts';
import * as protocol from './protocol.ts';
import { clientOf, errorOf } from './testing/folder-clients.ts';
import { args, type FuseClient, join, text } from './testing/fuse-client.ts';

const ROOT = 1;
const LABEL = 'system_u:object_r:default_t:s0';

/** A folder that does not take labels, for that reason. */
class WithoutLabels extends MemoryFolder {
  readonly #reason: number;

  constructor(reason: number) {
    super();
    this.#reason = reason;
  }

  override setExtended(): number {
    return -this.#reason;
  }
}

/** The error of the answer to a CREATE with a label. */
function create(client: FuseClient): number | undefined {
  const value = text(LABEL);
  const label = join(args(value.length, 0), text('security.selinux'), value);
  const padded = join(args(8 + label.length, 1), label, new Uint8Array(-label.length & 7));
  client.extensions = padded.length;
  const error = errorOf(client, protocol.FUSE_CREATE, ROOT, join(args(O_RDWR, 0o644, 0, 0), text('file'), padded));
  client.extensions = 0;
  return error;
}

test('a new file gets its label', () => {
  const client = clientOf(new MemoryFolder());
  assert.equal(create(client), 0);
  const { nodeid } = client.lookup(ROOT, 'file');
  const value = client.ask(protocol.FUSE_GETXATTR, nodeid, join(args(100, 0), text('security.selinux')));
  assert.equal(value.byteLength, LABEL.length + 1);
});

test('where there can be no labels, files are made without', () => {
  for (const reason of [errno.EPERM, errno.EOPNOTSUPP]) {
    assert.equal(create(clientOf(new WithoutLabels(reason))), 0);
  }
  assert.equal(create(clientOf(new WithoutLabels(errno.ENOSPC))), -errno.ENOSPC);
});
