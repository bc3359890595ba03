// Test api: a server in a process of its own that writes without end and prints the name of each object once it is acknowledged.
import { startApiServer } from '../../src/api/start.ts';
import { Client } from '../../src/client/client.ts';
import { TEST_API_OPTIONS } from './server.ts';

const server = await startApiServer({ ...TEST_API_OPTIONS, stateDir: process.argv[2]! });
const client = new Client(server.transport);

async function write(writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const name = `w${writer}-${i}`;
    const { metadata } = await client.create('ConfigMap', {
      metadata: { name, namespace: 'default' },
      data: { i: `${i}` },
    });
    process.stdout.write(`${metadata.resourceVersion} ${name}\n`);
  }
}

await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(write));
