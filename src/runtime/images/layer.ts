// Room runtime: one layer of an image, from a tar archive (plain, gzip or zstd) to a directory that overlayfs takes as it is.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, lstatSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, pipeline, type Transform, type Writable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Fault } from '../../observe/fault.ts';
import { markOpaque, markRemoved } from '../../sys/overlay-marks.ts';

const OPAQUE = '.wh..wh..opq';
const WHITEOUT = '.wh.';

/** Unpacks into the empty `dir` and returns the bytes that it takes. Rejects with a Fault unless the plain tar's digest is `diffId`. */
export async function unpackLayer(archive: string, diffId: string, dir: string): Promise<number> {
  // GNU tar as it stands refuses `..` and makes links that lead out of `dir` only after everything else: a layer stays inside.
  const tar = spawn(
    'tar',
    [
      ...['--extract', '--file=-', `--directory=${dir}`, '--preserve-permissions', '--same-owner', '--numeric-owner'],
      ...['--delay-directory-restore', '--xattrs', '--xattrs-include=security.capability'],
    ],
    { stdio: ['pipe', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' } },
  );
  const ended = Promise.withResolvers<void>();
  let said = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  tar.once('error', (error) => ended.reject(new Fault(`tar: ${error.message}`)));
  tar.once('close', (code) => (code === 0 ? ended.resolve() : ended.reject(new Fault(`tar: ${said.trim()}`))));
  const digested = feed(archive, tar.stdin);
  // tar's own words say more than those of a stream that it has left.
  digested.catch(() => {});
  await ended.promise;
  const digest = `sha256:${await digested}`;
  if (digest !== diffId) throw new Fault(`a layer is damaged: its digest is ${digest}, the image says ${diffId}`);
  return convertWhiteouts(dir);
}

/** SHA-256 of the plain tar. tar leaves at the end-of-archive mark; what comes after it still counts. */
async function feed(archive: string, tar: Writable): Promise<string> {
  const hash = createHash('sha256');
  tar.on('error', () => {});
  const plain: AsyncIterable<Buffer> = pipeline(createReadStream(archive), decompressor(archive), () => {});
  try {
    for await (const chunk of plain) {
      hash.update(chunk);
      if (tar.writable && !tar.write(chunk)) await roomIn(tar);
    }
  } finally {
    // Also after a damaged stream, else tar would wait for ever.
    tar.end();
  }
  return hash.digest('hex');
}

function roomIn(stream: Writable): Promise<void> {
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.once('drain', done).once('close', done);
  });
}

function decompressor(archive: string): Transform {
  const head = Buffer.alloc(4);
  const fd = openSync(archive, 'r');
  readSync(fd, head, 0, 4, 0);
  closeSync(fd);
  if (head.readUInt16BE(0) === 0x1f8b) return createGunzip();
  if (head.readUInt32LE(0) === 0xfd2fb528) return createZstdDecompress();
  return new PassThrough();
}

/** From the marks of the OCI image specification (layer.md, "Whiteouts") to those of overlayfs. Sums up sizes on its way. */
function convertWhiteouts(dir: string): number {
  let bytes = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) bytes += convertWhiteouts(path);
    else if (entry.name === OPAQUE) {
      rmSync(path);
      markOpaque(dir);
    } else if (entry.name.startsWith(WHITEOUT)) {
      rmSync(path);
      markRemoved(join(dir, entry.name.slice(WHITEOUT.length)));
    } else if (entry.isFile()) bytes += lstatSync(path).size;
  }
  return bytes;
}
