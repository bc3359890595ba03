// From `podwire up --demo` on a machine with nothing of ours to the demo application answering through its Service name. More flags of `up`,
// --datapath nftables for one: in PODWIRE_BENCH_UP.
import { Machine } from '../test/cluster/machine.ts';
import { median, printMachine, printSamples } from './measure.ts';

const ROUNDS = 7;
const FLAGS = process.env['PODWIRE_BENCH_UP']?.split(' ') ?? [];

interface Status {
  startedIn: Record<string, number>;
  pods: { name: string; ip: string }[];
}

printMachine();
const whole: number[] = [];
const returned: number[] = [];
const steps = new Map<string, number[]>();
for (let round = 0; round <= ROUNDS; round++) {
  await using machine = await Machine.create('bench');
  const start = performance.now();
  const said = await machine.mustPodwire('up', '--demo', ...FLAGS);
  const up = performance.now();
  const status = JSON.parse(await machine.mustPodwire('status', '-o', 'json')) as Status;
  const asked = performance.now();
  const web = status.pods.find((pod) => pod.name.startsWith('web-'))!;
  const query = 'host=web.demo&port=80&protocol=http&request=hostname&tries=1';
  const answer = await machine.must('curl', ['-sf', `http://${web.ip}:8080/dial?${query}`]);
  if (!answer.includes('"responses":["web-')) throw new Error(`the demo does not answer by name: ${answer}`);
  const end = performance.now();
  // The first round fills the page cache and Node's compile cache.
  if (round === 0) {
    console.log(said.match(/^ *(datapath .*)/m)?.[1]);
    continue;
  }
  returned.push(up - start);
  whole.push(up - start + (end - asked));
  for (const [step, at] of Object.entries(status.startedIn)) steps.set(step, [...(steps.get(step) ?? []), at]);
}
printSamples('up --demo has returned', returned);
printSamples('demo has answered by name', whole);
console.log("where the time goes (ms from the daemon's start to the end of each step, medians):");
for (const [step, samples] of steps) console.log(`  ${median(samples).toFixed(0).padStart(6)}  ${step}`);
console.log('peer: kind needs Docker and an image registry, which this benchmark does without; not run');
