// Room cli: `podwire image load | ls | rm`. Works without a cluster: images belong to the machine.
import { statSync } from 'node:fs';
import { imageDir } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import { Fault } from '../observe/fault.ts';
import { openImageStore } from '../runtime/images/store.ts';
import { formatTable } from './table.ts';

export async function runImageLoad(file: string): Promise<void> {
  requireRoot();
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) throw new Fault(`there is no file ${file}`, { mend: 'docker save NAME -o FILE.tar' });
  if (stat.isDirectory()) {
    throw new Fault(`${file} is a folder`, { mend: `make an archive of an OCI layout: tar -C ${file} -cf FILE.tar .` });
  }
  const image = await openImageStore(imageDir()).load(file);
  console.log(`Loaded ${image.names.join(', ') || image.ref} (${mebibytes(image.size)} unpacked).`);
}

export function runImageList(flags: { readonly output: string }): void {
  requireRoot();
  const images = openImageStore(imageDir()).list();
  if (flags.output === 'json') {
    console.log(JSON.stringify(images, undefined, 2));
    return;
  }
  const rows = images.map((image) => [
    image.names.join(','),
    image.ref.slice(0, 19),
    mebibytes(image.size),
    image.loadedAt,
  ]);
  console.log(formatTable([['IMAGE', 'REF', 'SIZE', 'LOADED'], ...rows]));
}

export function runImageRemove(name: string): void {
  requireRoot();
  openImageStore(imageDir()).remove(name);
  console.log(`Removed ${name}.`);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
