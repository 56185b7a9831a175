// `npm start`: sets up what is missing and boots Linux to a shell. Runs on Node 20 with nothing installed yet.
import { join } from 'node:path';
import { inOurPlace } from './run.js';
import { projectFolder, setUp } from './setup.js';

try {
  const node = await setUp();
  process.exit(await inOurPlace(node, [join(projectFolder, 'tools', 'boot.ts')]));
} catch (error) {
  console.error(`npm start: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
