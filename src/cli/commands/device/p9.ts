import { sharedFolderCommand } from './shared-folder.ts';

export const deviceP9 = sharedFolderCommand('p9', '9P', '--cfg ro');
