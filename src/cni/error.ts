// Room cni: an error as the CNI specification has it: a code, what is wrong with which key or variable, and where it came from.

/** CNI 1.1.0, "Error": 1-99 are the specification's, 100 and up the plugin's own. */
export const CODE = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decoding: 6,
  invalidConfig: 7,
  tryLater: 11,
  notAvailable: 50,
  notAvailableAndLimited: 51,
  /** The kernel refused something. */
  kernel: 100,
  /** CHECK: what is there is not what was made. */
  drifted: 101,
} as const;

export class CniError extends Error {
  override name = 'CniError';
  readonly code: number;
  readonly details: string | undefined;

  constructor(code: number, msg: string, details?: string) {
    super(msg);
    this.code = code;
    this.details = details;
  }
}
