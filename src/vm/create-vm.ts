import type { ExitReason } from '../devices/device.ts';
import type { Log } from '../log.ts';
import { Cleanup } from './cleanup.ts';
import { completeConfig, type VmConfigInput } from './config.ts';
