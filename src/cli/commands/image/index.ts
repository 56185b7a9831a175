import { commandGroup } from '../../command-group.ts';
import { imageCheck } from './check.ts';
import { imageCompare } from './compare.ts';
import { imageConvert } from './convert.ts';
import { imageCreate } from './create.ts';
import { imageInfo } from './info.ts';
import { imageMap } from './map.ts';
import { imageResize } from './resize.ts';
import { imageSnapshot } from './snapshot.ts';

export const image = commandGroup(
  {
    name: 'image',
    summary: 'Look at disk images, make and change them.',
    description: 'Works on disk images that no VM uses at the time: raw, qcow2 and others.',
  },
  [imageInfo, imageCheck, imageConvert, imageCompare, imageMap, imageSnapshot, imageCreate, imageResize],
);
