import { controlCommand } from '../control-command.ts';

export const powerbtn = controlCommand({
  name: 'powerbtn',
  summary: 'Press the power button of a VM.',
  description:
    'Asks the guest of the VM that listens at a control socket to shut down in good order. It may take its time, or not do it.',
  request: 'Powerbtn',
});
