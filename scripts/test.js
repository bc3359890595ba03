// `npm test [PATTERN…]`: unit tests side by side, then the tests that need root and namespaces, two files at a time (each
// waits for its kernel and its programs most of the time); ends with how many ran, passed and were skipped, and why.
import { globSync } from 'node:fs';
import { dirname } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const patterns = process.argv.slice(2);
const files = (pattern) =>
  globSync(pattern)
    .filter((file) => patterns.length === 0 || patterns.some((each) => file.includes(each)))
    .sort();

const counts = { passed: 0, failed: 0 };
const skipped = [];

async function runFiles(title, testFiles, concurrency) {
  if (testFiles.length === 0) return;
  console.log(`\n== ${title}: ${testFiles.length} files`);
  const events = run({ files: testFiles, concurrency, isolation: 'process', timeout: 300_000 });
  events.on('test:pass', (event) => record(event, 'passed'));
  events.on('test:fail', (event) => record(event, 'failed'));
  const report = events.compose(spec);
  report.pipe(process.stdout, { end: false });
  await new Promise((resolve, reject) => {
    report.on('end', resolve);
    report.on('error', reject);
  });
}

/** Suites and files are only frames: what counts is a test. But a suite that is skipped has no tests to say so. */
function record(event, outcome) {
  const isSkippedSuite = event.details?.type === 'suite' && event.skip !== undefined;
  if ((event.details?.type === 'suite' && !isSkippedSuite) || (event.nesting === 0 && event.name === event.file)) {
    if (outcome === 'failed' && event.details?.error?.failureType !== 'subtestsFailed') counts.failed++;
    return;
  }
  if (event.skip !== undefined)
    skipped.push({ name: event.name, why: event.skip === true ? 'no reason given' : event.skip });
  else counts[outcome]++;
}

await runFiles('unit tests', files('src/**/*.test.ts'), true);
await runFiles('tests of the tree', files('test/*.test.ts'), true);
await runFiles('kernel and cluster tests', files('test/*/**/*.test.ts'), 2);

const reasons = Map.groupBy(skipped, (each) => String(each.why));
if (reasons.size > 0) console.log('\nSkipped:');
for (const [why, tests] of reasons)
  console.log(`  ${tests.length} because ${why}: ${tests.map((each) => each.name).join('; ')}`);
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${skipped.length} skipped`);
if (counts.passed === 0) console.log('no test ran: is the pattern right?');
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);
