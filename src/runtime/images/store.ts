// Room runtime: the images of a machine, shared by its nodes: unpacked layers by digest, and the names under which they are found.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../../observe/fault.ts';
import { makeFolder } from '../../sys/folder.ts';
import type { ImageStore, ImageSummary, ResolvedImage } from '../runtime.ts';
import { type ArchivedImage, readArchive } from './archive.ts';
import { builtinImage } from './builtin.ts';
import { mountedLayers } from './in-use.ts';
import { unpackLayer } from './layer.ts';
import { formatName, normalizeName, possibleNames } from './name.ts';

export interface UnpackedImages extends ImageStore {
  /** Directories of a loaded image (`sha256:…`), uppermost first, as overlayfs wants them. */
  layers(ref: string): string[];
}

interface ImageRecord {
  readonly ref: string;
  /** Normalized: `docker.io/library/busybox:latest`. */
  readonly names: readonly string[];
  readonly manifestDigest?: string;
  readonly layers: readonly { readonly id: string; readonly size: number }[];
  readonly loadedAt: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

/** Needs no cluster. Several processes may read while one loads: whatever is listed is whole. */
export function openImageStore(imageDir: string): UnpackedImages {
  return new DirectoryOfImages(imageDir);
}

/** What a pod that asks for it is told. */
export function missingImageMessage(name: string): string {
  return `image ${name} is not on this machine: load it with \`podwire image load FILE.tar\` (from \`docker save\` or an OCI layout), or use \`image: host\``;
}

class DirectoryOfImages implements UnpackedImages {
  readonly #dir: string;
  readonly #records: string;
  /** Short names: the options of one mount must fit a page. */
  readonly #layers: string;

  constructor(dir: string) {
    this.#dir = dir;
    this.#records = join(dir, 'images');
    this.#layers = join(dir, 'l');
  }

  resolve(name: string): ResolvedImage | undefined {
    const record = this.#find(name);
    if (!record) return builtinImage(name);
    const { ref, entrypoint, cmd, env, workingDir, user } = record;
    return { name, ref, entrypoint, cmd, env, workingDir, user };
  }

  layers(ref: string): string[] {
    const record = this.#read().find((each) => each.ref === ref);
    if (!record) throw new Fault(`image ${ref} was removed`);
    return record.layers.map(({ id }) => join(this.#layers, id)).reverse();
  }

  list(): ImageSummary[] {
    return this.#read().map(summary);
  }

  async load(archive: string): Promise<ImageSummary> {
    if (!existsSync(archive)) throw new Fault(`${archive}: no such file`);
    for (const dir of [this.#records, this.#layers]) makeFolder(dir, 0o700);
    this.#removeAbandoned();
    const unpacked = mkdtempSync(join(this.#dir, `loading-${process.pid}-`));
    try {
      await untar(archive, unpacked);
      const loaded: ImageSummary[] = [];
      for (const image of readArchive(unpacked)) loaded.push(await this.#add(image, unpacked));
      if (!loaded[0]) throw new Fault(`${archive}: the archive holds no image`);
      return { ...loaded[0], names: loaded.flatMap(({ names }) => names) };
    } catch (error) {
      throw error instanceof Fault ? new Fault(`${archive}: ${error.message}`) : error;
    } finally {
      rmSync(unpacked, { recursive: true, force: true });
    }
  }

  /** What loads left behind that were killed. */
  #removeAbandoned(): void {
    for (const name of readdirSync(this.#dir)) {
      const pid = /^loading-(\d+)-/.exec(name)?.[1];
      if (pid !== undefined && !existsSync(`/proc/${pid}`))
        rmSync(join(this.#dir, name), { recursive: true, force: true });
    }
  }

  async #add(image: ArchivedImage, scratch: string): Promise<ImageSummary> {
    const sizes = new Map(this.#read().flatMap(({ layers }) => layers.map(({ id, size }) => [id, size] as const)));
    const layers: { id: string; size: number }[] = [];
    for (const { file, diffId } of image.layers) {
      const id = diffId.slice('sha256:'.length, 'sha256:'.length + 16);
      const size = sizes.get(id) ?? (await this.#addLayer(file, diffId, join(this.#layers, id), scratch));
      layers.push({ id, size });
    }
    const names = image.names.flatMap((name) => normalizeName(name) ?? []).map(formatName);
    const { config } = image;
    const earlier = this.#read().find(({ ref }) => ref === image.ref);
    const record: ImageRecord = {
      ref: image.ref,
      names: [...new Set([...(earlier?.names ?? []), ...names])],
      ...(image.manifestDigest === undefined ? {} : { manifestDigest: image.manifestDigest }),
      layers,
      loadedAt: new Date().toISOString(),
      entrypoint: config.Entrypoint ?? [],
      cmd: config.Cmd ?? [],
      env: config.Env ?? [],
      workingDir: config.WorkingDir || '/',
      user: config.User ?? '',
    };
    this.#write(record);
    // A name means the image that was loaded last.
    for (const other of this.#read()) {
      const kept = other.names.filter((name) => !names.includes(name));
      if (other.ref !== record.ref && kept.length < other.names.length) this.#write({ ...other, names: kept });
    }
    return summary(record);
  }

  async #addLayer(file: string, diffId: string, target: string, scratch: string): Promise<number> {
    const fresh = mkdtempSync(join(scratch, 'layer-'));
    const size = await unpackLayer(file, diffId, fresh);
    // Left by a load that was killed before its record: whole, but its size is unknown.
    rmSync(target, { recursive: true, force: true });
    renameSync(fresh, target);
    return size;
  }

  remove(nameOrRef: string): void {
    const record = this.#find(nameOrRef);
    if (!record) throw new Fault(`there is no loaded image ${nameOrRef}`, { mend: 'podwire image ls' });
    const meant = possibleNames(nameOrRef).find((name) => record.names.includes(name));
    const kept = meant === undefined ? [] : record.names.filter((name) => name !== meant);
    if (kept.length > 0 && kept.length < record.names.length) {
      this.#write({ ...record, names: kept });
      return;
    }
    const others = new Set(
      this.#read().flatMap(({ ref, layers }) => (ref === record.ref ? [] : layers.map(({ id }) => id))),
    );
    const unused = record.layers.map(({ id }) => join(this.#layers, id)).filter((dir) => !others.has(dir.slice(-16)));
    const mounted = mountedLayers(unused);
    if (mounted)
      throw new Fault(`image ${nameOrRef} is used by a running container`, { mend: 'delete its pods first' });
    rmSync(this.#recordPath(record.ref), { force: true });
    for (const dir of unused) rmSync(dir, { recursive: true, force: true });
  }

  #find(name: string): ImageRecord | undefined {
    const records = this.#read();
    const digest = name.replace(/^sha256:/, '');
    if (/^[0-9a-f]{12,64}$/.test(digest)) {
      const found = records.find(({ ref }) => ref.startsWith(`sha256:${digest}`));
      if (found) return found;
    }
    const normal = normalizeName(name);
    if (!normal) return undefined;
    if (normal.digest !== undefined) {
      return records.find(({ ref, manifestDigest }) => ref === normal.digest || manifestDigest === normal.digest);
    }
    for (const meant of possibleNames(name)) {
      const found = records.find(({ names }) => names.includes(meant));
      if (found) return found;
    }
    return undefined;
  }

  /** Newest first. */
  #read(): ImageRecord[] {
    if (!existsSync(this.#records)) return [];
    const files = readdirSync(this.#records).filter((file) => file.endsWith('.json'));
    const records = files.map((file) => JSON.parse(readFileSync(join(this.#records, file), 'utf8')) as ImageRecord);
    return records.sort((a, b) => (a.loadedAt < b.loadedAt ? 1 : -1));
  }

  #recordPath(ref: string): string {
    return join(this.#records, `${ref.slice('sha256:'.length)}.json`);
  }

  #write(record: ImageRecord): void {
    const path = this.#recordPath(record.ref);
    writeFileSync(`${path}.new`, JSON.stringify(record));
    renameSync(`${path}.new`, path);
  }
}

function summary({ names, ref, layers, loadedAt }: ImageRecord): ImageSummary {
  return { names, ref, size: layers.reduce((sum, { size }) => sum + size, 0), loadedAt };
}

/** tar itself sees whether the archive is compressed. */
async function untar(archive: string, dir: string): Promise<void> {
  const tar = spawn(
    'tar',
    ['--extract', `--file=${archive}`, '--force-local', `--directory=${dir}`, '--no-same-owner'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
    },
  );
  let said = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  tar.once('error', (error) => reject(new Fault(`tar: ${error.message}`)));
  tar.once('close', (code) => {
    if (code === 0) resolve();
    else reject(new Fault(`not an image archive: ${said.trim().split('\n')[0]}`));
  });
  return promise;
}
