import { sharedFolderCommand } from './shared-folder.ts';

export const deviceFs = sharedFolderCommand('fs', 'virtio-fs', '--cfg ro:cache=always');
