import { controlCommand } from '../control-command.ts';

export const stop = controlCommand({
  name: 'stop',
  summary: 'Stop a running VM.',
  description: 'Stops the VM that listens at a control socket, as if its power had been cut.',
  request: 'Exit',
});
