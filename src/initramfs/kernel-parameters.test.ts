import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernelParameters, lastValue } from './kernel-parameters.ts';

describe('kernelParameters', () => {
  it('takes names and values apart', () => {
    assert.deepEqual(kernelParameters(' ro  root=mtdfake\tpanic=-1 rootflags=a=b,c'), [
      ['ro', ''],
      ['root', 'mtdfake'],
      ['panic', '-1'],
      ['rootflags', 'a=b,c'],
    ]);
    assert.deepEqual(kernelParameters(''), []);
  });

  it('keeps blanks within quotes', () => {
    assert.deepEqual(kernelParameters('init="/bin/my init" "root=a b" x'), [
      ['init', '/bin/my init'],
      ['root', 'a b'],
      ['x', ''],
    ]);
    assert.deepEqual(kernelParameters('a="b c'), [['a', 'b c']]);
  });

  it('leaves to init what follows two dashes', () => {
    assert.deepEqual(kernelParameters('quiet -- root=x'), [['quiet', '']]);
  });

  it('takes a dash in a name for an underscore', () => {
    assert.deepEqual(kernelParameters('log-buf-len=1-2 =x'), [
      ['log_buf_len', '1-2'],
      ['=x', ''],
    ]);
  });

  it('lets the last of several win', () => {
    assert.equal(lastValue(kernelParameters('root=a root=b rw'), 'root'), 'b');
    assert.equal(lastValue([], 'root'), undefined);
  });
});
