// Room cni: the program that a container runtime starts: `podwire-cni`, or under the name `podwire` its IPAM alone.
import { readFileSync, writeSync } from 'node:fs';
import { run } from './run.ts';

const role = process.argv[2] === 'podwire' ? 'ipam' : 'interface';
const { exitCode, stdout } = run(role, process.env, () => readFileSync(0, 'utf8'));
let rest = Buffer.from(stdout ? `${stdout}\n` : '');
while (rest.length > 0) rest = rest.subarray(writeSync(1, rest));
process.exitCode = exitCode;
