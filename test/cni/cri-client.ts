// What the test of CRI needs of a CRI client: gRPC over a unix socket, and protocol buffers of strings, numbers and messages.
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

/** Field number to value, or values of a repeated field; nested messages are messages. */
export type Message = { readonly [field: number]: string | number | Message | readonly Message[] };

function encode(message: Message): Buffer {
  const parts = Object.entries(message).flatMap(([field, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => encodeField(Number(field), each)),
  );
  return Buffer.concat(parts);
}

function encodeField(field: number, value: string | number | Message): Buffer {
  const VARINT = 0;
  const BYTES = 2;
  if (typeof value === 'number') return Buffer.concat([varint((field << 3) | VARINT), varint(value)]);
  const bytes = typeof value === 'string' ? Buffer.from(value) : encode(value);
  return Buffer.concat([varint((field << 3) | BYTES), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest < 128 ? rest : (rest % 128) | 128);
    if (rest < 128) return Buffer.from(bytes);
  }
}

/** The bytes of field 1, which is all that the answers we look at begin with; empty when it is not set. */
function firstString(bytes: Buffer): string {
  return bytes.length === 0 ? '' : bytes.toString('utf8', 2, 2 + bytes[1]!);
}

/** One call, as `RuntimeService/RunPodSandbox`, of 60 s at most; the string that its answer begins with. */
export function criCall(socket: string, method: string, message: Message): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket) });
  session.on('error', reject);
  const headers = {
    ':method': 'POST',
    ':path': `/runtime.v1.${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  };
  const stream = session.request(headers, { signal: AbortSignal.timeout(60_000) });
  let trailers: Record<string, unknown> = {};
  const chunks: Buffer[] = [];
  stream.on('response', (answer) => {
    trailers = { ...answer };
  });
  stream.on('trailers', (answer) => {
    trailers = { ...trailers, ...answer };
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', reject);
  stream.on('close', () => {
    session.close();
    if (String(trailers['grpc-status']) !== '0') reject(new Error(`${method}: ${trailers['grpc-message']}`));
    else resolve(firstString(Buffer.concat(chunks).subarray(5)));
  });
  const body = encode(message);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  stream.end(Buffer.concat([prefix, body]));
  return promise;
}
