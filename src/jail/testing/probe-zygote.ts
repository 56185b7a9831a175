/** A zygote whose devices are probes. */
import { DEVICE_TYPES } from '../../device-process/create-device.ts';
import { runZygote } from '../run-zygote.ts';
import { makeProbe } from './probe-device.ts';

runZygote(new Map(DEVICE_TYPES.map((type) => [type, makeProbe])));
