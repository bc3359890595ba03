// Room cluster: one `up` or `down` at a time for each cluster. The lock is a name in the kernel: it ends with its holder.
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { clusterPaths } from './paths.ts';

/** Undefined while another process works on the cluster. */
export function tryLock(clusterName: string): Promise<AsyncDisposable | undefined> {
  const folder = createHash('sha1').update(clusterPaths(clusterName).dir).digest('hex');
  const holder = createServer().unref();
  return new Promise((resolve, reject) => {
    holder.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    // A leading NUL: an abstract socket (unix(7)), which leaves no file behind.
    holder.listen(`\0podwire-${folder}`, () => {
      const release = () => new Promise<void>((closed) => holder.close(() => closed()));
      resolve({ [Symbol.asyncDispose]: release });
    });
  });
}
