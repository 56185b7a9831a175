import { controlCommand } from '../control-command.ts';

export const suspend = controlCommand({
  name: 'suspend',
  summary: 'Pause a running VM.',
  description: 'Stops the vCPUs of the VM that listens at a control socket, until "crosvm resume". Its devices stay.',
  request: 'Suspend',
});
