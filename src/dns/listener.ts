// Room dns: what listens, over UDP or TCP.

export interface Listener {
  readonly port: number;
  close(): void;
}
