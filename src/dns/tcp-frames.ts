// Room dns: messages in a TCP stream, each after its length in two bytes (RFC 1035 section 4.2.2, RFC 7766).

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(message.length + 2);
  framed.writeUInt16BE(message.length);
  framed.set(message, 2);
  return framed;
}

/** Cuts a stream into messages, however its pieces arrive. */
export class Frames {
  readonly #onMessage: (message: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onMessage: (message: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  push(chunk: Buffer): void {
    let rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE()) {
      const end = 2 + rest.readUInt16BE();
      this.#onMessage(rest.subarray(2, end));
      rest = rest.subarray(end);
    }
    this.#rest = rest;
  }
}
