// Room observe: an error meant for the user: what failed, where, and what to do. The command line prints it as one line.

export class Fault extends Error {
  override name = 'Fault';
  /** What the user can do about it: a command or a sentence. */
  readonly mend: string | undefined;
  readonly exitCode: number;

  constructor(what: string, options: { mend?: string; exitCode?: number; cause?: unknown } = {}) {
    super(what, options.cause === undefined ? undefined : { cause: options.cause });
    this.mend = options.mend;
    this.exitCode = options.exitCode ?? 1;
  }
}
