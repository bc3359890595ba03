// Set-up before `npm start` and `npm test`, in plain JS for whatever node the machine has: installs the npm and Debian
// packages that are missing, and generates the schemas. Says what it does; silent when there is nothing to do.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingPrograms, PROGRAMS, TEST_PROGRAMS } from './requirements.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const isRoot = process.getuid?.() === 0;

function say(text) {
  console.log(`podwire set-up: ${text}`);
}

function stop(text) {
  console.error(`podwire set-up: ${text}`);
  process.exit(1);
}

function run(command, args, env = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', env: { ...process.env, ...env } });
  if (result.status === 0) return;
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? result.error.message : ''}`.trim();
  stop(`'${command} ${args.join(' ')}' failed:\n${excerpt(output.split('\n'))}`);
}

/** npm says at the head what is wrong, apt at the end. */
function excerpt(lines) {
  const told = lines.filter((line) => !line.startsWith('npm warn'));
  return (told.length > 30 ? [...told.slice(0, 12), '…', ...told.slice(-12)] : told).join('\n');
}

/** npm writes node_modules/.package-lock.json last, so its age tells whether the installation is whole and current. */
function npmIsCurrent() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  return statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

function installNpmPackages() {
  if (npmIsCurrent()) return;
  say('installing npm packages (npm ci)');
  run('npm', ['ci', '--no-audit', '--no-fund']);
  if (!existsSync(join(root, 'node_modules', '.bin', 'node')) && Number(process.versions.node.split('.')[0]) < 24) {
    stop(
      `no Node 24 for ${process.platform}-${process.arch} on npm, and this is ${process.versions.node}: install Node.js 24.`,
    );
  }
}

function installDebianPackages(programs) {
  const packages = [...new Set(missingPrograms(programs).map((each) => each.package))];
  if (packages.length === 0) return;
  const install = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (spawnSync('apt-get', ['--version']).status !== 0) {
    stop(
      `these programs are missing, and there is no apt-get here; install the packages with your own: ${packages.join(' ')}`,
    );
  }
  if (!isRoot) stop(`missing Debian packages. Run: sudo ${install}`);
  say(`installing Debian packages: ${packages.join(' ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], env);
  run('apt-get', install.split(' ').slice(1), env);
}

installNpmPackages();
installDebianPackages(process.argv.includes('--test') ? [...PROGRAMS, ...TEST_PROGRAMS] : PROGRAMS);
const { generate } = await import('./generate.js');
generate(root, say, stop);
