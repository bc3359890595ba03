// Room runtime: names of images as Docker's reference grammar has them: `busybox` is docker.io/library/busybox:latest. Pure.

export interface ImageName {
  readonly repository: string;
  /** `latest` unless there is one; absent when a digest says which. */
  readonly tag?: string;
  readonly digest?: string;
}

const PART = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const REFERENCE = new RegExp(
  `^((?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\\d+)?/)?${PART}(?:/${PART})*)(?::([\\w][\\w.-]{0,127}))?(?:@([a-z0-9+._-]+:[0-9a-f]{32,}))?$`,
);

/** Undefined for what is no name at all. */
export function normalizeName(text: string): ImageName | undefined {
  const match = REFERENCE.exec(text);
  if (!match) return undefined;
  const [, path, tag, digest] = match;
  const first = path!.split('/')[0]!;
  const isHost = path!.includes('/') && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const withHost = isHost ? path! : `docker.io/${path}`;
  const repository = withHost.replace(/^(index\.)?docker\.io\/(?!.*\/)/, 'docker.io/library/').replace(/^index\./, '');
  if (digest !== undefined) return tag === undefined ? { repository, digest } : { repository, tag, digest };
  return { repository, tag: tag ?? 'latest' };
}

/** `repository:tag`, the key under which a loaded image is found. */
export function formatName(name: ImageName): string {
  return `${name.repository}:${name.tag ?? 'latest'}`;
}

/** Under which names it may be loaded, the likelier first: what has no registry in it, podman saves as of `localhost`. */
export function possibleNames(text: string): string[] {
  const name = normalizeName(text);
  if (!name) return [];
  const formatted = formatName(name);
  const [path = ''] = text.split(/[:@]/);
  const hasRegistry = /^(index\.)?docker\.io\//.test(text) || text.startsWith(name.repository);
  return hasRegistry ? [formatted] : [formatted, formatName({ ...name, repository: `localhost/${path}` })];
}
