// Tests of room runtime: image archives made from busybox, in both formats that the store takes.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

export const BUSYBOX = '/usr/bin/busybox';

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function tar(dir: string): Buffer {
  return execFileSync('tar', ['--create', '--numeric-owner', '--sort=name', `--directory=${dir}`, '.'], {
    maxBuffer: 1 << 28,
  });
}

/** Lower: busybox, a user, files to be hidden. Upper: whiteouts of one file and of one directory's content. */
export function busyboxLayers(scratch: string): Buffer[] {
  const dir = mkdtempSync(join(scratch, 'rootfs-'));
  const lower = join(dir, 'lower');
  for (const folder of ['bin', 'etc', 'home/app', 'hidden', 'tmp']) mkdirSync(join(lower, folder), { recursive: true });
  cpSync(BUSYBOX, join(lower, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'ls', 'id', 'echo', 'pwd', 'sleep', 'env'])
    symlinkSync('busybox', join(lower, 'bin', name));
  execFileSync('ln', [join(lower, 'bin/busybox'), join(lower, 'bin/hard')]);
  writeFileSync(join(lower, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\n');
  writeFileSync(join(lower, 'etc/group'), 'root:x:0:\napp:x:1002:\nstaff:x:50:app\n');
  writeFileSync(join(lower, 'gone'), 'gone');
  writeFileSync(join(lower, 'kept'), 'kept\n');
  writeFileSync(join(lower, 'hidden/old'), 'old');
  execFileSync('chown', ['1001:1002', join(lower, 'home/app')]);
  const upper = join(dir, 'upper');
  mkdirSync(join(upper, 'hidden'), { recursive: true });
  writeFileSync(join(upper, '.wh.gone'), '');
  writeFileSync(join(upper, 'hidden/.wh..wh..opq'), '');
  writeFileSync(join(upper, 'hidden/new'), 'new\n');
  const layers = [tar(lower), tar(upper)];
  rmSync(dir, { recursive: true });
  return layers;
}

const CONFIG = {
  Entrypoint: ['/bin/sh', '-c'],
  Cmd: ['echo from the image; id; pwd; echo $FLAVOUR'],
  Env: ['PATH=/bin', 'FLAVOUR=sour'],
  WorkingDir: '/home/app',
  User: 'app',
};

function config(layers: readonly Buffer[]): Buffer {
  const diffIds = layers.map((layer) => `sha256:${digest(layer)}`);
  const platform = { architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' };
  return Buffer.from(JSON.stringify({ ...platform, config: CONFIG, rootfs: { type: 'layers', diff_ids: diffIds } }));
}

function pack(dir: string, file: string): string {
  writeFileSync(`${file}.new`, tar(dir));
  renameSync(`${file}.new`, file);
  rmSync(dir, { recursive: true });
  return file;
}

/** As `docker save` writes it. */
export function dockerSave(scratch: string, layers: readonly Buffer[], tags: readonly string[]): string {
  const dir = mkdtempSync(join(scratch, 'save-'));
  const bytes = config(layers);
  const configFile = `${digest(bytes)}.json`;
  writeFileSync(join(dir, configFile), bytes);
  const files = layers.map((layer, i) => {
    mkdirSync(join(dir, `layer${i}`));
    writeFileSync(join(dir, `layer${i}/layer.tar`), layer);
    return `layer${i}/layer.tar`;
  });
  writeFileSync(join(dir, 'manifest.json'), JSON.stringify([{ Config: configFile, RepoTags: tags, Layers: files }]));
  return pack(dir, join(scratch, 'save.tar'));
}

/** An OCI layout, its layers gzipped, and the whole gzipped again. */
export function ociLayout(
  scratch: string,
  layers: readonly Buffer[],
  name: string,
): { file: string; manifest: string } {
  const dir = mkdtempSync(join(scratch, 'oci-'));
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
  const put = (bytes: Uint8Array, mediaType: string) => {
    writeFileSync(join(dir, 'blobs/sha256', digest(bytes)), bytes);
    return { mediaType, digest: `sha256:${digest(bytes)}`, size: bytes.length };
  };
  const manifest = {
    schemaVersion: 2,
    config: put(config(layers), 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((layer) => put(gzipSync(layer), 'application/vnd.oci.image.layer.v1.tar+gzip')),
  };
  const descriptor = put(Buffer.from(JSON.stringify(manifest)), 'application/vnd.oci.image.manifest.v1+json');
  const annotations = { 'org.opencontainers.image.ref.name': name };
  writeFileSync(
    join(dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...descriptor, annotations }] }),
  );
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const file = pack(dir, join(scratch, 'oci.tar'));
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file)));
  return { file: `${file}.gz`, manifest: descriptor.digest };
}
