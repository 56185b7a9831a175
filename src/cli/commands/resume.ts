import { controlCommand } from '../control-command.ts';

export const resume = controlCommand({
  name: 'resume',
  summary: 'Let a paused VM go on.',
  description: 'Lets the vCPUs of the VM that listens at a control socket go on after "crosvm suspend".',
  request: 'Resume',
});
