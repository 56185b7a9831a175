/** The program of a zygote. */
import { DEVICE_TYPES, loadDeviceMaker } from '../device-process/create-device.ts';
import { runZygote } from './run-zygote.ts';

runZygote(new Map(await Promise.all(DEVICE_TYPES.map(async (type) => [type, await loadDeviceMaker(type)] as const))));
